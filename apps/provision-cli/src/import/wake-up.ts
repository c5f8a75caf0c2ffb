import type { Clock } from '../clock.js';

/** Lets one waiter sleep until something happens. */
export class WakeUp {
  #wake: (() => void) | undefined;
  #isDue = false;

  constructor(private readonly clock: Clock) {}

  /** Ends the sleep, or the next one where nobody sleeps. */
  call(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  /** @param maxMs Undefined: until called. */
  async wait(maxMs: number | undefined): Promise<void> {
    if (!this.#isDue) {
      let cancel = () => {};
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (maxMs !== undefined) cancel = this.clock.setTimer(maxMs, resolve);
      });
      cancel();
    }
    this.#wake = undefined;
    this.#isDue = false;
  }
}
