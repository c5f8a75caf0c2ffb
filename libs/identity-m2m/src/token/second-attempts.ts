import { type Clock, elapsedMs } from '../foundation/clock.js';
import type { AttemptProgress } from './token-requester.js';

/**
 * Decides when a client may start a second token request beside one that is silent. All tokens of the client share it.
 *
 * One hung connection must not decide for every caller, and a slow server must not get twice its load. So one second
 * request of a client is under way at a time, and none follows until the server has granted a token promptly: to the
 * second request itself where a hung connection was all, much later where the server is slow or away.
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

  /** Whether there is none to be had until the server has granted a token promptly. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** The end of the second request that is under way, if there is one. */
  get end(): Promise<void> | undefined {
    return this.#underWay?.end;
  }

  /** Notes that a second request begins. None may be under way. */
  begin(): void {
    let resolve!: () => void;
    const end = new Promise<void>((settle) => (resolve = settle));
    this.#underWay = { end, resolve };
  }

  /** Notes that the request ended that the second one was to help. */
  ended(): void {
    this.#isSpent = true;
    this.#underWay?.resolve();
    this.#underWay = undefined;
  }

  /** Notes how long the server took to grant a token, to whichever request, in milliseconds. */
  granted(tookMs: number): void {
    if (tookMs < this.silenceMs) this.#isSpent = false;
  }
}

export interface SilenceWatchOptions {
  /** Whether callers wait who cannot be served. */
  readonly isNeeded: () => boolean;
  /** Starts the second request: beside the first, or in its place. */
  readonly start: (place: 'beside' | 'instead') => void;
}

/** Watches over the attempts to get one token, and starts a second request where the first one is silent. */
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
      // It waited in a queue meanwhile, or showed another credential.
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
