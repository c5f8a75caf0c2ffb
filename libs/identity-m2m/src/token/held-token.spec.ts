import { describe, expect, it, test } from '@jest/globals';
import type { Instant } from '../foundation/clock.js';
import { AccessToken } from './access-token.js';
import {
  type AcquiredToken,
  expiresAt,
  type HeldToken,
  isAlive,
  refreshAt,
  replaceHeldToken,
  type TokenReplacementContext,
} from './held-token.js';
import { refreshSchedule, reissuedSchedule } from './refresh-policy.js';

const START = Date.parse('2030-01-01T00:00:00Z');
const POLICY = { skewMs: 30_000, outageBudgetMs: 300_000 };
const HOUR_MS = 3600_000;

const at = (ms: number): Instant => ({ wallMs: START + ms, monotonicMs: 500 + ms });

interface Grant {
  readonly from?: number;
  readonly to?: number;
  readonly lifetimeMs?: number;
  readonly refreshInMs?: number;
}

function acquired(text: string, { from = 0, to = from, lifetimeMs = HOUR_MS, refreshInMs }: Grant = {}): AcquiredToken {
  return {
    granted: { accessToken: new AccessToken(text), lifetime: { lifetimeMs, source: 'expires_in' }, refreshInMs },
    requestedAt: at(from),
    receivedAt: at(to),
    credential: `credential of ${text}`,
  };
}

const context = (more: Partial<TokenReplacementContext> = {}): TokenReplacementContext => ({
  policy: POLICY,
  earliestRenewalMs: undefined,
  random: () => 0,
  ...more,
});

const replace = (
  before: HeldToken | undefined,
  next: AcquiredToken,
  more: Partial<TokenReplacementContext> = {},
): ReturnType<typeof replaceHeldToken> => replaceHeldToken(before, next, context(more));

const hold = (text: string, lifetimeMs = HOUR_MS) => replace(undefined, acquired(text, { lifetimeMs })).held;

describe('the first token', () => {
  it('is held from just before its request', () => {
    const next = acquired('a', { from: 1000, to: 3000, refreshInMs: 1800_000 });
    const { held, replaced, earliestRenewalMs } = replace(undefined, next, { random: () => 0.5 });
    expect(held).toEqual({
      token: next.granted.accessToken,
      since: at(1000),
      schedule: refreshSchedule(
        { lifetimeMs: HOUR_MS, arrivalAgeMs: 2000, jitter: 0.5, refreshInMs: 1800_000 },
        POLICY,
      ),
      isReissued: false,
      isServedStale: false,
      credential: 'credential of a',
    });
    expect([replaced, earliestRenewalMs]).toEqual([undefined, undefined]);
  });

  it('is not refreshed before the age that is known of its server', () => {
    const { held, earliestRenewalMs } = replace(undefined, acquired('a'), { earliestRenewalMs: 3500_000 });
    expect(held.schedule.refreshAtMs).toBe(3500_000);
    expect(earliestRenewalMs).toBe(3500_000);
  });
});

describe('another token', () => {
  test.each([
    { ageMs: HOUR_MS - 1, isReplaced: true },
    { ageMs: HOUR_MS, isReplaced: false },
    { ageMs: HOUR_MS + 1, isReplaced: false },
  ])('after $ageMs ms replaces one that has not expired: $isReplaced', ({ ageMs, isReplaced }) => {
    const before = hold('a');
    const { held, replaced } = replace(before, acquired('b', { from: ageMs - 5, to: ageMs }));
    expect(replaced).toBe(isReplaced ? before : undefined);
    expect(held).toMatchObject({ since: at(ageMs - 5), isReissued: false, credential: 'credential of b' });
    expect(held.token.reveal()).toBe('b');
    expect(held.schedule).toEqual(refreshSchedule({ lifetimeMs: HOUR_MS, arrivalAgeMs: 5, jitter: 0 }, POLICY));
  });

  it('teaches when the server renews one that it returned again before', () => {
    const before = { ...hold('a'), isReissued: true };
    const { held, earliestRenewalMs } = replace(before, acquired('b', { from: 3_399_000, to: 3_400_000 }));
    expect(earliestRenewalMs).toBe(3_400_000);
    expect(held.schedule.refreshAtMs).toBe(3_400_000);
    expect(held.isReissued).toBe(false);
  });

  it('teaches nothing where the one before was not returned again, or has expired', () => {
    const before = hold('a');
    const known = { earliestRenewalMs: 1234 };
    expect(replace(before, acquired('b', { from: 3_400_000 }), known).earliestRenewalMs).toBe(1234);
    const expired = { ...before, isReissued: true };
    expect(replace(expired, acquired('b', { from: HOUR_MS }), known).earliestRenewalMs).toBe(1234);
  });
});

describe('the same token again', () => {
  it('keeps its age, and has a schedule for the rest of its life', () => {
    const before = { ...hold('a'), isServedStale: true };
    const next = acquired('a', { from: 2_000_000, to: 2_001_000 });
    const { held, replaced, earliestRenewalMs } = replace(before, next, { earliestRenewalMs: 77 });
    expect(held).toEqual({
      ...before,
      schedule: reissuedSchedule(before.schedule, 2_001_000, 2_000_000 + HOUR_MS, POLICY),
      isReissued: true,
    });
    expect(held.schedule.expiresAtMs).toBe(HOUR_MS);
    expect(held.token).toBe(before.token);
    expect([replaced === before, earliestRenewalMs]).toEqual([true, 77]);
  });

  it('ends earlier if the server sets it', () => {
    const next = acquired('a', { from: 2_000_000, to: 2_001_000, lifetimeMs: 600_000 });
    expect(replace(hold('a'), next).held.schedule.expiresAtMs).toBe(2_600_000);
  });

  test.each([
    { lifetimeMs: HOUR_MS, expiresAtMs: 300_000 },
    { lifetimeMs: 200_000, expiresAtMs: 200_000 },
  ])('after its end has a life of at most five minutes: $lifetimeMs ms', ({ lifetimeMs, expiresAtMs }) => {
    const { held, replaced } = replace(hold('a'), acquired('a', { from: HOUR_MS, to: HOUR_MS + 10, lifetimeMs }));
    expect(replaced).toBeUndefined();
    expect(held).toMatchObject({ since: at(HOUR_MS), isReissued: true, isServedStale: false });
    expect(held.schedule).toEqual(refreshSchedule({ lifetimeMs: expiresAtMs, arrivalAgeMs: 10, jitter: 0 }, POLICY));
  });
});

describe('a held token', () => {
  test.each([
    { ageMs: 0, minTtlMs: undefined, alive: true },
    { ageMs: HOUR_MS - 1, minTtlMs: undefined, alive: true },
    { ageMs: HOUR_MS, minTtlMs: undefined, alive: false },
    { ageMs: HOUR_MS - 101, minTtlMs: 100, alive: true },
    { ageMs: HOUR_MS - 100, minTtlMs: 100, alive: false },
    { ageMs: HOUR_MS + 99, minTtlMs: -100, alive: true },
    { ageMs: HOUR_MS + 100, minTtlMs: -100, alive: false },
  ])('at the age of $ageMs ms has $minTtlMs ms left: $alive', ({ ageMs, minTtlMs, alive }) => {
    expect(isAlive(hold('a'), at(ageMs), minTtlMs)).toBe(alive);
  });

  it('expires and is refreshed at times of the wall clock', () => {
    const { held } = replace(undefined, acquired('a', { from: 5000 }));
    expect(expiresAt(held)).toEqual(new Date(START + 5000 + HOUR_MS));
    expect(refreshAt(held)).toEqual(new Date(START + 5000 + held.schedule.refreshAtMs));
    expect(held.schedule.refreshAtMs).toBe(2_700_000);
  });
});
