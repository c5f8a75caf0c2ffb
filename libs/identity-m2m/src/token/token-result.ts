import { AccessToken } from './access-token.js';
import type { AccessTokenLifetime } from './access-token-lifetime.js';

/**
 * What kind of failure a token request ended in. It decides how soon the next one may follow.
 *
 * - `transient`: the server could not be reached, or is not able to answer now.
 * - `malformed`: the server answered with success and with something that is no token.
 * - `unexplained`: an HTTP status without an OAuth error (404, 405, 400 …). It says more about what stands in front of
 *   the server than about the request: transient until it has lasted for 2 minutes, then taken for `configuration`.
 * - `blocked`: HTTP 401 or 403 without an OAuth error: the client was refused, or something in front of the server
 *   refuses this machine. Retried three times within seconds, then taken for `credential`.
 * - `proxy`: a proxy on the way wants credentials of its own (407). The server was not asked.
 * - `certificate`: a TLS certificate was rejected, the server's by this client or the client's by the server.
 * - `configuration`: the request itself is wrong and will stay so (scope, grant, address).
 * - `credential`: the server refused the client. See `credentials/credential-quarantine.ts` for its schedule.
 */
export const TOKEN_FAILURE_KINDS = [
  'transient',
  'malformed',
  'unexplained',
  'blocked',
  'proxy',
  'certificate',
  'configuration',
  'credential',
] as const;

export type TokenFailureKind = (typeof TOKEN_FAILURE_KINDS)[number];

/** Kinds that last until a person corrects something: a caller gains nothing by waiting for the next attempt. */
const LASTING_KINDS: readonly TokenFailureKind[] = ['proxy', 'certificate', 'configuration', 'credential'];

/** Whether a failure of this kind may be over by the next attempt without anybody's help. */
export function isRetryable(kind: TokenFailureKind): boolean {
  return !LASTING_KINDS.includes(kind);
}

/** An access token with what the answer said about its life. */
export interface GrantedToken {
  readonly accessToken: AccessToken;
  readonly lifetime: Extract<AccessTokenLifetime, { ok: true }>;
  /** When the server wants to see a refresh (`refresh_in`), in milliseconds after the request. */
  readonly refreshInMs?: number | undefined;
}

/** A token request that brought no token. */
export interface TokenFailure {
  readonly kind: TokenFailureKind;
  /** What was found, in words; text of the server, so not yet fit to be shown. */
  readonly detail: string;
  /** What to do about it, where more is known than the kind tells. */
  readonly advice?: string | undefined;
  /** What was found on this side that may be the reason, as a sentence. */
  readonly remark?: string | undefined;
  readonly oauthError?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The server's time when it answered, in milliseconds since the epoch, where it says so. */
  readonly serverTimeMs?: number | undefined;
  readonly cause?: unknown;
}

export type TokenOutcome =
  { readonly ok: true; readonly granted: GrantedToken } | { readonly ok: false; readonly failure: TokenFailure };
