import { describe, expect, it, test } from '@jest/globals';
import { ManualClock } from '../testing/manual-clock.js';
import { RefreshTimer } from './refresh-timer.js';

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A clock that also notes the delay of each timer. */
class RecordingClock extends ManualClock {
  readonly delays: number[] = [];

  override setTimer(delayMs: number, callback: () => void): () => void {
    this.delays.push(delayMs);
    return super.setTimer(delayMs, callback);
  }
}

function setUp({ keepWarm = false, dueAtMs = 1000 } = {}) {
  const clock = new RecordingClock();
  const plan: { dueAtMs: number | undefined } = { dueAtMs };
  const due: number[] = [];
  let dormantTimes = 0;
  const timer = new RefreshTimer({
    clock,
    keepWarm,
    delayMs: (now) => (plan.dueAtMs === undefined ? undefined : plan.dueAtMs - now.monotonicMs),
    onDue: (now) => due.push(now.monotonicMs),
    onDormant: () => dormantTimes++,
  });
  const use = () => (timer.usedAt = { ...clock.now() });
  return { clock, plan, due, timer, use, dormantTimes: () => dormantTimes };
}

describe('the timer of a refresh', () => {
  it('starts the attempt when it is due, once', async () => {
    const { clock, due, timer } = setUp();
    timer.arm(clock.now());
    await clock.advance(999);
    expect(due).toEqual([]);
    await clock.advance(5000);
    expect(due).toEqual([1000]);
    expect([clock.delays, clock.pendingTimers]).toEqual([[1000], 0]);
  });

  it('is not set where no attempt is due, and ends an earlier one', () => {
    const { clock, plan, timer } = setUp();
    timer.arm(clock.now());
    expect(clock.pendingTimers).toBe(1);
    plan.dueAtMs = undefined;
    timer.arm(clock.now());
    expect(clock.pendingTimers).toBe(0);
  });

  it('replaces an earlier one', async () => {
    const { clock, plan, due, timer } = setUp();
    timer.arm(clock.now());
    plan.dueAtMs = 3000;
    timer.arm(clock.now());
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(10_000);
    expect(due).toEqual([3000]);
  });

  it('is cancelled, also twice', async () => {
    const { clock, due, timer } = setUp();
    timer.arm(clock.now());
    timer.cancel();
    timer.cancel();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(10_000);
    expect(due).toEqual([]);
  });

  test.each([
    { dueAtMs: 10.2, delays: [11] },
    { dueAtMs: 0, delays: [0] },
    { dueAtMs: LONGEST_TIMER_MS - 0.5, delays: [LONGEST_TIMER_MS] },
    { dueAtMs: LONGEST_TIMER_MS, delays: [LONGEST_TIMER_MS] },
    { dueAtMs: LONGEST_TIMER_MS + 5000, delays: [LONGEST_TIMER_MS, 5000] },
  ])('for $dueAtMs ms is set to $delays ms', async ({ dueAtMs, delays }) => {
    const { clock, due, timer } = setUp({ dueAtMs });
    timer.arm(clock.now());
    await clock.advance(2 * LONGEST_TIMER_MS);
    expect(clock.delays).toEqual(delays);
    expect(due).toEqual([delays.reduce((sum, delay) => sum + delay)]);
  });

  it('waits for the rest where the attempt is due later than planned', async () => {
    const { clock, plan, due, timer } = setUp();
    timer.arm(clock.now());
    plan.dueAtMs = 1700;
    await clock.advance(10_000);
    expect([due, clock.delays]).toEqual([[1700], [1000, 700]]);
  });

  it('starts nothing where no attempt is due any longer', async () => {
    const { clock, plan, due, timer } = setUp();
    timer.arm(clock.now());
    plan.dueAtMs = undefined;
    await clock.advance(10_000);
    expect([due, clock.pendingTimers]).toEqual([[], 0]);
  });

  it('starts an attempt that is overdue', async () => {
    const { clock, plan, due, timer } = setUp();
    timer.arm(clock.now());
    plan.dueAtMs = 400;
    await clock.advance(10_000);
    expect(due).toEqual([1000]);
  });
});

describe('the callers of a token', () => {
  test.each([
    { afterMs: 0, hasCallers: true },
    { afterMs: 59_999, hasCallers: true },
    { afterMs: 60_000, hasCallers: false },
  ])('are expected $afterMs ms after the last one: $hasCallers', async ({ afterMs, hasCallers }) => {
    const { clock, timer, use } = setUp();
    use();
    await clock.advance(afterMs);
    expect(timer.hasCallers(clock.now())).toBe(hasCallers);
  });

  it('are not expected before the first one', () => {
    const { clock, timer } = setUp();
    expect(timer.hasCallers(clock.now())).toBe(false);
  });
});

describe('a scheduled refresh', () => {
  it('is worth its request until two in a row were not used', () => {
    const { timer, use, dormantTimes } = setUp();
    expect(timer.isDormant).toBe(false);
    use();
    timer.refreshed();
    expect(timer.goDormantIfUnused()).toBe(false);
    timer.refreshed();
    expect([timer.isDormant, dormantTimes()]).toEqual([false, 0]);
    expect(timer.goDormantIfUnused()).toBe(true);
    expect([timer.isDormant, dormantTimes()]).toEqual([true, 1]);
  });

  it('is worth its request after each use', () => {
    const { timer, use } = setUp();
    timer.refreshed();
    expect(timer.goDormantIfUnused()).toBe(false);
    use();
    expect(timer.goDormantIfUnused()).toBe(false);
    timer.refreshed();
    expect(timer.goDormantIfUnused()).toBe(false);
    expect(timer.goDormantIfUnused()).toBe(true);
  });

  it('is always worth its request for a token that is kept warm', () => {
    const { timer, dormantTimes } = setUp({ keepWarm: true });
    timer.refreshed();
    const answers = [1, 2, 3, 4].map(() => timer.goDormantIfUnused());
    expect(answers).toEqual([false, false, false, false]);
    expect([timer.isDormant, dormantTimes()]).toEqual([false, 0]);
  });

  it('is worth its request again after a call wakes the token, which sets the timer', async () => {
    const { clock, due, timer } = setUp();
    timer.refreshed();
    timer.goDormantIfUnused();
    timer.goDormantIfUnused();
    expect(timer.isDormant).toBe(true);
    timer.wake(clock.now());
    expect(timer.isDormant).toBe(false);
    expect(timer.goDormantIfUnused()).toBe(false);
    await clock.advance(1000);
    expect(due).toEqual([1000]);
  });
});
