import { getEventListeners } from 'node:events';
import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import type { Instant } from '../foundation/clock.js';
import { ManualClock } from '../testing/manual-clock.js';
import { CredentialQuarantine, quarantineAfter, type SentCredential } from './credential-quarantine.js';

const policy = { maxRefusals: 5, probeIntervalMs: 3600_000 };
const unit = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const lowest = () => 0;

function setUp(random = lowest) {
  const clock = new ManualClock();
  const quarantine = new CredentialQuarantine(clock, random);
  /** A request that waits for its turn, and what became of it so far. */
  const request = ({ key = 'a', isSecond = false } = {}) => {
    const abort = new AbortController();
    const waiting: { hasTurn: boolean; error?: unknown; end: () => void; abort: AbortController } = {
      hasTurn: false,
      end: () => expect(waiting.hasTurn).toBe(true),
      abort,
    };
    quarantine.waitForTurn(key, abort.signal, isSecond).then(
      (end) => Object.assign(waiting, { hasTurn: true, end }),
      (error: unknown) => Object.assign(waiting, { error }),
    );
    return waiting;
  };
  /** Sends a credential now, and has it refused now. */
  const refuse = (key = 'a', sent: Partial<SentCredential> = {}, limits = policy) =>
    quarantine.recordRefusal(key, limits, {
      sentAt: clock.now(),
      requests: 1,
      isConfirmed: true,
      minDelayMs: 0,
      ...sent,
    });
  return { clock, quarantine, request, refuse };
}

describe('a turn to send a credential', () => {
  /** A credential that was accepted so long ago that one request leads and the others follow. */
  const setUpAccepted = async (agoMs = 60_000) => {
    const parts = setUp();
    parts.quarantine.recordAcceptance('a');
    await parts.clock.advance(agoMs);
    return parts;
  };

  it('is for one request after the other until the credential is accepted', async () => {
    const { clock, request } = setUp();
    const [first, second, third] = [request(), request(), request()];
    await clock.advance(3600_000);
    expect([first.hasTurn, second.hasTurn, third.hasTurn]).toEqual([true, false, false]);
    first.end();
    await clock.advance(0);
    expect([second.hasTurn, third.hasTurn]).toEqual([true, false]);
    second.end();
    await clock.advance(0);
    expect(third.hasTurn).toBe(true);
  });

  it('is not shared between credentials', async () => {
    const { clock, request } = setUp();
    const [first, other] = [request({ key: 'a' }), request({ key: 'b' })];
    await clock.advance(0);
    expect([first.hasTurn, other.hasTurn]).toEqual([true, true]);
  });

  it('is free again after it has ended', async () => {
    const { clock, request } = setUp();
    const first = request();
    await clock.advance(0);
    first.end();
    const second = request();
    await clock.advance(0);
    expect(second.hasTurn).toBe(true);
  });

  it('is needed by none of the waiting requests once the first one was accepted', async () => {
    const { clock, quarantine, request } = setUp();
    const [first, second, third] = [request(), request(), request()];
    await clock.advance(7000);
    quarantine.recordAcceptance('a');
    first.end();
    await clock.advance(0);
    expect([second.hasTurn, third.hasTurn]).toEqual([true, true]);
  });

  test.each([
    { agoMs: 0, atOnce: 3 },
    { agoMs: 4999, atOnce: 3 },
    { agoMs: 5000, atOnce: 1 },
    { agoMs: 3600_000, atOnce: 1 },
  ])('is had at once by $atOnce of 3 requests $agoMs ms after an acceptance', async ({ agoMs, atOnce }) => {
    const { clock, request } = await setUpAccepted(agoMs);
    const requests = [request(), request(), request()];
    await clock.advance(0);
    expect(requests.filter(({ hasTurn }) => hasTurn)).toHaveLength(atOnce);
  });

  it('is not taken by a request that goes right after an acceptance', async () => {
    const { clock, request } = await setUpAccepted(4999);
    const early = request();
    await clock.advance(1);
    const leader = request();
    await clock.advance(0);
    expect([early.hasTurn, leader.hasTurn]).toEqual([true, true]);
  });

  it('is waited for 2 s where the credential was accepted before, because the server may not respond', async () => {
    const { clock, request } = await setUpAccepted();
    const leader = request();
    await clock.advance(500);
    const follower = request();
    await clock.advance(1999);
    expect([leader.hasTurn, follower.hasTurn]).toEqual([true, false]);
    await clock.advance(1);
    expect(follower.hasTurn).toBe(true);
  });

  it('remains the leader’s after a follower has gone without it', async () => {
    const { clock, request } = await setUpAccepted();
    request();
    const early = request();
    await clock.advance(2000);
    early.end();
    const late = request();
    await clock.advance(1999);
    expect([early.hasTurn, late.hasTurn]).toEqual([true, false]);
  });

  it('passes from leader to leader without a longer wait for the followers', async () => {
    const { clock, request } = await setUpAccepted();
    const [leader, next, follower] = [request(), request(), request()];
    await clock.advance(1500);
    leader.end();
    await clock.advance(499);
    expect([next.hasTurn, follower.hasTurn]).toEqual([true, false]);
    await clock.advance(1);
    expect(follower.hasTurn).toBe(true);
  });

  it('is not waited for any longer by a request that has waited for over 2 s', async () => {
    const { clock, quarantine, request } = setUp();
    const setTimer = clock.setTimer.bind(clock);
    const delays: number[] = [];
    clock.setTimer = (delayMs, callback) => {
      delays.push(delayMs);
      return setTimer(delayMs, callback);
    };
    const [leader, next, follower] = [request(), request(), request()];
    await clock.advance(1000);
    quarantine.recordAcceptance('a');
    await clock.advance(5000);
    leader.end();
    await clock.advance(0);
    expect([next.hasTurn, follower.hasTurn]).toEqual([true, true]);
    expect(delays).toEqual([0]);
  });

  it('is needed by no second try where the credential was ever accepted', async () => {
    const { clock, request } = await setUpAccepted(3600_000);
    const leader = request();
    const second = request({ isSecond: true });
    await clock.advance(0);
    expect([leader.hasTurn, second.hasTurn]).toEqual([true, true]);
    const follower = request();
    second.end();
    await clock.advance(0);
    expect(follower.hasTurn).toBe(false);
  });

  it('is waited for by a second try where the credential was never accepted', async () => {
    const { clock, request } = setUp();
    const [first, second] = [request(), request({ isSecond: true })];
    await clock.advance(3600_000);
    expect(second.hasTurn).toBe(false);
    first.end();
    await clock.advance(0);
    expect(second.hasTurn).toBe(true);
  });

  it('ends with the signal, and only once', async () => {
    const { clock, request } = setUp();
    const [aborted, second, third] = [request(), request(), request()];
    await clock.advance(0);
    aborted.abort.abort();
    await clock.advance(0);
    expect([second.hasTurn, third.hasTurn]).toEqual([true, false]);
    aborted.end();
    const fourth = request();
    await clock.advance(0);
    expect([third.hasTurn, fourth.hasTurn]).toEqual([false, false]);
  });

  it('leaves nothing at the signal', async () => {
    const { clock, request } = setUp();
    const first = request();
    await clock.advance(0);
    expect(getEventListeners(first.abort.signal, 'abort')).toHaveLength(1);
    first.end();
    expect(getEventListeners(first.abort.signal, 'abort')).toEqual([]);
  });

  it('is not given to a request that was aborted while it waited', async () => {
    const { clock, request } = setUp();
    const [first, aborted, third] = [request(), request(), request()];
    aborted.abort.abort(new Error('the caller left'));
    await clock.advance(0);
    first.end();
    await clock.advance(0);
    expect(aborted).toMatchObject({ hasTurn: false, error: new Error('the caller left') });
    expect(third.hasTurn).toBe(true);
  });

  it('is waited for by a follower until its signal aborts', async () => {
    const { clock, request } = await setUpAccepted();
    request();
    const follower = request();
    await clock.advance(0);
    follower.abort.abort(new Error('the caller left'));
    await clock.advance(0);
    expect(follower).toMatchObject({ hasTurn: false, error: new Error('the caller left') });
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('the record of a rejected credential', () => {
  const confirmed = (delayMs: number) => ({ delayMs, halted: false, isConfirmed: true });

  it('returns the rest of the quarantine to the millisecond', async () => {
    const { clock, quarantine, refuse } = setUp();
    expect(quarantine.remaining('a')).toBeUndefined();
    expect(refuse()).toEqual(confirmed(30_000));
    expect(quarantine.remaining('a')).toEqual(confirmed(30_000));
    await clock.advance(10_000);
    expect(quarantine.remaining('a')).toEqual(confirmed(20_000));
    await clock.advance(19_999);
    expect(quarantine.remaining('a')).toEqual(confirmed(1));
    expect(quarantine.remaining('b')).toBeUndefined();
    await clock.advance(1);
    expect(quarantine.remaining('a')).toBeUndefined();
  });

  it('counts refusals in a row up to the last one, after which only probes follow', async () => {
    const { clock, refuse } = setUp();
    const delays: number[] = [];
    for (let refusal = 1; refusal <= 6; refusal++) {
      const { delayMs, halted } = refuse();
      delays.push(delayMs);
      expect(halted).toBe(refusal >= 5);
      await clock.advance(delayMs);
    }
    expect(delays).toEqual([30_000, 60_000, 120_000, 240_000, 3600_000, 3600_000]);
  });

  it('spreads the delay by the random source, and keeps whether the server refused the credential', () => {
    const { refuse } = setUp(() => 1);
    expect(refuse('a')).toEqual(confirmed(36_000));
    expect(refuse('b', { isConfirmed: false })).toEqual({ delayMs: 1000, halted: false, isConfirmed: false });
  });

  it('counts requests that were under way together once', async () => {
    const { clock, quarantine, refuse } = setUp();
    const sentBefore: Instant = clock.now();
    await clock.advance(1000);
    const sentWithTheResponse: Instant = clock.now();
    expect(refuse('a', { sentAt: sentBefore })).toEqual(confirmed(30_000));
    await clock.advance(1000);
    expect(refuse('a', { sentAt: sentBefore })).toEqual(confirmed(29_000));
    expect(refuse('a', { sentAt: sentWithTheResponse })).toEqual(confirmed(29_000));
    expect(quarantine.remaining('a')).toEqual(confirmed(29_000));
  });

  it('counts a request that was sent a millisecond after the last refusal', async () => {
    const { clock, refuse } = setUp();
    refuse();
    await clock.advance(1);
    expect(refuse()).toEqual(confirmed(60_000));
  });

  it('gives the last quarantine to a response that comes after its end', async () => {
    const { clock, quarantine, refuse } = setUp();
    const sentAt = clock.now();
    refuse();
    await clock.advance(30_000);
    expect(refuse('a', { sentAt })).toEqual(confirmed(30_000));
    expect(quarantine.remaining('a')).toBeUndefined();
    expect(refuse()).toEqual(confirmed(60_000));
  });

  it('counts a request that was sent twice as two refusals', async () => {
    const { clock, refuse } = setUp();
    expect(refuse('a', { requests: 2 })).toEqual(confirmed(60_000));
    await clock.advance(60_000);
    expect(refuse('a', { requests: 2 })).toEqual(confirmed(240_000));
  });

  test.each([
    { minDelayMs: 29_999, delayMs: 30_000 },
    { minDelayMs: 30_001, delayMs: 30_001 },
    { minDelayMs: 500_000, delayMs: 500_000 },
  ])('waits for $delayMs ms where the server asks for $minDelayMs ms', ({ minDelayMs, delayMs }) => {
    const { quarantine, refuse } = setUp();
    expect(refuse('a', { minDelayMs })).toEqual(confirmed(delayMs));
    expect(quarantine.remaining('a')).toEqual(confirmed(delayMs));
  });

  it('ends with an acceptance, and the count begins anew', async () => {
    const { clock, quarantine, refuse } = setUp();
    refuse();
    quarantine.recordAcceptance('a');
    expect(quarantine.remaining('a')).toBeUndefined();
    await clock.advance(1);
    expect(refuse()).toEqual(confirmed(30_000));
  });

  it('has the credential accepted from its acceptance up to its next refusal', async () => {
    const { clock, quarantine, refuse, request } = setUp();
    expect(quarantine.wasAccepted('a')).toBe(false);
    quarantine.recordAcceptance('a');
    expect([quarantine.wasAccepted('a'), quarantine.wasAccepted('b')]).toEqual([true, false]);
    refuse();
    expect(quarantine.wasAccepted('a')).toBe(false);
    const [first, second] = [request(), request()];
    await clock.advance(3600_000);
    expect([first.hasTurn, second.hasTurn]).toEqual([true, false]);
  });

  it('is forgotten by the prefix of its key, and no other is', () => {
    const { quarantine, refuse } = setUp();
    for (const key of ['a:one', 'a:two', 'b:one', 'b:a:one', 'a']) refuse(key);
    quarantine.recordAcceptance('a:three');
    quarantine.forgetRefusals('a:');
    const kept = ['a:one', 'a:two', 'b:one', 'b:a:one', 'a'].filter((key) => quarantine.remaining(key));
    expect(kept).toEqual(['b:one', 'b:a:one', 'a']);
    expect(quarantine.wasAccepted('a:three')).toBe(true);
  });

  it('is kept for the last 1000 credentials', () => {
    const { quarantine, refuse } = setUp();
    const keys = Array.from({ length: 1001 }, (_, index) => `key-${index}`);
    for (const key of keys) refuse(key);
    expect(keys.filter((key) => quarantine.remaining(key) === undefined)).toEqual(['key-0']);
  });

  it('has the last acceptances of 1000 credentials', () => {
    const { quarantine } = setUp();
    const keys = Array.from({ length: 1001 }, (_, index) => `key-${index}`);
    for (const key of keys) quarantine.recordAcceptance(key);
    expect(keys.filter((key) => !quarantine.wasAccepted(key))).toEqual(['key-0']);
  });
});

describe('a second try beside one without a response', () => {
  const limit = (maxRefusals: number) => ({ ...policy, maxRefusals });

  it('is sent beside the first one where the credential was accepted', () => {
    const { quarantine } = setUp();
    quarantine.recordAcceptance('a');
    expect(quarantine.secondTry('a', limit(1))).toBe('beside');
    expect(quarantine.secondTry('b', limit(1))).toBeUndefined();
  });

  test.each([
    { refusals: 0, maxRefusals: 1, answer: undefined },
    { refusals: 0, maxRefusals: 2, answer: 'instead' },
    { refusals: 1, maxRefusals: 2, answer: undefined },
    { refusals: 1, maxRefusals: 3, answer: 'instead' },
    { refusals: 3, maxRefusals: 4, answer: undefined },
    { refusals: 3, maxRefusals: 5, answer: 'instead' },
    { refusals: 8, maxRefusals: 9, answer: undefined },
    { refusals: 8, maxRefusals: 10, answer: 'instead' },
  ])('after $refusals of $maxRefusals refusals: $answer', ({ refusals, maxRefusals, answer }) => {
    const { quarantine, refuse } = setUp();
    if (refusals > 0) refuse('a', { requests: refusals }, limit(100));
    expect(quarantine.secondTry('a', limit(maxRefusals))).toBe(answer);
  });

  it('replaces the first one only once before an acceptance', async () => {
    const { clock, quarantine, refuse } = setUp();
    quarantine.recordUnanswered('a');
    expect(quarantine.secondTry('a', limit(100))).toBeUndefined();
    expect(quarantine.secondTry('b', limit(100))).toBe('instead');
    refuse();
    await clock.advance(3600_000);
    expect(quarantine.secondTry('a', limit(100))).toBeUndefined();
    quarantine.recordAcceptance('a');
    refuse();
    expect(quarantine.secondTry('a', limit(100))).toBe('instead');
  });

  it('counts as a refusal while it has no response, as the first one does', async () => {
    const { clock, quarantine, refuse } = setUp();
    quarantine.recordUnanswered('a');
    quarantine.recordUnanswered('a');
    expect(quarantine.remaining('a')).toBeUndefined();
    expect(refuse().delayMs).toBe(120_000);
    await clock.advance(20_000);
    quarantine.recordUnanswered('a');
    expect(quarantine.remaining('a')?.delayMs).toBe(100_000);
    expect(refuse()).toEqual({ delayMs: 3600_000, halted: true, isConfirmed: true });
  });
});

describe('quarantine of a rejected credential', () => {
  test.each([
    // Delays in seconds for a random value of 0, 0.5 and 1.
    { refusals: 1, delays: [30, 33, 36] },
    { refusals: 2, delays: [60, 66, 72] },
    { refusals: 3, delays: [120, 132, 144] },
    { refusals: 4, delays: [240, 264, 288] },
    { refusals: 5, delays: [480, 528, 576] },
    { refusals: 6, delays: [900, 990, 1080] },
    { refusals: 19, delays: [900, 990, 1080] },
  ])('lasts for $delays s after $refusals of 20 refusals', ({ refusals, delays }) => {
    [0, 0.5, 1].forEach((random, index) => {
      const limits = { maxRefusals: 20, probeIntervalMs: 1 };
      expect(quarantineAfter(refusals, limits, true, () => random)).toEqual({
        delayMs: expect.closeTo(delays[index]! * 1000, 3),
        halted: false,
        isConfirmed: true,
      });
    });
  });

  test.each([
    { refusals: 1, delays: [0.5, 0.75, 1], isConfirmed: false },
    { refusals: 2, delays: [4.75, 4.875, 5], isConfirmed: false },
    { refusals: 3, delays: [4.75, 4.875, 5], isConfirmed: false },
    { refusals: 4, delays: [240, 264, 288], isConfirmed: true },
    { refusals: 5, delays: [480, 528, 576], isConfirmed: true },
  ])('lasts for $delays s after $refusals responses that may be a gateway’s', ({ refusals, delays, isConfirmed }) => {
    [0, 0.5, 1].forEach((random, index) => {
      const limits = { maxRefusals: 20, probeIntervalMs: 1 };
      expect(quarantineAfter(refusals, limits, false, () => random)).toEqual({
        delayMs: expect.closeTo(delays[index]! * 1000, 3),
        halted: false,
        isConfirmed,
      });
    });
  });

  test.each([
    { refusals: 2, maxRefusals: 2, isConfirmed: false, probeIntervalMs: 7000 },
    { refusals: 3, maxRefusals: 2, isConfirmed: true, probeIntervalMs: 7000 },
    { refusals: 1, maxRefusals: 1, isConfirmed: false, probeIntervalMs: Infinity },
  ])(
    'halts after $refusals of $maxRefusals refusals for $probeIntervalMs ms',
    ({ refusals, isConfirmed, ...limits }) => {
      const { probeIntervalMs } = limits;
      const plan = quarantineAfter(refusals, limits, isConfirmed, () => 1);
      expect(plan).toEqual({ delayMs: probeIntervalMs, halted: true, isConfirmed: true });
    },
  );

  it('doubles from 30 s and halts after the fifth refusal, with a probe an hour', () => {
    const plan = [1, 2, 3, 4, 5, 6, 100].map((refusals) => quarantineAfter(refusals, policy, true, lowest));
    expect(plan.map(({ delayMs }) => delayMs / 1000)).toEqual([30, 60, 120, 240, 3600, 3600, 3600]);
    expect(plan.map(({ halted }) => halted)).toEqual([false, false, false, false, true, true, true]);
  });

  it('is a matter of seconds three times where the refusal may be that of a gateway, and then as for any other', () => {
    const plan = [1, 2, 3, 4, 5, 6].map((refusals) => quarantineAfter(refusals, policy, false, lowest));
    expect(plan.map(({ delayMs }) => delayMs / 1000)).toEqual([0.5, 4.75, 4.75, 240, 3600, 3600]);
    expect(plan.map(({ isConfirmed }) => isConfirmed)).toEqual([false, false, false, true, true, true]);
    expect(plan.map(({ halted }) => halted)).toEqual([false, false, false, false, true, true]);
  });

  it('bridges 10 s with three retries, none more than 5 s after the one before', () => {
    fc.assert(
      fc.property(fc.tuple(unit, unit, unit), (draws) => {
        const delays = draws.map((u, index) => quarantineAfter(index + 1, policy, false, () => u).delayMs);
        expect(Math.max(...delays)).toBeLessThanOrEqual(5000);
        expect(delays[0]).toBeLessThanOrEqual(1000);
        expect(delays.reduce((sum, delay) => sum + delay)).toBeGreaterThanOrEqual(10_000);
      }),
    );
  });

  it('halts at the budget of refusals, whether they are certain or not', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        (n, max, isConfirmed) => {
          const { halted } = quarantineAfter(n, { maxRefusals: max, probeIntervalMs: 3600_000 }, isConfirmed, lowest);
          expect(halted).toBe(n >= max);
        },
      ),
    );
  });

  it('is for good where no probe is wanted', () => {
    const plan = quarantineAfter(2, { maxRefusals: 2, probeIntervalMs: Infinity }, true, lowest);
    expect(plan).toEqual({ delayMs: Infinity, halted: true, isConfirmed: true });
  });

  it('is drawn upward only', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: policy.maxRefusals - 1 }), unit, (refusals, u) => {
        const { delayMs } = quarantineAfter(refusals, policy, true, () => u);
        expect(delayMs).toBeGreaterThanOrEqual(30_000 * 2 ** (refusals - 1));
        expect(delayMs).toBeLessThanOrEqual(36_000 * 2 ** (refusals - 1));
      }),
    );
  });
});
