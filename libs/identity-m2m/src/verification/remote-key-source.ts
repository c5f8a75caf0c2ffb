import { discoverAuthorizationServer, DiscoveryError } from '../foundation/authorization-server-discovery.js';
import type { BoundedFetch } from '../foundation/bounded-fetch.js';
import { printableText } from '../foundation/printable-text.js';
import { type HttpAllowance, urlFault } from '../foundation/secure-url.js';
import { parseKeySetDocument } from './key-set-document.js';
import { lifetimeMs } from './key-set-schedule.js';
import { KeySetError, type KeySource } from './key-source.js';

export interface RemoteKeySourceOptions {
  readonly issuer: string;
  /** Address of the key set; where absent, it is found through the issuer's metadata. */
  readonly jwksUri?: string | undefined;
  /** Address of the key set where the issuer has no metadata. */
  readonly fallbackJwksUri?: string | undefined;
  readonly http: HttpAllowance;
  /** Follows no redirects, and reads no more than a key set may be long. */
  readonly fetch: BoundedFetch;
}

/** Reads a key set from its address (RFC 7517 §5), which the issuer's metadata may have to tell first. */
export function remoteKeySource(options: RemoteKeySourceOptions): KeySource {
  return {
    read: async (signal) => {
      const address = options.jwksUri ?? (await discoverAddress(options, signal));
      const response = await options.fetch(address, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        signal,
      });
      const { status, headers } = response;
      if (!response.ok) throw new KeySetError(`the key set at ${address} was answered with HTTP ${status}`);
      const document = parseKeySetDocument(await response.text());
      if (!document.ok) throw new KeySetError(`the answer at ${address} is no key set (${document.fault})`);
      return { document: document.value, lifetimeMs: lifetimeMs(headers.get('cache-control'), headers.get('age')) };
    },
  };
}

async function discoverAddress(
  { issuer, fallbackJwksUri, http, fetch }: RemoteKeySourceOptions,
  signal: AbortSignal,
): Promise<string> {
  try {
    const input = { issuer, member: 'jwks_uri', http, fetch, signal } as const;
    const { jwks_uri: address } = await discoverAuthorizationServer(input);
    return addressOfIssuer(issuer, address, 'jwks_uri', http);
  } catch (error) {
    // Where the server is down, its other addresses are as well.
    const hasNone = error instanceof KeySetError || (error instanceof DiscoveryError && !error.isServerDown);
    if (hasNone && fallbackJwksUri !== undefined) return fallbackJwksUri;
    throw error;
  }
}

/**
 * An address out of an issuer's metadata. It must be on the issuer's own origin: metadata that was tampered with would
 * otherwise send the guard, and whatever it trusts, anywhere.
 *
 * @throws {@link KeySetError} where it is not.
 */
export function addressOfIssuer(issuer: string, address: unknown, member: string, http: HttpAllowance): string {
  if (typeof address !== 'string' || urlFault(address, http)) {
    throw new KeySetError(`the metadata of ${issuer} names no usable ${member}`);
  }
  if (new URL(address).origin !== new URL(issuer).origin) {
    const found = printableText(address);
    throw new KeySetError(
      `the metadata of ${issuer} names the ${member} ${found}, which is on another origin; if that is right, put it into the options`,
    );
  }
  return address;
}
