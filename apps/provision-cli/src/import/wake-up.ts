/** Lets one waiter sleep until something happens. */
export class WakeUp {
  #wake: (() => void) | undefined;
  #isDue = false;

  /** Ends the sleep, or the next one where nobody sleeps. */
  call(): void {
    this.#isDue = true;
    this.#wake?.();
  }

  /** @param maxMs Undefined: until called. */
  async wait(maxMs: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    if (!this.#isDue) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (maxMs !== undefined) timer = setTimeout(resolve, Math.min(maxMs, 2 ** 31 - 1));
      });
      clearTimeout(timer);
    }
    this.#wake = undefined;
    this.#isDue = false;
  }
}
