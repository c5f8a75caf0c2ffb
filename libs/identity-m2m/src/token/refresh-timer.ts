import { type Clock, elapsedMs, type Instant, MAX_TIMER_DELAY_MS } from '../foundation/clock.js';

/** Time after the last call for which further calls are expected, in milliseconds. */
const CALLERS_LINGER_MS = 60_000;

/** Number of consecutive unused refreshes after which refreshes stop. */
const UNUSED_REFRESHES = 2;

export interface RefreshTimerOptions {
  readonly clock: Clock;
  /** Refreshes the token even while no call uses it. */
  readonly keepWarm: boolean;
  /** Returns the time to the next attempt without a caller, in milliseconds; undefined for none. */
  readonly delayMs: (now: Instant) => number | undefined;
  /** Starts the attempt that is due. */
  readonly onDue: (now: Instant) => void;
  /** Called when the token becomes dormant, because no call used its last two refreshes. */
  readonly onDormant: () => void;
}

/** Starts attempts in the background, and stops once no call uses the token. */
export class RefreshTimer {
  /** When a call last used the token. */
  usedAt: Instant | undefined;
  isDormant = false;
  #usedAtRefresh: Instant | undefined;
  #unusedRefreshes = 0;
  #cancel: (() => void) | undefined;

  constructor(private readonly options: RefreshTimerOptions) {}

  /** Returns whether further calls are expected. */
  hasCallers(now: Instant): boolean {
    return this.usedAt !== undefined && elapsedMs(this.usedAt, now) < CALLERS_LINGER_MS;
  }

  /** Notes a refresh: uses are counted from here. */
  refreshed(): void {
    this.#usedAtRefresh = this.usedAt;
  }

  /** Ends dormancy, because a call uses the token. */
  wake(now: Instant): void {
    this.isDormant = false;
    this.#unusedRefreshes = 0;
    this.arm(now);
  }

  /** Sets the timer for the next attempt, in place of any earlier timer. */
  arm(now: Instant): void {
    this.cancel();
    const delayMs = this.options.delayMs(now);
    if (delayMs === undefined) return;
    // Rounded up, so that the callback does not come too early by fractions of a millisecond. A delay above the limit
    // of Node.js is cut: the callback comes early, and sets the timer for the rest.
    const timerMs = Math.min(Math.ceil(delayMs), MAX_TIMER_DELAY_MS);
    this.#cancel = this.options.clock.setTimer(timerMs, () => this.#fire());
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Makes the token dormant if no call used its last two refreshes. Returns whether it is dormant now. */
  goDormantIfUnused(): boolean {
    this.#unusedRefreshes = this.usedAt === this.#usedAtRefresh ? this.#unusedRefreshes + 1 : 0;
    if (this.options.keepWarm || this.#unusedRefreshes < UNUSED_REFRESHES) return false;
    this.isDormant = true;
    this.options.onDormant();
    return true;
  }

  #fire(): void {
    const now = this.options.clock.now();
    const delayMs = this.options.delayMs(now);
    if (delayMs === undefined) return;
    if (delayMs > 0) this.arm(now);
    else this.options.onDue(now);
  }
}
