import { setTimeout } from 'node:timers/promises';

/** Where the emulator takes time from, so that a test can make tokens expire and outages end. */
export abstract class Clock {
  /** Milliseconds since the Unix epoch. */
  abstract now(): number;

  /** Lets time pass before a slow answer. It does not keep the process alive. */
  abstract wait(ms: number): Promise<void>;
}

/** A clock of the given functions, and of this process where one is left out. */
export function clockOf({ now, wait }: { now?: Clock['now']; wait?: Clock['wait'] }): Clock {
  return {
    now: now ?? Date.now,
    wait: wait ?? ((ms) => setTimeout(ms, undefined, { ref: false })),
  };
}
