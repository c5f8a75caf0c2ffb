/**
 * A point in time, read from two clocks at once.
 *
 * The wall clock may be set back or forward; the monotonic clock may stand still while the machine sleeps.
 * Neither alone can say how old something is, so ages are always measured with {@link elapsedMs}.
 */
export interface Instant {
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  /** Milliseconds since an arbitrary start; never runs backward. */
  readonly monotonicMs: number;
}

/** Where core rooms take time and timers from, so that tests can drive both. */
export interface Clock {
  now(): Instant;
  /**
   * Calls back once after the delay.
   *
   * @param delayMs At most {@link MAX_TIMER_DELAY_MS}.
   * @param keepsProcessAlive Right where somebody is waiting for the callback, wrong for work behind the scenes.
   * @returns Cancels the timer; harmless after it has fired.
   */
  setTimer(delayMs: number, callback: () => void, keepsProcessAlive?: boolean): () => void;
}

/** Longest delay that a Node.js timer takes; a longer one would fire at once. */
export const MAX_TIMER_DELAY_MS = 2 ** 31 - 1;

/**
 * Milliseconds since an instant, as the faster of the two clocks tells it, and never negative.
 *
 * After a sleep the wall clock is ahead, after the wall clock was set back the monotonic one is: in both cases the
 * larger figure is the true one. A wall clock set forward makes things look older than they are, which costs a
 * refresh and nothing else.
 */
export function elapsedMs(since: Instant, now: Instant): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs, 0);
}

/** The clocks and timers of this process. */
export const systemClock: Clock = {
  now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
  setTimer: (delayMs, callback, keepsProcessAlive = false) => {
    const timer = setTimeout(callback, delayMs);
    if (!keepsProcessAlive) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** A delay that doubles with each failure in a row, up to a cap; in milliseconds. */
export function doublingDelayMs(baseMs: number, capMs: number, priorFailures: number): number {
  return Math.min(capMs, baseMs * 2 ** priorFailures);
}
