import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { waitAtMost } from '../foundation/promises.js';

/** How one try of an attempt ended. */
export type TryEnd<Outcome> = { readonly value: Outcome } | { readonly error: unknown };

export interface AttemptJudge<Outcome, Result> {
  /** Whether the attempt is over with this, although another try of it is under way. */
  isDecisive(end: TryEnd<Outcome>): boolean;
  /** Turns what came of the attempt into the result. Not called after {@link SingleFlight.end}. */
  finish(end: TryEnd<Outcome>): Result;
}

interface Try {
  readonly controller: AbortController;
  readonly cancelTimeout: () => void;
}

/**
 * Runs one attempt at a time and lets any number of callers wait for its end, or for the end of the next one.
 *
 * An attempt is one try, or two side by side of which the first success counts. It has a timeout of its own and is not
 * ended by callers who go away; callers have patience of their own and are not held up by an attempt that does not heed
 * its signal.
 */
export class SingleFlight<Outcome, Result> {
  readonly #tries = new Set<Try>();
  /** There once somebody has begun to wait, until the next attempt ends. */
  #end: { readonly promise: Promise<Result>; readonly resolve: (result: Result) => void } | undefined;
  #waiting = 0;

  constructor(
    private readonly clock: Clock,
    private readonly judge: AttemptJudge<Outcome, Result>,
  ) {}

  get isRunning(): boolean {
    return this.#tries.size > 0;
  }

  get isAwaited(): boolean {
    return this.#end !== undefined && this.#waiting > 0;
  }

  /**
   * Starts an attempt, or a second try of the one under way.
   *
   * @returns Aborts this try in favour of the other one.
   */
  start(work: (signal: AbortSignal) => Promise<Outcome>, timeoutMs: number): () => void {
    const controller = new AbortController();
    const cancelTimeout = this.clock.setTimer(timeoutMs, () =>
      controller.abort(new HttpExchangeError('timeout', `no token within ${timeoutMs} ms`)),
    );
    const one = { controller, cancelTimeout };
    this.#tries.add(one);
    const { signal } = controller;
    signal.addEventListener('abort', () => this.#settle(one, { error: signal.reason }), { once: true });
    work(signal).then(
      (value) => this.#settle(one, { value }),
      (error: unknown) => this.#settle(one, { error }),
    );
    return () => this.#abort(one);
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
    this.#abortTries();
    this.#takeEnd()?.resolve(result);
  }

  #settle(one: Try, end: TryEnd<Outcome>): void {
    if (!this.#tries.delete(one)) return;
    one.cancelTimeout();
    if (this.isRunning && !this.judge.isDecisive(end)) return;
    this.#abortTries();
    // Taken off first: whoever begins to wait from here on waits for the next attempt.
    const waiting = this.#takeEnd();
    const result = this.judge.finish(end);
    waiting?.resolve(result);
  }

  #abortTries(): void {
    for (const one of this.#tries) this.#abort(one);
  }

  #abort(one: Try): void {
    // What comes of it does not count any more.
    if (!this.#tries.delete(one)) return;
    one.cancelTimeout();
    one.controller.abort(new HttpExchangeError('timeout', 'the attempt was ended'));
  }

  #takeEnd() {
    const end = this.#end;
    this.#end = undefined;
    return end;
  }
}
