/** Where a command takes time and pauses from, so that tests need not wait. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /**
   * Calls back once after the delay.
   *
   * @returns Cancels the timer.
   */
  setTimer(delayMs: number, callback: () => void): () => void;
}

/** Longest delay that a Node.js timer takes; a longer one would fire at once. */
const MAX_TIMER_DELAY_MS = 2 ** 31 - 1;

/** The clock and the timers of this process. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs, MAX_TIMER_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
