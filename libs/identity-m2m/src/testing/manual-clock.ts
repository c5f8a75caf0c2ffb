import { setImmediate } from 'node:timers/promises';
import type { Clock, Instant } from '../foundation/clock.js';

interface PendingTimer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock that a test advances. Timers fire in the order in which they are due. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #timers = new Set<PendingTimer>();

  /**
   * @param start Start of the wall clock. Default: 2030-01-01, 00:00 UTC.
   * @param settle Waits for the work that a timer started. Default: one turn of the event loop, enough for work without
   * sockets.
   */
  constructor(
    start = new Date('2030-01-01T00:00:00Z'),
    private readonly settle: () => Promise<unknown> = () => setImmediate(),
  ) {
    this.#wallMs = start.getTime();
  }

  now(): Instant {
    return { wallMs: this.#wallMs, monotonicMs: this.#monotonicMs };
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#monotonicMs + Math.max(delayMs, 0), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Number of timers that have not fired. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Advances both clocks and fires each timer at its time. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonicMs + ms;
    await this.settle();
    for (let timer = this.#nextDueBy(end); timer; timer = this.#nextDueBy(end)) {
      this.#moveTo(Math.max(timer.dueMs, this.#monotonicMs));
      this.#timers.delete(timer);
      timer.callback();
      await this.settle();
    }
    this.#moveTo(end);
  }

  /** Sets only the wall clock, as a time server or an operator does. */
  setWallClock(to: Date): void {
    this.#wallMs = to.getTime();
  }

  /** Simulates a suspended machine: the wall clock advances, the monotonic clock and the timers stand still. */
  suspend(ms: number): void {
    this.#wallMs += ms;
  }

  #nextDueBy(end: number): PendingTimer | undefined {
    let next: PendingTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= end && (!next || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}
