import type { Instant } from '../foundation/clock.js';
import type { AccessToken } from './access-token.js';
import type { AccessTokenLifetime } from './access-token-lifetime.js';
import type { Quarantine } from '../credentials/credential-quarantine.js';

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
  readonly lifetime: AccessTokenLifetime;
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
  /** Set where the server refused the client, now or before. */
  readonly refusal?: CredentialRefusal | undefined;
}

export interface CredentialRefusal extends Quarantine {
  /** Whether the credential was kept back this time, because of an earlier refusal. */
  readonly isWithheld: boolean;
  /** By how much the server's clock is ahead of ours, in milliseconds, where that may be why. */
  readonly clockSkewMs?: number | undefined;
}

/**
 * Whether a token request brought a token: the one result from the response up to the callers who wait.
 *
 * @typeParam Facts What is known besides the grant.
 */
export type TokenResult<Facts = unknown> =
  | ({ readonly ok: true; readonly granted: GrantedToken } & Facts)
  | { readonly ok: false; readonly failure: TokenFailure };

/** When a token was requested, and with what. */
export interface Acquisition {
  /** Just before the request was sent: the token's age is measured from here. */
  readonly requestedAt: Instant;
  /** When the response was complete. */
  readonly receivedAt: Instant;
  /** Fingerprint of the credential that the server accepted. */
  readonly credential: string;
  /** Set where it is another credential than the last time. */
  readonly rotation?: { readonly fingerprint: string; readonly previousFingerprint: string } | undefined;
}
