import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import {
  backgroundAttemptTimeoutMs,
  livesLongEnough,
  PROLONGED_LIFETIME_MS,
  refreshSchedule,
  reissuedSchedule,
  retryRoomMs,
  SHORTEST_TIMED_LIFETIME_MS,
  tokenFreshness,
  YOUNG_TOKEN_MS,
} from './refresh-policy.js';

const policy = { skewMs: 30_000, outageBudgetMs: 300_000 };
const seconds = (s: number) => s * 1000;

const lifetimes = fc.double({ min: 1, max: 30 * 24 * 3600, noNaN: true }).map(seconds);
const jitter = fc.nat(9999).map((n) => n / 10_000);
const policies = fc.record({
  skewMs: fc.integer({ min: 0, max: 600_000 }),
  outageBudgetMs: fc.integer({ min: 0, max: 24 * 3600_000 }),
});

test('a token is young for 5 s, has a timer from 10 s on, and is prolonged for 5 minutes', () => {
  expect([YOUNG_TOKEN_MS, SHORTEST_TIMED_LIFETIME_MS, PROLONGED_LIFETIME_MS]).toEqual([5000, 10_000, 300_000]);
});

describe('refresh schedule', () => {
  test.each([
    // life, skew, refresh at the earliest and at the latest: all in seconds
    { life: 60, skew: 6, from: 30, to: 36 },
    { life: 300, skew: 30, from: 150, to: 180 },
    { life: 900, skew: 30, from: 600, to: 660 },
    { life: 3600, skew: 30, from: 2700, to: 2880 },
    { life: 18_000, skew: 30, from: 13_500, to: 14_400 },
    { life: 86_400, skew: 30, from: 64_800, to: 69_120 },
  ])('a token of $life s is refreshed between $from and $to s', ({ life, skew, from, to }) => {
    const plan = (jitter: number) => refreshSchedule({ lifetimeMs: seconds(life), arrivalAgeMs: 0, jitter }, policy);
    expect(plan(0)).toEqual({
      refreshAtMs: seconds(from),
      waitAtMs: seconds(life - skew),
      expiresAtMs: seconds(life),
      renewableAtMs: seconds(Math.min(30, life / 4)),
      timed: true,
    });
    expect(plan(1).refreshAtMs).toBeCloseTo(seconds(to));
  });

  test.each([
    { jitter: 0, refreshAt: 2700 },
    { jitter: 0.25, refreshAt: 2745 },
    { jitter: 0.5, refreshAt: 2790 },
    { jitter: 1, refreshAt: 2880 },
  ])('a jitter of $jitter moves the refresh of a token of 3600 s to $refreshAt s', ({ jitter, refreshAt }) => {
    const plan = refreshSchedule({ lifetimeMs: seconds(3600), arrivalAgeMs: 0, jitter }, policy);
    expect(plan.refreshAtMs).toBeCloseTo(seconds(refreshAt), 3);
  });

  test.each([
    // The outage budget, between a quarter and a half of the lifetime, in seconds.
    { life: 1200, budget: 299, refreshAt: 900 },
    { life: 1200, budget: 301, refreshAt: 899 },
    { life: 1200, budget: 599, refreshAt: 601 },
    { life: 1200, budget: 601, refreshAt: 600 },
  ])('a budget of $budget s has a token of $life s refreshed at $refreshAt s', ({ life, budget, refreshAt }) => {
    const budgeted = { ...policy, outageBudgetMs: seconds(budget) };
    const plan = refreshSchedule({ lifetimeMs: seconds(life), arrivalAgeMs: 0, jitter: 0 }, budgeted);
    expect(plan.refreshAtMs).toBe(seconds(refreshAt));
  });

  test.each([
    { life: 299, waitAt: 269.1 },
    { life: 300, waitAt: 270 },
    { life: 301, waitAt: 271 },
    { life: 86_400, waitAt: 86_370 },
  ])('callers wait for a token of $life s from $waitAt s on', ({ life, waitAt }) => {
    const plan = refreshSchedule({ lifetimeMs: seconds(life), arrivalAgeMs: 0, jitter: 0 }, policy);
    expect(plan.waitAtMs).toBeCloseTo(seconds(waitAt), 3);
  });

  test.each([
    // A quarter of the lifetime after the arrival, between 1 and 30 s, in seconds.
    { life: 2, arrival: 0, renewableAt: 1 },
    { life: 3.9, arrival: 0, renewableAt: 1 },
    { life: 4.4, arrival: 0, renewableAt: 1.1 },
    { life: 60, arrival: 7, renewableAt: 22 },
    { life: 119, arrival: 0, renewableAt: 29.75 },
    { life: 121, arrival: 0, renewableAt: 30 },
    { life: 86_400, arrival: 7, renewableAt: 37 },
  ])('a token of $life s that took $arrival s is new until $renewableAt s', ({ life, arrival, renewableAt }) => {
    const plan = refreshSchedule({ lifetimeMs: seconds(life), arrivalAgeMs: seconds(arrival), jitter: 0 }, policy);
    expect(plan.renewableAtMs).toBe(seconds(renewableAt));
  });

  test.each([
    { arrival: 14, earliest: undefined, refreshAt: 30 },
    { arrival: 20, earliest: undefined, refreshAt: 35 },
    { arrival: 20, earliest: 34, refreshAt: 35 },
    { arrival: 20, earliest: 36, refreshAt: 36 },
    { arrival: 20, earliest: 53, refreshAt: 53 },
    { arrival: 20, earliest: 55, refreshAt: 54 },
  ])(
    'a token of 60 s that took $arrival s and is renewed after $earliest s is refreshed at $refreshAt s',
    ({ arrival, earliest, refreshAt }) => {
      const earliestRenewalMs = earliest === undefined ? undefined : seconds(earliest);
      const input = { lifetimeMs: seconds(60), arrivalAgeMs: seconds(arrival), jitter: 0, earliestRenewalMs };
      expect(refreshSchedule(input, policy).refreshAtMs).toBe(seconds(refreshAt));
    },
  );

  it('is spread over a fleet by the jitter alone', () => {
    fc.assert(
      fc.property(jitter, jitter, (a, b) => {
        const plan = (u: number) => refreshSchedule({ lifetimeMs: 3600_000, arrivalAgeMs: 100, jitter: u }, policy);
        expect(Math.sign(plan(a).refreshAtMs - plan(b).refreshAtMs)).toBe(Math.sign(a - b));
      }),
    );
  });

  it('always refreshes before callers wait, and has them wait before the end', () => {
    fc.assert(
      fc.property(lifetimes, jitter, policies, fc.nat(20_000), (lifetimeMs, u, policy, arrivalAgeMs) => {
        fc.pre(arrivalAgeMs < lifetimeMs);
        const plan = refreshSchedule({ lifetimeMs, arrivalAgeMs, jitter: u }, policy);
        expect(plan.refreshAtMs).toBeLessThanOrEqual(plan.waitAtMs);
        expect(plan.waitAtMs).toBeLessThanOrEqual(plan.expiresAtMs);
        expect(plan.waitAtMs).toBeGreaterThanOrEqual(lifetimeMs * 0.9 - 0.001);
        expect(plan.expiresAtMs).toBe(lifetimeMs);
      }),
    );
  });

  it('never requests a second token right after the first, however short the life', () => {
    fc.assert(
      fc.property(lifetimes, jitter, policies, (lifetimeMs, u, policy) => {
        const plan = refreshSchedule({ lifetimeMs, arrivalAgeMs: 0, jitter: u }, policy);
        // A life of 60 s under a fixed lead of 60 s would mean a token request per call.
        expect(plan.refreshAtMs).toBeGreaterThanOrEqual(lifetimeMs / 4 - 0.001);
      }),
    );
  });

  it('keeps a distance from a slow answer', () => {
    const plan = refreshSchedule({ lifetimeMs: seconds(60), arrivalAgeMs: seconds(40), jitter: 0 }, policy);
    expect(plan.refreshAtMs).toBe(seconds(54));
  });

  it.each([
    { life: 3600, refreshIn: 1800, refreshAt: 1800 },
    { life: 3600, refreshIn: 10, refreshAt: 900 },
    { life: 3600, refreshIn: 899, refreshAt: 900 },
    { life: 3600, refreshIn: 901, refreshAt: 901 },
    { life: 3600, refreshIn: 3239, refreshAt: 3239 },
    { life: 3600, refreshIn: 3241, refreshAt: 3240 },
    { life: 3600, refreshIn: 3599, refreshAt: 3240 },
    // Twice the time for which callers wait is more than a tenth of the lifetime.
    { life: 400, refreshIn: 339, refreshAt: 339 },
    { life: 400, refreshIn: 341, refreshAt: 340 },
    { life: 200, refreshIn: 161, refreshAt: 160 },
  ])('heeds refresh_in $refreshIn of a token of $life s within bounds', ({ life, refreshIn, refreshAt }) => {
    const plan = refreshSchedule(
      { lifetimeMs: seconds(life), arrivalAgeMs: 0, jitter: 0, refreshInMs: seconds(refreshIn) },
      policy,
    );
    expect(plan.refreshAtMs).toBe(seconds(refreshAt));
  });

  it('sends no request to a server that re-issues before it is known to issue a new token', () => {
    const input = { lifetimeMs: seconds(3600), arrivalAgeMs: 0, jitter: 0, earliestRenewalMs: seconds(3300) };
    expect(refreshSchedule(input, policy).refreshAtMs).toBe(seconds(3300));
    expect(refreshSchedule({ ...input, earliestRenewalMs: seconds(9999) }, policy).refreshAtMs).toBe(seconds(3570));
  });

  it('gives no timer to a life below 10 s', () => {
    const timed = (life: number) =>
      refreshSchedule({ lifetimeMs: seconds(life), arrivalAgeMs: 0, jitter: 0 }, policy).timed;
    expect([9.999, 10].map(timed)).toEqual([false, true]);
  });
});

describe('schedule of a token that was issued again', () => {
  const current = refreshSchedule({ lifetimeMs: seconds(3600), arrivalAgeMs: 0, jitter: 0 }, policy);

  it('tries again half the remaining way, and at last when callers begin to wait', () => {
    expect(reissuedSchedule(current, seconds(2700), seconds(6300), policy)).toEqual({
      refreshAtMs: seconds(2700 + (3570 - 2700) / 2),
      waitAtMs: seconds(3570),
      expiresAtMs: seconds(3600),
      renewableAtMs: seconds(2700 + (3570 - 2700) / 2),
      timed: true,
    });
    expect(reissuedSchedule(current, seconds(3560), seconds(7100), policy).refreshAtMs).toBe(seconds(3570));
  });

  it('has no caller wait before the next attempt, which is never at once', () => {
    expect(reissuedSchedule(current, seconds(3580), seconds(7100), policy)).toMatchObject({
      refreshAtMs: seconds(3590),
      waitAtMs: seconds(3590),
      expiresAtMs: seconds(3600),
    });
    expect(reissuedSchedule(current, seconds(3599.5), seconds(7100), policy).waitAtMs).toBe(seconds(3600));
  });

  test.each([
    // Age, end by the response, next try, from when callers wait, end that counts: all in seconds.
    { age: 2700, endsAt: 6300, nextTry: 3135, waitAt: 3570, expiresAt: 3600 },
    { age: 3509, endsAt: 7109, nextTry: 3539.5, waitAt: 3570, expiresAt: 3600 },
    { age: 3511, endsAt: 7111, nextTry: 3541, waitAt: 3570, expiresAt: 3600 },
    { age: 3539, endsAt: 7139, nextTry: 3569, waitAt: 3570, expiresAt: 3600 },
    { age: 3541, endsAt: 7141, nextTry: 3570, waitAt: 3570, expiresAt: 3600 },
    { age: 3569.999, endsAt: 7170, nextTry: 3570, waitAt: 3570, expiresAt: 3600 },
    { age: 3570, endsAt: 7170, nextTry: 3585, waitAt: 3585, expiresAt: 3600 },
    { age: 3597, endsAt: 7197, nextTry: 3598.5, waitAt: 3598.5, expiresAt: 3600 },
    { age: 3598.1, endsAt: 7198, nextTry: 3599.1, waitAt: 3599.1, expiresAt: 3600 },
    { age: 3599.1, endsAt: 7199, nextTry: 3600, waitAt: 3600, expiresAt: 3600 },
    // The server tells a nearer end.
    { age: 1000, endsAt: 2000, nextTry: 1485, waitAt: 1970, expiresAt: 2000 },
    { age: 10, endsAt: 50, nextTry: 40, waitAt: 45, expiresAt: 50 },
    { age: 20, endsAt: 50, nextTry: 45, waitAt: 45, expiresAt: 50 },
    { age: 45, endsAt: 50, nextTry: 47.5, waitAt: 47.5, expiresAt: 50 },
  ])('at $age s with an end at $endsAt s: the next attempt at $nextTry s', ({ age, endsAt, ...expected }) => {
    expect(reissuedSchedule(current, seconds(age), seconds(endsAt), policy)).toEqual({
      refreshAtMs: expect.closeTo(seconds(expected.nextTry), 3),
      renewableAtMs: expect.closeTo(seconds(expected.nextTry), 3),
      waitAtMs: expect.closeTo(seconds(expected.waitAt), 3),
      expiresAtMs: seconds(expected.expiresAt),
      timed: true,
    });
  });

  test.each([
    // Callers would wait for the last 600 s.
    { age: 6700, nextTry: 6730 },
    { age: 7139, nextTry: 7169 },
    { age: 7141, nextTry: 7170.5 },
  ])('tries again within 30 s where callers would be waiting: from $age to $nextTry s', ({ age, nextTry }) => {
    const patient = { skewMs: seconds(600), outageBudgetMs: seconds(1800) };
    const plan = refreshSchedule({ lifetimeMs: seconds(7200), arrivalAgeMs: 0, jitter: 0 }, patient);
    const next = reissuedSchedule(plan, seconds(age), seconds(99_999), patient);
    expect(next).toMatchObject({ refreshAtMs: seconds(nextTry), waitAtMs: seconds(nextTry) });
  });

  it('never lets callers use the token longer than before', () => {
    const earlier = { ...current, waitAtMs: seconds(3000) };
    const plan = reissuedSchedule(earlier, seconds(2800), seconds(6400), policy);
    expect(plan).toMatchObject({ refreshAtMs: seconds(2900), waitAtMs: seconds(3000), expiresAtMs: seconds(3600) });
  });

  it('keeps whether there is a timer', () => {
    const plan = reissuedSchedule({ ...current, timed: false }, seconds(3580), seconds(7100), policy);
    expect(plan.timed).toBe(false);
  });

  it('believes an end that is nearer than the one known, never a later one', () => {
    fc.assert(
      fc.property(fc.nat(3599), lifetimes, (age, newLifetimeMs) => {
        const plan = reissuedSchedule(current, seconds(age), seconds(age) + newLifetimeMs, policy);
        expect(plan.expiresAtMs).toBe(Math.min(current.expiresAtMs, seconds(age) + newLifetimeMs));
        expect(plan.refreshAtMs).toBeLessThanOrEqual(plan.waitAtMs);
        expect(plan.waitAtMs).toBeLessThanOrEqual(plan.expiresAtMs);
        expect(plan.refreshAtMs).toBeGreaterThan(seconds(age));
        // Nobody can hurry what the server has just refused to do.
        expect(plan.renewableAtMs).toBe(plan.refreshAtMs);
      }),
    );
  });
});

describe('freshness', () => {
  const schedule = refreshSchedule({ lifetimeMs: seconds(3600), arrivalAgeMs: 0, jitter: 0 }, policy);

  test.each([
    { age: 0, freshness: 'fresh' },
    { age: 2699.999, freshness: 'fresh' },
    { age: 2700, freshness: 'stale' },
    { age: 3569.999, freshness: 'stale' },
    { age: 3570, freshness: 'expiring' },
    { age: 3599.999, freshness: 'expiring' },
    { age: 3600, freshness: 'expired' },
  ])('at $age s a token of 3600 s is $freshness', ({ age, freshness }) => {
    expect(tokenFreshness(schedule, seconds(age))).toBe(freshness);
  });

  it('leaves room for about seven quick retries in a token of 60 s', () => {
    const short = refreshSchedule({ lifetimeMs: seconds(60), arrivalAgeMs: 0, jitter: 0 }, policy);
    expect(retryRoomMs(short)).toBe(seconds(24));
    expect(backgroundAttemptTimeoutMs(short, seconds(10))).toBe(seconds(6));
    expect(backgroundAttemptTimeoutMs(schedule, seconds(10))).toBe(seconds(10));
  });

  test.each([
    // Between 2 s and the longest: a quarter of the time for retries, in seconds.
    { refreshAt: 1000, waitAt: 1007.9, longest: 10, timeout: 2 },
    { refreshAt: 1000, waitAt: 1008.4, longest: 10, timeout: 2.1 },
    { refreshAt: 1000, waitAt: 1039, longest: 10, timeout: 9.75 },
    { refreshAt: 1000, waitAt: 1041, longest: 10, timeout: 10 },
    { refreshAt: 1000, waitAt: 1000, longest: 1, timeout: 1 },
  ])(
    'a refresh from $refreshAt to $waitAt s is given up after $timeout s',
    ({ refreshAt, waitAt, longest, timeout }) => {
      const plan = { ...schedule, refreshAtMs: seconds(refreshAt), waitAtMs: seconds(waitAt) };
      expect(backgroundAttemptTimeoutMs(plan, seconds(longest))).toBe(seconds(timeout));
    },
  );

  test.each([
    // A token of 3600 s counts as new for 30 s.
    { age: 29.999, minTtl: 86_400, isEnough: true },
    { age: 30, minTtl: 86_400, isEnough: false },
    { age: 30, minTtl: 3570, isEnough: true },
    { age: 30.001, minTtl: 3570, isEnough: false },
    { age: 3599, minTtl: 1, isEnough: true },
    { age: 3599, minTtl: 1.001, isEnough: false },
    { age: 3600, minTtl: 0, isEnough: true },
    { age: 3600.001, minTtl: 0, isEnough: false },
  ])('at $age s a token of 3600 s has $minTtl s left or is new: $isEnough', ({ age, minTtl, isEnough }) => {
    expect(livesLongEnough(schedule, seconds(age), seconds(minTtl))).toBe(isEnough);
  });
});
