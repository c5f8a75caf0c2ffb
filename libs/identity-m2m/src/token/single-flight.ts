import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { waitAtMost } from '../foundation/promises.js';

export interface AttemptJudge<Outcome, Result> {
  /** Whether this outcome ends the attempt, although another try of it is under way. */
  isDecisive(outcome: Outcome): boolean;
  /** Returns the outcome that an exception stands for: a timeout, or an error of the work. */
  outcomeOf(error: unknown): Outcome;
  /** Turns the outcome of an attempt into the result for its callers. Not called after {@link SingleFlight.close}. */
  finish(outcome: Outcome): Result;
}

interface Try {
  readonly controller: AbortController;
  readonly cancelTimeout: () => void;
}

/**
 * Runs one attempt at a time. Any number of callers wait for its end, or for the end of the next one.
 *
 * An attempt is one try, or two side by side of which the first success counts. It has its own timeout, and a caller who
 * gives up does not abort it. Callers have their own timeouts, also where an attempt ignores its signal.
 */
export class SingleFlight<Outcome, Result> {
  readonly #tries = new Set<Try>();
  /** Set once a caller waits, until the next attempt ends. */
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
    signal.addEventListener('abort', () => this.#settle(one, this.judge.outcomeOf(signal.reason)), { once: true });
    work(signal).then(
      (outcome) => this.#settle(one, outcome),
      (error: unknown) => this.#settle(one, this.judge.outcomeOf(error)),
    );
    return () => this.#abort(one);
  }

  /** Returns the result of the attempt under way, or of the next one; undefined after `maxWaitMs`. */
  async wait(maxWaitMs: number, signal: AbortSignal | undefined): Promise<Result | undefined> {
    if (!this.#end) {
      let resolve!: (result: Result) => void;
      const promise = new Promise<Result>((settle) => (resolve = settle));
      this.#end = { promise, resolve };
    }
    this.#waiting++;
    try {
      return await waitAtMost(this.#end.promise, maxWaitMs, this.clock, signal);
    } finally {
      this.#waiting--;
    }
  }

  /** Aborts the attempt under way, if any, and gives this result to all waiting callers. */
  close(result: Result): void {
    this.#abortTries();
    this.#takeEnd()?.resolve(result);
  }

  #settle(one: Try, outcome: Outcome): void {
    if (!this.#tries.delete(one)) return;
    one.cancelTimeout();
    if (this.isRunning && !this.judge.isDecisive(outcome)) return;
    this.#abortTries();
    // Taken off first: a caller who begins to wait from here on waits for the next attempt.
    const waiting = this.#takeEnd();
    const result = this.judge.finish(outcome);
    waiting?.resolve(result);
  }

  #abortTries(): void {
    for (const one of this.#tries) this.#abort(one);
  }

  #abort(one: Try): void {
    // Its outcome is ignored from here on.
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

/**
 * Decides when a client may send a second token request while the first is silent (hedging). Shared by all tokens of the
 * client.
 *
 * One hung connection must not fail every caller, and a slow server must not get twice its load. So a client has one
 * second request under way at a time. None follows until the server has granted a token promptly: the second request
 * itself after a hung connection, a much later one where the server is slow or away.
 */
export class SecondAttempts {
  #isSpent = false;
  #underWay: { readonly end: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(
    private readonly clock: Clock,
    /** Silence after which a second request begins, in milliseconds. */
    readonly silenceMs: number,
  ) {}

  /** Watches over the attempts of one token. */
  watch(options: SilenceWatchOptions): SilenceWatch {
    return new SilenceWatch(this, this.clock, options);
  }

  /** Whether no second request may start until the server grants a token promptly. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** Resolves when the second request under way ends; undefined where there is none. */
  get end(): Promise<void> | undefined {
    return this.#underWay?.end;
  }

  /** Notes that a second request begins. None may be under way. */
  begin(): void {
    let resolve!: () => void;
    const end = new Promise<void>((settle) => (resolve = settle));
    this.#underWay = { end, resolve };
  }

  /** Notes that the attempt with the second request ended. */
  ended(): void {
    this.#isSpent = true;
    this.#underWay?.resolve();
    this.#underWay = undefined;
  }

  /** Notes how long the server took to grant a token, to either request, in milliseconds. */
  granted(tookMs: number): void {
    if (tookMs < this.silenceMs) this.#isSpent = false;
  }
}

export interface SilenceWatchOptions {
  /** Whether callers wait for lack of a usable token. */
  readonly isNeeded: () => boolean;
  /** Starts the second request: beside the first, or in its place. */
  readonly start: (place: 'beside' | 'instead') => void;
}

/** Watches the attempts to get one token, and starts a second request where the first one is silent. */
export class SilenceWatch {
  /** Of the attempt under way. */
  #first: AttemptProgress | undefined;
  #isWatching = false;
  #cancelTimer: (() => void) | undefined;
  #hasSecond = false;

  constructor(
    private readonly all: SecondAttempts,
    private readonly clock: Clock,
    private readonly options: SilenceWatchOptions,
  ) {}

  attemptBegins(first: AttemptProgress): void {
    this.#first = first;
  }

  /** Watches the attempt under way, because a caller waits for it. */
  begin(): void {
    if (this.#isWatching || this.#hasSecond || this.all.isSpent) return;
    this.#isWatching = true;
    const waitMs = Math.ceil(this.all.silenceMs - this.#silentMs());
    this.#cancelTimer = this.clock.setTimer(Math.max(waitMs, 0), () => this.#look());
  }

  attemptEnds(): void {
    this.#first = undefined;
    this.#isWatching = false;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#hasSecond) this.all.ended();
    this.#hasSecond = false;
  }

  #look(): void {
    const first = this.#first;
    this.#isWatching = false;
    if (!first || this.all.isSpent || !this.options.isNeeded()) return;
    if (this.#silentMs() < this.all.silenceMs) {
      // It waited in a queue meanwhile, or sent another credential.
      this.begin();
    } else if (this.all.end) {
      this.#isWatching = true;
      void this.all.end.then(() => first === this.#first && this.#look());
    } else if (first.second) {
      this.#hasSecond = true;
      this.all.begin();
      this.options.start(first.second);
    }
  }

  #silentMs(): number {
    const since = this.#first?.silentSince;
    return since ? elapsedMs(since, this.clock.now()) : 0;
  }
}

/** Progress of a try, by which a second one is decided. */
export interface AttemptProgress {
  /** Whether the same token request is under way already, and silent. */
  readonly isSecond: boolean;
  /** Since when a response is due: from the source of the credential, then from the server. undefined in a queue. */
  silentSince: Instant | undefined;
  /** How a second try may join this one: beside it, or in its place. */
  second: 'beside' | 'instead' | undefined;
  /** Names the credential that it is about to send, or has sent. */
  credentialKey: string | undefined;
  /** Whether the credential was sent, and the response is outstanding. */
  isSent: boolean;
  /** The other one of two tries. */
  other: AttemptProgress | undefined;
  /** Aborts this try alone, where there is another one. */
  abort: () => void;
  /** Set before the try is aborted in favour of the other one. */
  isSuperseded: boolean;
}

/**
 * Returns the progress of a try that begins now.
 *
 * @param first The silent try that this one joins.
 */
export function attemptBegins(now: Instant, first?: AttemptProgress): AttemptProgress {
  const progress: AttemptProgress = {
    isSecond: first !== undefined,
    silentSince: now,
    second: 'beside',
    credentialKey: undefined,
    isSent: false,
    other: first,
    abort: () => {},
    isSuperseded: false,
  };
  if (first) first.other = progress;
  return progress;
}
