import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { waitAtMost } from '../foundation/wait-at-most.js';

/**
 * Runs one attempt at a time and lets any number of callers wait for its end, or for the end of the next one.
 *
 * The attempt has a timeout of its own and is not ended by callers who go away; callers have patience of their own and
 * are not held up by an attempt that does not heed its signal.
 */
export class SharedAttempt<Result> {
  #running: { readonly controller: AbortController; readonly cancelTimeout: () => void } | undefined;
  /** There once somebody has begun to wait, until the next attempt ends. */
  #end: { readonly promise: Promise<Result>; readonly resolve: (result: Result) => void } | undefined;

  #waiting = 0;

  constructor(private readonly clock: Clock) {}

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  get isAwaited(): boolean {
    return this.#end !== undefined && this.#waiting > 0;
  }

  /**
   * Starts an attempt. None may be running.
   *
   * @param finish Turns what came of the attempt into the result. Not called after {@link end}.
   */
  start<Outcome>(
    attempt: (signal: AbortSignal) => Promise<Outcome>,
    timeoutMs: number,
    finish: (outcome: { readonly value: Outcome } | { readonly error: unknown }) => Result,
  ): void {
    const controller = new AbortController();
    const cancelTimeout = this.clock.setTimer(timeoutMs, () =>
      controller.abort(new HttpExchangeError('timeout', `no token within ${timeoutMs} ms`)),
    );
    const running = { controller, cancelTimeout };
    this.#running = running;
    const settle = (outcome: { readonly value: Outcome } | { readonly error: unknown }) => {
      if (this.#running !== running) return;
      cancelTimeout();
      this.#running = undefined;
      // Taken off first: whoever begins to wait from here on waits for the next attempt.
      const end = this.#end;
      this.#end = undefined;
      const result = finish(outcome);
      end?.resolve(result);
    };
    controller.signal.addEventListener('abort', () => settle({ error: controller.signal.reason }), { once: true });
    attempt(controller.signal).then(
      (value) => settle({ value }),
      (error: unknown) => settle({ error }),
    );
  }

  /** The result of the attempt under way, or of the next one; undefined once this caller has waited long enough. */
  async wait(patienceMs: number, signal: AbortSignal | undefined): Promise<Result | undefined> {
    if (!this.#end) {
      let resolve!: (result: Result) => void;
      const promise = new Promise<Result>((settle) => (resolve = settle));
      this.#end = { promise, resolve };
    }
    this.#waiting++;
    try {
      return await waitAtMost(this.#end.promise, patienceMs, this.clock, signal);
    } finally {
      this.#waiting--;
    }
  }

  /** Ends the attempt under way, if any, and gives this result to all who wait. */
  end(result: Result): void {
    const running = this.#running;
    this.#running = undefined;
    running?.cancelTimeout();
    running?.controller.abort(new HttpExchangeError('timeout', 'the attempt was ended'));
    const end = this.#end;
    this.#end = undefined;
    end?.resolve(result);
  }
}
