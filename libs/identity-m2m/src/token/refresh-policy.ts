/** The settings of the refresh policy. */
export interface RefreshPolicy {
  /** Last part of a token's lifetime, in milliseconds, in which callers wait for a new token instead of using it. */
  readonly skewMs: number;
  /** Outage of the token endpoint that a token of normal lifetime should bridge, in milliseconds. */
  readonly outageBudgetMs: number;
}

/** Age below which a token may be rejected because the receiver's clock is behind, in milliseconds. */
export const YOUNG_TOKEN_MS = 5000;

/**
 * The schedule of one token. Each time is an age: milliseconds since just before the token request.
 *
 * Ages and not points in time, because only an age can be measured by two clocks at once.
 */
export interface RefreshSchedule {
  /** From this age on, the token is refreshed in the background. */
  readonly refreshAtMs: number;
  /** From this age on, callers wait for the refresh. */
  readonly waitAtMs: number;
  /** From this age on, the token is expired. */
  readonly expiresAtMs: number;
  /** Before this age, the token counts as new, and is not renewed for a longer remaining lifetime. */
  readonly renewableAtMs: number;
  /** Whether a timer refreshes the token. Calls refresh one with a very short lifetime. */
  readonly timed: boolean;
}

/** Minimum lifetime for a timer, in milliseconds. */
export const SHORTEST_TIMED_LIFETIME_MS = 10_000;

/** Input for a token's schedule. Times in milliseconds. */
export interface RefreshScheduleInput {
  readonly lifetimeMs: number;
  /** Age of the token when it arrived: the duration of the token request. */
  readonly arrivalAgeMs: number;
  /**
   * Uniform in [0, 1), drawn once per token: with one draw per check, a busy service would always get the earliest
   * time.
   */
  readonly jitter: number;
  /** When the server expects a refresh (`refresh_in`), if it sets this. */
  readonly refreshInMs?: number | undefined;
  /** Age below which this server is known to return the same token again. */
  readonly earliestRenewalMs?: number | undefined;
}

/**
 * Returns when to refresh a token of a given lifetime.
 *
 * The refresh comes before the expiry by a share of the lifetime, not by a fixed time, which would exceed a short
 * lifetime: then each call would fetch a token. The share is the outage budget, but at least a quarter and at most a
 * half of the lifetime.
 */
export function refreshSchedule(input: RefreshScheduleInput, policy: RefreshPolicy): RefreshSchedule {
  const life = input.lifetimeMs;
  const skew = skewOf(life, policy);
  const lead =
    input.refreshInMs === undefined
      ? clamp(policy.outageBudgetMs, life / 4, life / 2)
      : clamp(life - input.refreshInMs, Math.max(2 * skew, life / 10), (life * 3) / 4);
  const waitAtMs = life - skew;
  const renewableAtMs = input.arrivalAgeMs + Math.max(1000, Math.min(30_000, life / 4));
  const earliest = Math.max(renewableAtMs, input.earliestRenewalMs ?? 0);
  return {
    refreshAtMs: Math.min(Math.max(life - lead * (1 - 0.2 * input.jitter), earliest), waitAtMs),
    waitAtMs,
    expiresAtMs: life,
    renewableAtMs,
    timed: life >= SHORTEST_TIMED_LIFETIME_MS,
  };
}

/**
 * Returns the schedule after a refresh returned the same token. Some servers do so until the token has almost expired.
 *
 * The token's end stays the same, or comes earlier. The next refresh follows after half of the remaining time. If
 * callers would have to wait before it, they use the token until then, so that not each call causes a request.
 *
 * @param ageMs Less than `current.expiresAtMs`.
 * @param endsAtMs The age at which the token expires by this response. More than `ageMs`.
 */
export function reissuedSchedule(
  current: RefreshSchedule,
  ageMs: number,
  endsAtMs: number,
  policy: RefreshPolicy,
): RefreshSchedule {
  const expiresAtMs = Math.min(current.expiresAtMs, endsAtMs);
  const waitAtMs = Math.min(current.waitAtMs, expiresAtMs - skewOf(expiresAtMs, policy));
  if (ageMs < waitAtMs) {
    const nextTryMs = Math.min(ageMs + Math.max(30_000, (waitAtMs - ageMs) / 2), waitAtMs);
    return { ...current, refreshAtMs: nextTryMs, waitAtMs, expiresAtMs, renewableAtMs: nextTryMs };
  }
  const nextTryMs = Math.min(ageMs + clamp((expiresAtMs - ageMs) / 2, 1000, 30_000), expiresAtMs);
  return { ...current, refreshAtMs: nextTryMs, waitAtMs: nextTryMs, expiresAtMs, renewableAtMs: nextTryMs };
}

/**
 * Maximum lifetime assumed for a token that the server returned again after its known end, in milliseconds. The server
 * may have prolonged the token, or may be wrong; an early refresh shows which.
 */
export const PROLONGED_LIFETIME_MS = 300_000;

/** How close a token is to its expiry. */
export type TokenFreshness =
  /** In use. */
  | 'fresh'
  /** In use, and refreshed in the background. */
  | 'stale'
  /** Callers wait for the refresh; if it fails, they get this token. */
  | 'expiring'
  /** No longer used. */
  | 'expired';

export function tokenFreshness(schedule: RefreshSchedule, ageMs: number): TokenFreshness {
  if (ageMs < schedule.refreshAtMs) return 'fresh';
  if (ageMs < schedule.waitAtMs) return 'stale';
  if (ageMs < schedule.expiresAtMs) return 'expiring';
  return 'expired';
}

/** Returns whether a token has the wanted remaining lifetime, or counts as new. */
export function livesLongEnough(schedule: RefreshSchedule, ageMs: number, minTtlMs: number): boolean {
  return schedule.expiresAtMs - ageMs >= minTtlMs || ageMs < schedule.renewableAtMs;
}

/** Returns the time between the first background refresh and the age at which callers wait, in milliseconds. */
export function retryRoomMs(schedule: RefreshSchedule): number {
  return schedule.waitAtMs - schedule.refreshAtMs;
}

/** Returns the timeout of a background attempt, in milliseconds: it leaves time for further attempts. */
export function backgroundAttemptTimeoutMs(schedule: RefreshSchedule, longestMs: number): number {
  return Math.min(longestMs, Math.max(2000, retryRoomMs(schedule) / 4));
}

function skewOf(lifetimeMs: number, policy: RefreshPolicy): number {
  return Math.min(policy.skewMs, lifetimeMs / 10);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
