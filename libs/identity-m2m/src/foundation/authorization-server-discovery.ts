import type { AuthorizationServer } from 'oauth4webapi';
import { retryAfterMs } from './http-dates.js';
import { type BoundedFetch, HttpExchangeError } from './bounded-fetch.js';
import { IdentityM2MError } from './identity-m2m-error.js';
import { printableText } from './text.js';
import { type PlainHttp, urlFault } from './url.js';

/** Why a discovery failed. */
export type DiscoveryFault =
  /** No answer, or one that says to try again later. */
  | 'outage'
  /** A TLS certificate was rejected: somebody has to correct the trust. */
  | 'certificate'
  /** Another status than 200. It says more about what stands in front of the server, or about the address. */
  | 'unexplained'
  /** Not the metadata of this issuer: somebody has to correct an address. */
  | 'wrong_document';

/** The authorization server's metadata could not be had, or is not the metadata of the issuer that was asked for. */
export class DiscoveryError extends IdentityM2MError {
  readonly code = 'M2M_DISCOVERY_FAILED';

  /** What the server asked for with `Retry-After`, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  /** Whether the server itself was in trouble, rather than without such a document. */
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
  /** The member that is looked for: a document without it does not end the search. */
  readonly member: keyof AuthorizationServer;
  readonly plainHttp: PlainHttp;
  readonly fetch: BoundedFetch;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads an issuer's metadata: by OpenID Connect Discovery 1.0 §4, or else by RFC 8414 §3.
 *
 * Many servers have one of the two documents, and answer requests for the other with anything: an error, a login page, a
 * redirect. Such an answer says nothing about the document that is there. The document must name the issuer exactly as
 * it was configured (RFC 8414 §3.3): otherwise one server could speak for another.
 *
 * @returns A document with the member; where neither has it, one without.
 * @throws {@link DiscoveryError}; the reason of the signal once that has aborted.
 */
export async function discoverAuthorizationServer(input: DiscoveryInput): Promise<AuthorizationServer> {
  if (urlFault(input.issuer, input.plainHttp)) {
    const found = JSON.stringify(printableText(input.issuer));
    throw new DiscoveryError('wrong_document', `the issuer ${found} is no https address: nothing can be found by it`);
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

function wellKnownAddresses(issuer: string): readonly [oidc: string, oauth: string] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

/** The earlier, the more a fault says about what has to be done. */
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
    throw unanswered(address, cause);
  }
  const { status, headers } = response;
  if (!response.ok) {
    const options = { retryAfterMs: retryAfterMs(headers), isServerDown: SERVER_DOWN.includes(status) };
    throw new DiscoveryError(faultOf(status), `discovery at ${address} answered HTTP ${status}`, options);
  }
  const metadata = parseObject(await response.text());
  if (typeof metadata?.issuer !== 'string') {
    // A page in place of a document, with a status of success: something stands in between, and may go away.
    const fault = metadata ? 'wrong_document' : 'outage';
    throw new DiscoveryError(fault, `discovery at ${address} answered HTTP ${status} with no metadata of this issuer`);
  }
  if (metadata.issuer !== issuer) {
    const found = JSON.stringify(printableText(metadata.issuer));
    throw new DiscoveryError(
      'wrong_document',
      `discovery at ${address} names the issuer ${found} instead of ${JSON.stringify(issuer)}: they must be equal to the letter`,
    );
  }
  return metadata as AuthorizationServer;
}

function unanswered(address: string, cause: unknown): DiscoveryError {
  const fault = cause instanceof HttpExchangeError ? cause.fault : 'network';
  if (fault === 'certificate') {
    return new DiscoveryError('certificate', (cause as Error).message, { cause, isServerDown: true });
  }
  // What was too long, say, was an answer.
  const isServerDown = fault === 'network' || fault === 'timeout';
  return new DiscoveryError('outage', `discovery at ${address} brought no answer`, { cause, isServerDown });
}

/** Statuses that are about the server, or about the moment, and not about one of its documents. */
const SERVER_DOWN: readonly number[] = [408, 425, 429, 502, 503, 504];

function faultOf(status: number): DiscoveryFault {
  return status >= 500 || SERVER_DOWN.includes(status) ? 'outage' : 'unexplained';
}

/** By its text: the media type says how a server stores its documents, and nothing about what is in them. */
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
