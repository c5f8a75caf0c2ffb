import {
  allowInsecureRequests,
  type AuthorizationServer,
  customFetch,
  discoveryRequest,
  PARSE_ERROR,
  processDiscoveryResponse,
  RESPONSE_IS_NOT_JSON,
} from 'oauth4webapi';
import { retryAfterMs } from './answer-times.js';
import { type BoundedFetch, HttpExchangeError } from './bounded-fetch.js';
import { IdentityM2MError } from './identity-m2m-error.js';
import { printableText } from './printable-text.js';
import type { HttpAllowance } from './secure-url.js';

/** Why a discovery failed. */
export type DiscoveryFault =
  /** No answer, or one that says to try again later. */
  | 'outage'
  /** A TLS certificate was rejected: somebody has to correct the trust. */
  | 'certificate'
  /** Something in front of the server refuses (403). */
  | 'blocked'
  /** Not the metadata of this issuer: somebody has to correct an address. */
  | 'wrong_document';

/** The authorization server's metadata could not be had, or is not the metadata of the issuer that was asked for. */
export class DiscoveryError extends IdentityM2MError {
  readonly code = 'M2M_DISCOVERY_FAILED';

  /** What the server asked for with `Retry-After`, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly fault: DiscoveryFault,
    message: string,
    options?: { cause?: unknown; retryAfterMs?: number | undefined },
  ) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}

export interface DiscoveryInput {
  readonly issuer: string;
  readonly http: HttpAllowance;
  readonly fetch: BoundedFetch;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads an issuer's metadata (OpenID Connect Discovery 1.0 §4; where there is none, RFC 8414 §3).
 *
 * The document must name the issuer exactly as it was configured (RFC 8414 §3.3): otherwise one server could speak for
 * another.
 *
 * @throws {@link DiscoveryError}; the reason of the signal once that has aborted.
 */
export async function discoverAuthorizationServer(input: DiscoveryInput): Promise<AuthorizationServer> {
  const issuerUrl = new URL(input.issuer);
  let response = await request(issuerUrl, 'oidc', input);
  if (response.status === 404) response = await request(issuerUrl, 'oauth2', input);
  const { status } = response;
  if (status >= 500 || status === 429 || status === 408 || status === 425) {
    throw refusal('outage', issuerUrl, response);
  }
  if (status === 403) throw refusal('blocked', issuerUrl, response);
  const metadata = await read(issuerUrl, response);
  if (metadata.issuer !== input.issuer) {
    const found = JSON.stringify(printableText(metadata.issuer));
    throw new DiscoveryError(
      'wrong_document',
      `discovery at ${issuerUrl.href} names the issuer ${found} instead of ${JSON.stringify(input.issuer)}: they must be equal to the letter`,
    );
  }
  return metadata;
}

async function request(issuer: URL, algorithm: 'oidc' | 'oauth2', input: DiscoveryInput): Promise<Response> {
  try {
    return await discoveryRequest(issuer, {
      algorithm,
      [customFetch]: (url, init) => input.fetch(url, init),
      [allowInsecureRequests]: input.http !== 'never',
      ...(input.signal && { signal: input.signal }),
    });
  } catch (cause) {
    input.signal?.throwIfAborted();
    if (cause instanceof HttpExchangeError && cause.fault === 'certificate') {
      throw new DiscoveryError('certificate', cause.message, { cause });
    }
    throw new DiscoveryError('outage', `discovery at ${issuer.href} brought no answer`, { cause });
  }
}

function refusal(fault: DiscoveryFault, issuer: URL, { status, headers }: Response): DiscoveryError {
  const message = `discovery at ${issuer.href} answered HTTP ${status}`;
  return new DiscoveryError(fault, message, { retryAfterMs: retryAfterMs(headers) });
}

async function read(issuer: URL, response: Response): Promise<AuthorizationServer> {
  const { status } = response;
  try {
    return await processDiscoveryResponse(issuer, response);
  } catch (cause) {
    // A page in place of a document, with a status of success: something stands in between, and may go away.
    const isPage = status === 200 && isCoded(cause, RESPONSE_IS_NOT_JSON, PARSE_ERROR);
    throw new DiscoveryError(
      isPage ? 'outage' : 'wrong_document',
      `discovery at ${issuer.href} answered HTTP ${status} with no metadata of this issuer`,
      { cause },
    );
  }
}

function isCoded(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
