/** The two settings of the refresh policy. */
export interface RefreshPolicy {
  /** A token is not sent during the last part of its life if a better one can be had: this long, in milliseconds. */
  readonly skewMs: number;
  /** Outage of the token endpoint that a token of ordinary life should bridge, in milliseconds. */
  readonly outageBudgetMs: number;
}

/** A token that is rejected while it is younger than this may be ahead of the receiver's clock, in milliseconds. */
export const YOUNG_TOKEN_MS = 5000;

/**
 * The plan for one token. Every figure is an age: milliseconds since just before the token was asked for.
 *
 * Ages, not points in time, because only an age can be measured by two clocks at once.
 */
export interface RefreshSchedule {
  /** From this age on, the token is refreshed in the background. */
  readonly refreshAtMs: number;
  /** From this age on, callers wait for the refresh. */
  readonly waitAtMs: number;
  /** From this age on, the token is dead. */
  readonly expiresAtMs: number;
  /** Before this age a token is as new as can be, and is not renewed whatever is asked for. */
  readonly renewableAtMs: number;
  /** Whether a timer watches the token. A very short life is watched by its users alone. */
  readonly timed: boolean;
}

/** Lives below this get no timer, in milliseconds. */
export const SHORTEST_TIMED_LIFETIME_MS = 10_000;

/** What the plan for a token is made of. All figures in milliseconds. */
export interface RefreshScheduleInput {
  readonly lifetimeMs: number;
  /** Age of the token when it arrived: how long the token request took. */
  readonly arrivalAgeMs: number;
  /** Uniform in [0, 1), drawn once per token: at a draw per check, the earliest roll of a busy service would win. */
  readonly jitter: number;
  /** How long after the answer the server wants to see a refresh (`refresh_in`), where it says so. */
  readonly refreshInMs?: number | undefined;
  /** Age below which this server is known to hand out the same token again. */
  readonly earliestRenewalMs?: number | undefined;
}

/**
 * When to refresh a token of a given life.
 *
 * The lead before the end is a share of the life, never a fixed time: a fixed one exceeds a short life, and then each
 * call asks for a token. It is the outage budget where that lies between a quarter and a half of the life.
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
 * The plan after a refresh brought the same token again, which some servers do until it is close to its end.
 *
 * The token's end stays where it was, or comes nearer. The next try is half the remaining way off; where callers would
 * be waiting by then, they go on using the token until that try instead, so that not each of them causes one.
 *
 * @param ageMs Less than `current.expiresAtMs`.
 * @param endsAtMs The age at which the token ends by this answer. More than `ageMs`.
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
 * Longest life believed of a token that was handed out again after its known end, in milliseconds. Either the server
 * has prolonged it, or it does not know better; asking again soon is the way to find out.
 */
export const PROLONGED_LIFETIME_MS = 300_000;

/** Where a token stands in its life. */
export type TokenFreshness =
  /** Used as it is. */
  | 'fresh'
  /** Used as it is, and refreshed behind the callers' backs. */
  | 'stale'
  /** Callers wait for the refresh; if it fails they get this token after all. */
  | 'expiring'
  /** Not used. */
  | 'expired';

export function tokenFreshness(schedule: RefreshSchedule, ageMs: number): TokenFreshness {
  if (ageMs < schedule.refreshAtMs) return 'fresh';
  if (ageMs < schedule.waitAtMs) return 'stale';
  if (ageMs < schedule.expiresAtMs) return 'expiring';
  return 'expired';
}

/** Whether a token lives as long as a caller wants, or as long as any new one would. */
export function livesLongEnough(schedule: RefreshSchedule, ageMs: number, minTtlMs: number): boolean {
  return schedule.expiresAtMs - ageMs >= minTtlMs || ageMs < schedule.renewableAtMs;
}

/** Time between the first background refresh and the moment when callers begin to wait, in milliseconds. */
export function retryRoomMs(schedule: RefreshSchedule): number {
  return schedule.waitAtMs - schedule.refreshAtMs;
}

/** How long one attempt behind the callers' backs may take, in milliseconds, so that it leaves room for others. */
export function backgroundAttemptTimeoutMs(schedule: RefreshSchedule, longestMs: number): number {
  return Math.min(longestMs, Math.max(2000, retryRoomMs(schedule) / 4));
}

function skewOf(lifetimeMs: number, policy: RefreshPolicy): number {
  return Math.min(policy.skewMs, lifetimeMs / 10);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
