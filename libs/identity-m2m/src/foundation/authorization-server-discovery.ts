import type { AuthorizationServer } from 'oauth4webapi';
import { retryAfterMs } from './http-dates.js';
import { type BoundedFetch, HttpExchangeError } from './bounded-fetch.js';
import { IdentityM2MError } from './identity-m2m-error.js';
import { printableText } from './text.js';
import { type PlainHttp, urlFault } from './url.js';

/** Why a discovery failed. */
export type DiscoveryFault =
  /** No response, or one of a server that is temporarily unavailable. */
  | 'outage'
  /** A TLS certificate was rejected: an operator has to correct the trusted authorities or the certificate. */
  | 'certificate'
  /** Another status than 200, often from a gateway or because of a wrong address. */
  | 'unexplained'
  /** Not the metadata of this issuer: an operator has to correct an address. */
  | 'wrong_document';

/** The authorization server's metadata is unavailable, or belongs to another issuer than the configured one. */
export class DiscoveryError extends IdentityM2MError {
  readonly code = 'M2M_DISCOVERY_FAILED';

  /** Value of `Retry-After`, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  /** Whether the server is unavailable, rather than without such a document. */
  readonly isServerDown: boolean;

  constructor(
    readonly fault: DiscoveryFault,
    message: string,
    options?: { cause?: unknown; retryAfterMs?: number | undefined; isServerDown?: boolean },
  ) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
    this.isServerDown = options?.isServerDown ?? false;
  }
}

export interface DiscoveryInput {
  readonly issuer: string;
  /** The required member: a document without it does not end the search. */
  readonly member: keyof AuthorizationServer;
  readonly plainHttp: PlainHttp;
  readonly fetch: BoundedFetch;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads an issuer's metadata: by OpenID Connect Discovery 1.0 §4, otherwise by RFC 8414 §3.
 *
 * Many servers have only one of the two documents, and respond to requests for the other with an error, a login page or
 * a redirect. Such a response is ignored if the other document is there. The document must name the issuer exactly as
 * it is configured (RFC 8414 §3.3): otherwise one server could impersonate another.
 *
 * @returns A document with the member; if neither has it, one without.
 * @throws {@link DiscoveryError}; the reason of the signal once that has aborted.
 */
export async function discoverAuthorizationServer(input: DiscoveryInput): Promise<AuthorizationServer> {
  if (urlFault(input.issuer, input.plainHttp)) {
    const found = JSON.stringify(printableText(input.issuer));
    throw new DiscoveryError(
      'wrong_document',
      `the issuer ${found} is not an https URL, so its metadata cannot be discovered`,
    );
  }
  let incomplete: AuthorizationServer | undefined;
  const errors: DiscoveryError[] = [];
  for (const address of wellKnownAddresses(input.issuer)) {
    try {
      const metadata = await readMetadata(address, input);
      if (metadata[input.member] != null) return metadata;
      incomplete ??= metadata;
    } catch (error) {
      if (!(error instanceof DiscoveryError)) throw error;
      errors.push(error);
      if (error.isServerDown) break;
    }
  }
  if (incomplete) return incomplete;
  throw errors.length === 1 ? errors[0] : bothFailed(errors);
}

/**
 * Reads an address from an issuer's metadata. It must be on the issuer's own origin: otherwise, manipulated metadata
 * could lead the guard to any server.
 *
 * @throws {@link DiscoveryError} if it is not.
 */
export function addressOfIssuer(issuer: string, address: unknown, member: string, plainHttp: PlainHttp): string {
  if (typeof address !== 'string' || urlFault(address, plainHttp)) {
    throw new DiscoveryError('wrong_document', `the metadata of ${issuer} names no usable ${member}`);
  }
  if (new URL(address).origin !== new URL(issuer).origin) {
    const found = printableText(address);
    throw new DiscoveryError(
      'wrong_document',
      `the metadata of ${issuer} names the ${member} ${found}, which is on another origin. If that is correct, set it in the options`,
    );
  }
  return address;
}

function wellKnownAddresses(issuer: string): readonly [oidc: string, oauth: string] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

/** Faults in order of precedence if both requests fail: an earlier one is more helpful. */
const FAULTS: readonly DiscoveryFault[] = ['certificate', 'outage', 'wrong_document', 'unexplained'];

function bothFailed(errors: readonly DiscoveryError[]): DiscoveryError {
  const [error] = errors.toSorted((a, b) => FAULTS.indexOf(a.fault) - FAULTS.indexOf(b.fault));
  const { fault, cause, retryAfterMs, isServerDown } = error!;
  const message = errors.map((one) => one.message).join('; ');
  return new DiscoveryError(fault, message, { cause, retryAfterMs, isServerDown });
}

async function readMetadata(address: string, { issuer, fetch, signal }: DiscoveryInput): Promise<AuthorizationServer> {
  let response: Response;
  try {
    response = await fetch(address, { headers: { accept: 'application/json' }, signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw noResponse(address, cause);
  }
  const { status, headers } = response;
  if (!response.ok) {
    const options = { retryAfterMs: retryAfterMs(headers), isServerDown: SERVER_DOWN.includes(status) };
    throw new DiscoveryError(faultOf(status), `discovery at ${address} returned HTTP ${status}`, options);
  }
  const metadata = parseObject(await response.text());
  if (typeof metadata?.issuer !== 'string') {
    // A page instead of a document, with a status of success: often a gateway's, and temporary.
    const fault = metadata ? 'wrong_document' : 'outage';
    throw new DiscoveryError(fault, `discovery at ${address} returned HTTP ${status} without metadata of an issuer`);
  }
  if (metadata.issuer !== issuer) {
    const found = JSON.stringify(printableText(metadata.issuer));
    throw new DiscoveryError(
      'wrong_document',
      `discovery at ${address} names the issuer ${found} instead of ${JSON.stringify(issuer)}: they must be identical`,
    );
  }
  return metadata as AuthorizationServer;
}

function noResponse(address: string, cause: unknown): DiscoveryError {
  const fault = cause instanceof HttpExchangeError ? cause.fault : 'network';
  if (fault === 'certificate') {
    return new DiscoveryError('certificate', (cause as Error).message, { cause, isServerDown: true });
  }
  // Other faults, such as a response that is too long, come from a server that is available.
  const isServerDown = fault === 'network' || fault === 'timeout';
  return new DiscoveryError('outage', `discovery at ${address} got no response`, { cause, isServerDown });
}

/** Statuses of a server that is temporarily unavailable. */
const SERVER_DOWN: readonly number[] = [408, 425, 429, 502, 503, 504];

function faultOf(status: number): DiscoveryFault {
  return status >= 500 || SERVER_DOWN.includes(status) ? 'outage' : 'unexplained';
}

/** Parses a JSON object. The media type is ignored, because many servers send a wrong one for this document. */
function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
