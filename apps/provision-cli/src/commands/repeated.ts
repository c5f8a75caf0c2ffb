import type { Clock } from '../clock.js';
import { ServiceUnreachableError } from '../service/service-errors.js';

const ATTEMPTS = 3;
const PAUSE_MS = 1000;
/** Longest pause that somebody at a terminal is made to wait for. */
const LONGEST_PAUSE_MS = 10_000;

/** Makes a call that is safe to repeat; again after a while, where the service cannot be reached or asks for that. */
export async function repeated<Result>(clock: Clock, call: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ServiceUnreachableError) || attempt === ATTEMPTS) throw error;
      const pauseMs = error.retryAfterMs ?? PAUSE_MS;
      if (pauseMs > LONGEST_PAUSE_MS) throw error;
      await new Promise<void>((resolve) => clock.setTimer(pauseMs, resolve));
    }
  }
}
