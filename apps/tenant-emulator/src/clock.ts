import { setTimeout } from 'node:timers/promises';

/** The emulator's source of time. A test passes its own to make tokens expire and outages end. */
export abstract class Clock {
  /** Milliseconds since the Unix epoch. */
  abstract now(): number;

  /** Resolves after a delay, before a slow response. Does not keep the process alive. */
  abstract wait(ms: number): Promise<void>;
}

/** Returns a clock made of the given functions; the process clock replaces a missing one. */
export function clockOf({ now, wait }: { now?: Clock['now']; wait?: Clock['wait'] }): Clock {
  return {
    now: now ?? Date.now,
    wait: wait ?? ((ms) => setTimeout(ms, undefined, { ref: false })),
  };
}
