import { type Clock, elapsedMs, type Instant, MAX_TIMER_DELAY_MS } from '../foundation/clock.js';

/** Callers are taken to be active for this long after the last call, in milliseconds. */
const CALLERS_LINGER_MS = 60_000;

/** Refreshes in a row without a call in between, after which a token is left to expire. */
const UNUSED_REFRESHES = 2;

export interface RefreshTimerOptions {
  readonly clock: Clock;
  /** Refreshes the token also while no call uses it. */
  readonly keepWarm: boolean;
  /** Returns the time to the next attempt that no caller asks for, in milliseconds; undefined where there is none. */
  readonly delayMs: (now: Instant) => number | undefined;
  /** Starts that attempt. */
  readonly onDue: (now: Instant) => void;
  /** Called once when a token becomes dormant: its last two refreshes served no call. */
  readonly onDormant: () => void;
}

/** Starts the attempts that no caller asks for, and stops once no call uses the token. */
export class RefreshTimer {
  /** When a call last asked for the token. */
  usedAt: Instant | undefined;
  isDormant = false;
  #usedAtRefresh: Instant | undefined;
  #unusedRefreshes = 0;
  #cancel: (() => void) | undefined;

  constructor(private readonly options: RefreshTimerOptions) {}

  /** Whether callers are likely to come. */
  hasCallers(now: Instant): boolean {
    return this.usedAt !== undefined && elapsedMs(this.usedAt, now) < CALLERS_LINGER_MS;
  }

  /** Notes a refresh, after which use is counted anew. */
  refreshed(): void {
    this.#usedAtRefresh = this.usedAt;
  }

  /** Ends dormancy, because a call uses the token. */
  wake(now: Instant): void {
    this.isDormant = false;
    this.#unusedRefreshes = 0;
    this.arm(now);
  }

  arm(now: Instant): void {
    this.cancel();
    const delayMs = this.options.delayMs(now);
    if (delayMs === undefined) return;
    // Rounded up, so that the callback is not early by a fraction again and again. A longer wait is cut to what a
    // timer can take; then the callback is early, and arms the rest.
    const timerMs = Math.min(Math.ceil(delayMs), MAX_TIMER_DELAY_MS);
    this.#cancel = this.options.clock.setTimer(timerMs, () => this.#fire());
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Whether a scheduled refresh is worth its request. Makes the token dormant where it is not. */
  isWorthRefreshing(): boolean {
    this.#unusedRefreshes = this.usedAt === this.#usedAtRefresh ? this.#unusedRefreshes + 1 : 0;
    if (this.options.keepWarm || this.#unusedRefreshes < UNUSED_REFRESHES) return true;
    this.isDormant = true;
    this.options.onDormant();
    return false;
  }

  #fire(): void {
    const now = this.options.clock.now();
    const delayMs = this.options.delayMs(now);
    if (delayMs === undefined) return;
    if (delayMs > 0) this.arm(now);
    else this.options.onDue(now);
  }
}
