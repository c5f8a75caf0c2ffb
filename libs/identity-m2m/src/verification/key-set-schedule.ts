import { doublingDelayMs } from '../foundation/doubling-delay.js';

/** When keys are read again, and how long they may be used. All in milliseconds. */
export interface KeySetSchedule {
  /** Reads that tokens can cause by naming keys that are not held. */
  readonly lookUps: LookUpBudget;
  /** Delay after a read that failed. Doubles up to the last one. */
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** How long keys are used on beyond their lifetime while they can't be read. */
  readonly maxStaleMs: number;
  /** How long one read may take. */
  readonly readTimeoutMs: number;
}

/** How often an issuer is asked for keys that tokens name: anyone can make up such names. */
export interface LookUpBudget {
  /** Most reads within the window. */
  readonly most: number;
  readonly windowMs: number;
  /** Least time between the first read of a window and the second. */
  readonly firstGapMs: number;
  /** Least time between all further ones. */
  readonly gapMs: number;
}

/**
 * Returns how long the next look-up has to wait, in milliseconds.
 *
 * The first gap is short, so that a single stray name delays nobody for long; the others spread the rest of the budget
 * over the window, so that under a flood a key that is new is never far from the next read: 25 s at most, then 15 s.
 *
 * @param agesMs Time since each of the last look-ups, the latest first.
 */
export function lookUpDelayMs(agesMs: readonly number[], { most, windowMs, firstGapMs, gapMs }: LookUpBudget): number {
  const recent = agesMs.filter((age) => age < windowMs);
  const [latest] = recent;
  if (latest === undefined) return 0;
  const gapLeftMs = (recent.length === 1 ? firstGapMs : gapMs) - latest;
  const budgetLeftMs = recent.length < most ? 0 : windowMs - recent[most - 1]!;
  return Math.max(gapLeftMs, budgetLeftMs, 0);
}

export const REMOTE_KEY_SET_SCHEDULE: KeySetSchedule = {
  lookUps: { most: 4, windowMs: 60_000, firstGapMs: 5000, gapMs: 15_000 },
  firstRetryMs: 1000,
  lastRetryMs: 60_000,
  maxStaleMs: 3600_000,
  readTimeoutMs: 5000,
};

/** A file costs little to read, and nobody else is asked. */
export const KEY_FILE_SCHEDULE: KeySetSchedule = {
  ...REMOTE_KEY_SET_SCHEDULE,
  lookUps: { most: 60, windowMs: 60_000, firstGapMs: 1000, gapMs: 1000 },
  lastRetryMs: 10_000,
};

/** How far keys have got through their lifetime. */
export type KeySetStage =
  /** As good as just read. */
  | 'fresh'
  /** Due to be read again, while they are used. */
  | 'due'
  /** Beyond their lifetime: only the second best, where they can't be read. */
  | 'stale'
  /** Not to be used. */
  | 'dead';

export function keySetStage(
  ageMs: number,
  { lifetimeMs, refreshAfterMs }: { readonly lifetimeMs: number; readonly refreshAfterMs: number },
  { maxStaleMs }: KeySetSchedule,
): KeySetStage {
  if (ageMs < refreshAfterMs) return 'fresh';
  if (ageMs < lifetimeMs) return 'due';
  return ageMs < lifetimeMs + maxStaleMs ? 'stale' : 'dead';
}

/**
 * When to read keys again: at 80 % of their lifetime, or up to a tenth earlier, so that the processes of a fleet do not
 * come all at once.
 *
 * @param random From 0 to 1.
 */
export function refreshAfterMs(lifetimeMs: number, random: number): number {
  return Math.floor(lifetimeMs * 0.8 * (1 - 0.1 * random));
}

/** How long to wait after failures in a row: doubling, the latter half of each delay by chance. */
export function retryDelayMs(failures: number, random: number, { firstRetryMs, lastRetryMs }: KeySetSchedule): number {
  return Math.ceil(doublingDelayMs(firstRetryMs, lastRetryMs, failures - 1) * (1 - 0.5 * random));
}

const DEFAULT_LIFETIME_MS = 600_000;
const SHORTEST_LIFETIME_MS = 60_000;
const LONGEST_LIFETIME_MS = 86_400_000;

/** How long an answer with keys may be used, by its `Cache-Control` and `Age` (RFC 9111 §4.2), within limits. */
export function lifetimeMs(cacheControl: string | null, age: string | null): number {
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
