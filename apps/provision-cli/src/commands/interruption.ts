/** Exit codes by signal: 128 and the signal's number. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

type Signal = keyof typeof SIGNALS;

/** Handles signals that end a process, such as Ctrl-C: the first calls back, the second ends the process at once. */
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

  /** Exit code of the process; undefined without a signal. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Stops handling signals. */
  end(): void {
    for (const { signal, listener } of this.#listeners) process.off(signal, listener);
  }

  #receive(signal: Signal): void {
    if (this.#exitCode !== undefined) process.exit(SIGNALS[signal]);
    this.#exitCode = SIGNALS[signal];
    this.onFirst();
  }
}
