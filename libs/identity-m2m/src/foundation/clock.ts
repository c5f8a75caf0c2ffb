/**
 * A point in time, read from two clocks at once.
 *
 * The wall clock may be set back or forward, and the monotonic clock may stop while the machine sleeps. Neither alone
 * can measure an age: see {@link elapsedMs}.
 */
export interface Instant {
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  /** Milliseconds since an arbitrary start; never runs backward. */
  readonly monotonicMs: number;
}

/** Source of time and timers. Tests can replace it. */
export interface Clock {
  now(): Instant;
  /**
   * Calls back once after the delay.
   *
   * @param delayMs At most {@link MAX_TIMER_DELAY_MS}.
   * @param keepsProcessAlive Whether the timer keeps the process alive: true if a caller waits for the callback, false
   * for background work. Default: false.
   * @returns A function that cancels the timer; it does nothing after the callback.
   */
  setTimer(delayMs: number, callback: () => void, keepsProcessAlive?: boolean): () => void;
}

/** Maximum delay of a Node.js timer, in milliseconds; a longer one would fire immediately. */
export const MAX_TIMER_DELAY_MS = 2 ** 31 - 1;

/**
 * Returns the milliseconds since an instant by the clock that is ahead, never negative.
 *
 * After a sleep the wall clock is ahead. After the wall clock was set back, the monotonic clock is ahead. In both cases
 * the larger value is right. After the wall clock was set forward, ages are too high, which costs one early refresh.
 */
export function elapsedMs(since: Instant, now: Instant): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs, 0);
}

/** The clocks and timers of Node.js. */
export const systemClock: Clock = {
  now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
  setTimer: (delayMs, callback, keepsProcessAlive = false) => {
    const timer = setTimeout(callback, delayMs);
    if (!keepsProcessAlive) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Returns a delay that doubles with each failure, up to a cap, in milliseconds. */
export function doublingDelayMs(baseMs: number, capMs: number, priorFailures: number): number {
  return Math.min(capMs, baseMs * 2 ** priorFailures);
}
