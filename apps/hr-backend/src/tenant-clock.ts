/**
 * The clock of the tenant, which users are dated by. The clock of this machine stands in for it until the daemon says what
 * the time is; from either it goes on by a clock that is never set.
 */
export class TenantClock {
  #differenceMs = Date.now() - performance.now();

  /** Milliseconds since the epoch. */
  now(): number {
    return performance.now() + this.#differenceMs;
  }

  set(timeMs: number): void {
    this.#differenceMs = timeMs - performance.now();
  }
}
