import { setImmediate } from 'node:timers/promises';
import type { TestServer } from './http-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

/** A clock that moves on only when a server has not been asked anything for a while. */
export function socketClock(server: () => TestServer, start: Date = new Date()): ManualClock {
  return new ManualClock(start, async () => {
    const { requests } = server();
    for (let seen = -1; seen !== requests.length;) {
      seen = requests.length;
      await new Promise((resolve) => setTimeout(resolve, 20));
      // Where the machine was busy elsewhere all of that is over at once, and what came meanwhile is still to be read.
      for (let turn = 0; turn < 20; turn++) await setImmediate();
    }
  });
}

/** Waits until something over sockets has happened. */
export async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 2000) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
