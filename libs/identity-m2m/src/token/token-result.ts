import type { Instant } from '../foundation/clock.js';
import type { AccessToken } from './access-token.js';
import type { AccessTokenLifetime } from './access-token-lifetime.js';
import type { Quarantine } from '../credentials/credential-quarantine.js';

/**
 * Kinds of failed token requests. The kind decides when the next request may follow.
 *
 * - `transient`: the server is unreachable, or cannot issue tokens now.
 * - `malformed`: the response reports success, but holds no valid token.
 * - `unexplained`: an HTTP status without an OAuth error (404, 405, 400 …), often from a gateway. Counts as transient
 *   for 2 minutes, then as `configuration`.
 * - `blocked`: HTTP 401 or 403 without an OAuth error: the server refused the client, or a gateway or firewall blocks
 *   this machine. Retried three times within seconds, then counts as `credential`.
 * - `proxy`: a proxy requires credentials (407). The request did not reach the server.
 * - `certificate`: a TLS certificate was rejected, the server's by this client or the client's by the server.
 * - `configuration`: the request is wrong, and will stay so (scope, grant, address).
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

/** Kinds that last until an operator corrects a setting: waiting for the next attempt does not help a caller. */
const LASTING_KINDS: readonly TokenFailureKind[] = ['proxy', 'certificate', 'configuration', 'credential'];

/** Returns whether the next attempt may succeed after a failure of this kind. */
export function isRetryable(kind: TokenFailureKind): boolean {
  return !LASTING_KINDS.includes(kind);
}

/** An access token with its lifetime. */
export interface GrantedToken {
  readonly accessToken: AccessToken;
  readonly lifetime: AccessTokenLifetime;
  /** When the server expects a refresh (`refresh_in`), in milliseconds after the request. */
  readonly refreshInMs?: number | undefined;
}

/** A failed token request. */
export interface TokenFailure {
  readonly kind: TokenFailureKind;
  /** What was found. May hold the server's text, so it must not be shown before `printableText` has cleaned it. */
  readonly detail: string;
  /** What to do, if more is known than the kind. */
  readonly advice?: string | undefined;
  /** Sentence about a possible cause on the client's side. */
  readonly remark?: string | undefined;
  readonly oauthError?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** Time of the server's clock at its response (`Date`), in milliseconds since the epoch. */
  readonly serverTimeMs?: number | undefined;
  readonly cause?: unknown;
  /** Set if the server refused the client, now or earlier. */
  readonly refusal?: CredentialRefusal | undefined;
}

export interface CredentialRefusal extends Quarantine {
  /** Whether the credential was not sent this time, because of an earlier refusal. */
  readonly isWithheld: boolean;
  /** Time by which the server's clock is ahead of this machine's, in milliseconds, if that may be the cause. */
  readonly clockSkewMs?: number | undefined;
}

/**
 * Result of a token request: a grant, or a failure. Used from the response up to the waiting callers.
 *
 * @typeParam Facts Further facts about a grant.
 */
export type TokenResult<Facts = unknown> =
  | ({ readonly ok: true; readonly granted: GrantedToken } & Facts)
  | { readonly ok: false; readonly failure: TokenFailure };

/** When a token was requested, and with which credential. */
export interface Acquisition {
  /** Just before the request was sent. The token's age is measured from here. */
  readonly requestedAt: Instant;
  /** When the response was complete. */
  readonly receivedAt: Instant;
  /** Fingerprint of the accepted credential. */
  readonly credential: string;
  /** Set if it is another credential than the last time. */
  readonly rotation?: { readonly fingerprint: string; readonly previousFingerprint: string } | undefined;
}
