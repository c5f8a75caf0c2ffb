import type { Readable, Writable } from 'node:stream';

/** What a command gets from its process: streams, environment variables and a clock. */
export interface CommandContext {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
}

/** Time and timers. Tests pass a faster one. */
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

/** Longest delay of a Node.js timer. A longer one would fire at once. */
const MAX_TIMER_DELAY_MS = 2 ** 31 - 1;

/** The clock and timers of this process. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  setTimer: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs, MAX_TIMER_DELAY_MS));
    return () => clearTimeout(timer);
  },
};
