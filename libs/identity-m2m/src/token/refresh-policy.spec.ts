import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import {
  backgroundAttemptTimeoutMs,
  refreshSchedule,
  reissuedSchedule,
  retryRoomMs,
  tokenFreshness,
} from './refresh-policy.js';

const policy = { skewMs: 30_000, outageBudgetMs: 300_000 };
const seconds = (s: number) => s * 1000;

const lifetimes = fc.double({ min: 1, max: 30 * 24 * 3600, noNaN: true }).map(seconds);
const jitter = fc.nat(9999).map((n) => n / 10_000);
const policies = fc.record({
  skewMs: fc.integer({ min: 0, max: 600_000 }),
  outageBudgetMs: fc.integer({ min: 0, max: 24 * 3600_000 }),
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

  it('is spread over a fleet by the jitter alone', () => {
    fc.assert(
      fc.property(jitter, jitter, (a, b) => {
        const plan = (u: number) => refreshSchedule({ lifetimeMs: 3600_000, arrivalAgeMs: 100, jitter: u }, policy);
        expect(Math.sign(plan(a).refreshAtMs - plan(b).refreshAtMs)).toBe(Math.sign(a - b));
      }),
    );
  });

  it('always refreshes before callers wait, and lets them wait before the end', () => {
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

  it('never asks for a second token right after the first, however short the life', () => {
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
    { refreshIn: 1800, refreshAt: 1800 },
    { refreshIn: 10, refreshAt: 900 },
    { refreshIn: 3599, refreshAt: 3240 },
  ])('heeds refresh_in $refreshIn of a token of 3600 s within bounds', ({ refreshIn, refreshAt }) => {
    const plan = refreshSchedule(
      { lifetimeMs: seconds(3600), arrivalAgeMs: 0, jitter: 0, refreshInMs: seconds(refreshIn) },
      policy,
    );
    expect(plan.refreshAtMs).toBe(seconds(refreshAt));
  });

  it('does not ask a server that re-issues before it is known to answer with a new token', () => {
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

describe('schedule of a token that was handed out again', () => {
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

  it('lets callers go on where they would be waiting, until a try that is never at once', () => {
    expect(reissuedSchedule(current, seconds(3580), seconds(7100), policy)).toMatchObject({
      refreshAtMs: seconds(3590),
      waitAtMs: seconds(3590),
      expiresAtMs: seconds(3600),
    });
    expect(reissuedSchedule(current, seconds(3599.5), seconds(7100), policy).waitAtMs).toBe(seconds(3600));
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
});
