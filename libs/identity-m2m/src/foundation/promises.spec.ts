import { beforeEach, describe, expect, it } from '@jest/globals';
import { type Clock, systemClock } from './clock.js';
import { withTimeout } from './promises.js';

/** Pending timers, with their delays. */
const timers = new Map<() => void, number>();
const clock: Clock = {
  now: () => systemClock.now(),
  setTimer: (delayMs, callback) => {
    timers.set(callback, delayMs);
    return () => timers.delete(callback);
  },
};
beforeEach(() => timers.clear());

describe('work with a timeout', () => {
  const late = new Error('too late');
  const run = <T>(work: (signal: AbortSignal) => Promise<T>, abort?: AbortController) =>
    withTimeout(clock, 5000, () => late, work, abort);
  const never = () => new Promise<never>(() => {});

  it('has its own result, and leaves no timer', async () => {
    const failure = new Error('failed');
    expect(await run(async () => 'done')).toBe('done');
    await expect(run(() => Promise.reject(failure))).rejects.toBe(failure);
    const throwing = () => {
      throw failure;
    };
    await expect(run(throwing)).rejects.toBe(failure);
    expect(timers.size).toBe(0);
  });

  it('is aborted after that time, and not waited for even if it ignores the signal', async () => {
    let signal!: AbortSignal;
    const running = run((given) => {
      signal = given;
      return never();
    });
    expect([[...timers.values()], signal.aborted]).toEqual([[5000], false]);
    for (const fire of timers.keys()) fire();
    await expect(running).rejects.toBe(late);
    expect(signal.reason).toBe(late);
    expect(timers.size).toBe(0);
  });

  it('may be aborted earlier by its controller', async () => {
    const abort = new AbortController();
    const closed = new Error('closed');
    const running = run(never, abort);
    abort.abort(closed);
    await expect(running).rejects.toBe(closed);
    expect(timers.size).toBe(0);
  });
});
