import { HttpExchangeError } from '../foundation/bounded-fetch.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { waitAtMost } from '../foundation/promises.js';

/** Callbacks of a {@link SingleFlight}. */
export interface AttemptHandler<Outcome, Result> {
  /** Returns whether this outcome ends the attempt while its other try is under way. */
  isDecisive(outcome: Outcome): boolean;
  /** Returns the outcome for an exception: a timeout, or an error of the work. */
  outcomeOf(error: unknown): Outcome;
  /** Returns the callers' result for the outcome of an attempt. Not called after {@link SingleFlight.close}. */
  finish(outcome: Outcome): Result;
}

interface Try {
  readonly controller: AbortController;
  readonly cancelTimeout: () => void;
}

/**
 * Runs one attempt at a time. Any number of callers wait for its result, or for the result of the next one.
 *
 * An attempt is one try, or two in parallel, of which the first success counts. It has its own timeout, and a caller
 * that stops waiting does not abort it. Callers have their own timeouts, even if an attempt ignores its signal.
 */
export class SingleFlight<Outcome, Result> {
  readonly #tries = new Set<Try>();
  /** Set once a caller waits, until the next attempt ends. */
  #end: { readonly promise: Promise<Result>; readonly resolve: (result: Result) => void } | undefined;
  #waiting = 0;

  constructor(
    private readonly clock: Clock,
    private readonly handler: AttemptHandler<Outcome, Result>,
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
   * @returns A function that aborts this try in favour of the other one.
   */
  start(work: (signal: AbortSignal) => Promise<Outcome>, timeoutMs: number): () => void {
    const controller = new AbortController();
    const cancelTimeout = this.clock.setTimer(timeoutMs, () =>
      controller.abort(new HttpExchangeError('timeout', `no token within ${timeoutMs} ms`)),
    );
    const one = { controller, cancelTimeout };
    this.#tries.add(one);
    const { signal } = controller;
    signal.addEventListener('abort', () => this.#settle(one, this.handler.outcomeOf(signal.reason)), { once: true });
    work(signal).then(
      (outcome) => this.#settle(one, outcome),
      (error: unknown) => this.#settle(one, this.handler.outcomeOf(error)),
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
    if (this.isRunning && !this.handler.isDecisive(outcome)) return;
    this.#abortTries();
    // Removed first: a caller that starts to wait from here on waits for the next attempt.
    const waiting = this.#takeEnd();
    const result = this.handler.finish(outcome);
    waiting?.resolve(result);
  }

  #abortTries(): void {
    for (const one of this.#tries) this.#abort(one);
  }

  #abort(one: Try): void {
    // Its outcome is ignored from here on.
    if (!this.#tries.delete(one)) return;
    one.cancelTimeout();
    one.controller.abort(new HttpExchangeError('timeout', 'the attempt was aborted'));
  }

  #takeEnd() {
    const end = this.#end;
    this.#end = undefined;
    return end;
  }
}

/**
 * Decides when a client may send a second token request while the first has no response (hedging). Shared by all tokens
 * of the client.
 *
 * One hung connection must not fail every caller, and a slow server must not get twice its load. So a client has at
 * most one second try under way. Another one follows only after the server has granted a token promptly. After a hung
 * connection, that is the second try itself. A slow or unreachable server grants one much later.
 */
export class SecondTries {
  #isSpent = false;
  #underWay: { readonly end: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(
    private readonly clock: Clock,
    /** Time without a response after which a second try starts, in milliseconds. */
    readonly silenceMs: number,
  ) {}

  /** Returns a watch for the attempts of one token. */
  watch(options: SilenceWatchOptions): SilenceWatch {
    return new SilenceWatch(this, this.clock, options);
  }

  /** Whether a second try has to wait until the server grants a token promptly. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** Resolves when the second try under way ends; undefined if there is none. */
  get end(): Promise<void> | undefined {
    return this.#underWay?.end;
  }

  /** Notes that a second try starts. Call it only while none is under way. */
  begin(): void {
    let resolve!: () => void;
    const end = new Promise<void>((settle) => (resolve = settle));
    this.#underWay = { end, resolve };
  }

  /** Notes that the attempt with the second try ended. */
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
  /** Returns whether callers wait because there is no usable token. */
  readonly isNeeded: () => boolean;
  /** Starts the second try: in parallel to the first, or instead of it. */
  readonly start: (place: 'beside' | 'instead') => void;
}

/** Watches the attempts to get one token, and starts a second try if the first has no response. */
export class SilenceWatch {
  /** Progress of the attempt under way. */
  #first: TryProgress | undefined;
  #isWatching = false;
  #cancelTimer: (() => void) | undefined;
  #hasSecond = false;

  constructor(
    private readonly all: SecondTries,
    private readonly clock: Clock,
    private readonly options: SilenceWatchOptions,
  ) {}

  attemptStarted(first: TryProgress): void {
    this.#first = first;
  }

  /** Watches the attempt under way, because a caller waits for it. */
  watch(): void {
    if (this.#isWatching || this.#hasSecond || this.all.isSpent) return;
    this.#isWatching = true;
    const waitMs = Math.ceil(this.all.silenceMs - this.#silentMs());
    this.#cancelTimer = this.clock.setTimer(Math.max(waitMs, 0), () => this.#look());
  }

  attemptEnded(): void {
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
      // Meanwhile it waited in a queue, or sent another credential.
      this.watch();
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

/** Progress of a try, by which a second try is decided. */
export interface TryProgress {
  /** Whether this is the second try of an attempt. */
  readonly isSecond: boolean;
  /** Since when the credential source, then the server, has not responded; undefined while the try waits in a queue. */
  silentSince: Instant | undefined;
  /** How a second try may start: in parallel to this one, or instead of it; undefined for not at all. */
  second: 'beside' | 'instead' | undefined;
  /** Quarantine key of the credential that it is about to send, or has sent. */
  credentialKey: string | undefined;
  /** Whether the credential was sent and the response is outstanding. */
  isSent: boolean;
  /** The other try of the attempt. */
  other: TryProgress | undefined;
  /** Aborts this try only. */
  abort: () => void;
  /** Set before this try is aborted in favour of the other one. */
  isSuperseded: boolean;
}

/**
 * Returns the progress of a try that starts now.
 *
 * @param first The first try of the attempt, if this is the second.
 */
export function tryProgress(now: Instant, first?: TryProgress): TryProgress {
  const progress: TryProgress = {
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
