import { elapsedMs, type Instant } from '../foundation/clock.js';
import type { AccessToken } from './access-token.js';
import {
  PROLONGED_LIFETIME_MS,
  type RefreshPolicy,
  type RefreshSchedule,
  refreshSchedule,
  reissuedSchedule,
} from './refresh-policy.js';
import type { Acquisition, GrantedToken } from './token-result.js';

/** The token that a client uses now, with its schedule. */
export interface HeldToken {
  readonly token: AccessToken;
  /** Just before it was requested. Its age is measured from here. */
  readonly since: Instant;
  readonly schedule: RefreshSchedule;
  /** Whether the server has returned it more than once. */
  readonly isReissued: boolean;
  readonly isServedStale: boolean;
  /** Fingerprint of the credential that it was granted for. */
  readonly credential: string;
}

/** A token that the server has granted. */
export type AcquiredToken = { readonly granted: GrantedToken } & Acquisition;

/** The held token after a grant. */
export interface TokenReplacement {
  readonly held: HeldToken;
  /** The token held before, if it has not expired. */
  readonly replaced: HeldToken | undefined;
  /** Age below which the server is known to return the same token again. */
  readonly earliestRenewalMs: number | undefined;
}

/** Input for the schedule of a granted token. */
export interface TokenReplacementContext {
  readonly policy: RefreshPolicy;
  readonly earliestRenewalMs: number | undefined;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * Returns the granted token with its schedule: a new schedule for a new token, an adjusted one if the server returned
 * the same token again.
 *
 * @param before The token held before.
 */
export function replaceHeldToken(
  before: HeldToken | undefined,
  { granted, requestedAt, receivedAt, credential }: AcquiredToken,
  { policy, earliestRenewalMs, random }: TokenReplacementContext,
): TokenReplacement {
  const { accessToken: token, refreshInMs } = granted;
  const { lifetimeMs } = granted.lifetime;
  const ageMs = before ? elapsedMs(before.since, receivedAt) : Infinity;
  const replaced = before && ageMs < before.schedule.expiresAtMs ? before : undefined;
  const isSame = before?.token.equals(token) ?? false;
  if (replaced && isSame) {
    const endsAtMs = elapsedMs(replaced.since, requestedAt) + lifetimeMs;
    const schedule = reissuedSchedule(replaced.schedule, ageMs, endsAtMs, policy);
    return { held: { ...replaced, schedule, isReissued: true }, replaced, earliestRenewalMs };
  }
  // Learned only from a token that has not expired: any server replaces an expired one.
  const renewalMs = replaced?.isReissued ? ageMs : earliestRenewalMs;
  const schedule = refreshSchedule(
    {
      lifetimeMs: isSame ? Math.min(lifetimeMs, PROLONGED_LIFETIME_MS) : lifetimeMs,
      arrivalAgeMs: elapsedMs(requestedAt, receivedAt),
      jitter: random(),
      refreshInMs,
      earliestRenewalMs: renewalMs,
    },
    policy,
  );
  const held = { token, since: requestedAt, schedule, isReissued: isSame, isServedStale: false, credential };
  return { held, replaced, earliestRenewalMs: renewalMs };
}

/**
 * Returns whether the token has not expired.
 *
 * @param minTtlMs Minimum remaining lifetime, in milliseconds. Negative: maximum time since it expired.
 */
export function isAlive({ since, schedule }: HeldToken, now: Instant, minTtlMs = 0): boolean {
  return elapsedMs(since, now) + minTtlMs < schedule.expiresAtMs;
}

/** Returns when the token expires, by the wall clock at its request. */
export function expiresAt({ since, schedule }: HeldToken): Date {
  return new Date(since.wallMs + schedule.expiresAtMs);
}

/** Returns when the token is refreshed in the background, by the wall clock at its request. */
export function refreshAt({ since, schedule }: HeldToken): Date {
  return new Date(since.wallMs + schedule.refreshAtMs);
}
