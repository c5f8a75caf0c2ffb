/** 128 and the number of the signal, as shells have it. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

type Signal = keyof typeof SIGNALS;

/** Turns the first Ctrl-C, or another signal to end, into a wish; the second one ends the process at once. */
export class Interruption {
  #exitCode: number | undefined;
  readonly #listeners = (Object.keys(SIGNALS) as Signal[]).map((signal) => ({
    signal,
    listener: () => this.#receive(signal),
  }));

  /** @param onFirst Called once. */
  constructor(private readonly onFirst: () => void) {
    for (const { signal, listener } of this.#listeners) process.on(signal, listener);
  }

  /** What the process should end with; undefined where there was no signal. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Leaves signals to others again. */
  end(): void {
    for (const { signal, listener } of this.#listeners) process.off(signal, listener);
  }

  #receive(signal: Signal): void {
    if (this.#exitCode !== undefined) process.exit(SIGNALS[signal]);
    this.#exitCode = SIGNALS[signal];
    this.onFirst();
  }
}
