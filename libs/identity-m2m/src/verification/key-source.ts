import { readFile } from 'node:fs/promises';
import {
  addressOfIssuer,
  discoverAuthorizationServer,
  DiscoveryError,
} from '../foundation/authorization-server-discovery.js';
import { type BoundedFetch, HttpExchangeError } from '../foundation/bounded-fetch.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { parseStrictJsonObject, type StrictJsonResult } from '../foundation/strict-json.js';
import { printableText } from '../foundation/text.js';
import type { PlainHttp } from '../foundation/url.js';

/** A key set that was read. */
export interface KeyDocument {
  readonly document: Readonly<Record<string, unknown>>;
  /** How long it may be used, in milliseconds. */
  readonly lifetimeMs: number;
}

/** Reads the keys of an issuer. */
export interface KeySource {
  /** @throws {@link KeySetError} and other errors of this library. None holds a secret. */
  read(signal: AbortSignal): Promise<KeyDocument>;
}

/**
 * The keys of an issuer can't be read. Callers get a refusal, operators see an event, and with `start: 'require'` the
 * boot fails.
 */
export class KeySetError extends IdentityM2MError {
  readonly code = 'M2M_KEY_SET_UNAVAILABLE';
}

/** Describes what failed and, if that is known, what to do. */
export function problemText(problem: unknown): string | undefined {
  if (problem === undefined) return undefined;
  if (!(problem instanceof Error)) return 'unknown';
  const exchange = problem instanceof HttpExchangeError ? problem : problem.cause;
  const advice = exchange instanceof HttpExchangeError ? exchange.advice : undefined;
  return printableText(advice === undefined ? problem.message : `${problem.message}. ${advice}`, 400);
}

export interface RemoteKeySourceOptions {
  readonly issuer: string;
  /** Address of the key set. Default: from the issuer's metadata. */
  readonly jwksUri?: string | undefined;
  /** Address of the key set if the issuer has no metadata. */
  readonly fallbackJwksUri?: string | undefined;
  readonly plainHttp: PlainHttp;
  /** Follows no redirects, and limits the length of responses to that of a key set. */
  readonly fetch: BoundedFetch;
}

/** Reads a key set from its address (RFC 7517 §5), or from the address in the issuer's metadata. */
export function remoteKeySource(options: RemoteKeySourceOptions): KeySource {
  return {
    read: async (signal) => {
      const address = options.jwksUri ?? (await discoverAddress(options, signal));
      const response = await options.fetch(address, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        signal,
      });
      const { status, headers } = response;
      if (!response.ok) throw new KeySetError(`the key set at ${address} returned HTTP ${status}`);
      const document = parseKeySetDocument(await response.text());
      if (!document.ok) throw new KeySetError(`the response of ${address} is not a key set (${document.fault})`);
      return { document: document.value, lifetimeMs: lifetimeMs(headers.get('cache-control'), headers.get('age')) };
    },
  };
}

async function discoverAddress(
  { issuer, fallbackJwksUri, plainHttp, fetch }: RemoteKeySourceOptions,
  signal: AbortSignal,
): Promise<string> {
  try {
    const input = { issuer, member: 'jwks_uri', plainHttp, fetch, signal } as const;
    const { jwks_uri: address } = await discoverAuthorizationServer(input);
    return addressOfIssuer(issuer, address, 'jwks_uri', plainHttp);
  } catch (error) {
    // If the server is down, so are its other addresses.
    const hasNone = error instanceof DiscoveryError && !error.isServerDown;
    if (hasNone && fallbackJwksUri !== undefined) return fallbackJwksUri;
    throw error;
  }
}

/** How long the content of a file is used, in milliseconds. */
const LIFETIME_MS = 10_000;

/** Longest key set that is read, in bytes. */
export const MAX_KEY_SET_BYTES = 262_144;

/**
 * Reads a key set from a file, such as a mounted ConfigMap or Secret. These are replaced through a symbolic link, so
 * only the content shows a change.
 */
export function keyFileSource(path: string): KeySource {
  return {
    read: async (signal) => {
      const bytes = await readFile(path, { signal }).catch((cause: unknown) => {
        signal.throwIfAborted();
        throw new KeySetError(`the key set file ${path} can't be read (${(cause as NodeJS.ErrnoException).code})`, {
          cause,
        });
      });
      if (bytes.length > MAX_KEY_SET_BYTES)
        throw new KeySetError(`the key set file ${path} is longer than ${MAX_KEY_SET_BYTES} bytes`);
      // Removes the byte order mark that some editors write, as for responses.
      const document = parseKeySetDocument(new TextDecoder().decode(bytes));
      if (!document.ok) throw new KeySetError(`the file ${path} is not a key set (${document.fault})`);
      return { document: document.value, lifetimeMs: LIFETIME_MS };
    },
  };
}

/**
 * Parses a key set (RFC 7517 §5).
 *
 * A key with invalid JSON, such as a repeated member, is replaced by null: its meaning is ambiguous, and the other keys
 * are not affected. Any other invalid JSON invalidates the whole key set.
 */
function parseKeySetDocument(text: string): StrictJsonResult {
  const document = parseStrictJsonObject(text);
  return document.ok || document.fault === 'not_json' ? document : parseStrictJsonObject(withoutFaultyEntries(text));
}

/** @param text JSON. */
function withoutFaultyEntries(text: string): string {
  let kept = '';
  let keptTo = 0;
  for (const [start, end] of listedObjects(text)) {
    if (parseStrictJsonObject(text.slice(start, end)).ok) continue;
    kept += `${text.slice(keptTo, start)}null`;
    keptTo = end;
  }
  return kept + text.slice(keptTo);
}

/** Depth of an object in a list that is a member of the document. */
const ENTRY_DEPTH = 3;

/** Lists where such objects begin and end. */
function* listedObjects(text: string): Iterable<readonly [start: number, end: number]> {
  let depth = 0;
  let start = 0;
  // The pattern matches whole strings, so that no bracket in a string counts.
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '{' || token === '[') {
      if (++depth === ENTRY_DEPTH) start = index;
    } else if (token === '}' || token === ']') {
      if (depth-- === ENTRY_DEPTH && token === '}') yield [start, index + 1];
    }
  }
}

const DEFAULT_LIFETIME_MS = 600_000;

const SHORTEST_LIFETIME_MS = 60_000;

const LONGEST_LIFETIME_MS = 86_400_000;

/**
 * Returns how long a response with keys may be used, by its `Cache-Control` and `Age` (RFC 9111 §4.2), within limits.
 */
function lifetimeMs(cacheControl: string | null, age: string | null): number {
  if (cacheControl === null) return DEFAULT_LIFETIME_MS;
  const directives = cacheControl
    .toLowerCase()
    .split(',', 20)
    .map((directive) => directive.trim());
  if (directives.includes('no-store') || directives.includes('no-cache')) return SHORTEST_LIFETIME_MS;
  const maxAge = directives.find((directive) => /^max-age="?\d{1,10}"?$/.test(directive));
  if (maxAge === undefined) return DEFAULT_LIFETIME_MS;
  const spentSeconds = age !== null && /^\d{1,10}$/.test(age) ? Number(age) : 0;
  const leftMs = (Number(maxAge.replace(/\D/g, '')) - spentSeconds) * 1000;
  return Math.min(Math.max(leftMs, SHORTEST_LIFETIME_MS), LONGEST_LIFETIME_MS);
}
