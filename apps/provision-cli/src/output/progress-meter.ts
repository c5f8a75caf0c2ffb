interface Sample {
  readonly atMs: number;
  readonly lines: number;
}

/** How fast it goes, and how long it will take. */
export interface Pace {
  readonly linesPerSecond: number;
  /** Undefined where the length of the input is not known, or nothing moves. */
  readonly secondsLeft: number | undefined;
}

/** Over how much of the past the pace is measured. */
const SPAN_MS = 15_000;

/** Measures the pace of an import over the last seconds. */
export class ProgressMeter {
  readonly #samples: Sample[] = [];

  /** @param totalBytes Length of the input, where it is known. */
  constructor(private readonly totalBytes: number | undefined) {}

  /**
   * @param lines Lines done so far.
   * @param bytes How much of the input they are.
   */
  measure(atMs: number, lines: number, bytes: number): Pace | undefined {
    this.#samples.push({ atMs, lines });
    // One sample from before the span stays, so that the span is always covered.
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - SPAN_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    const seconds = (atMs - first.atMs) / 1000;
    if (seconds < 0.5) return undefined;
    const linesPerSecond = (lines - first.lines) / seconds;
    return { linesPerSecond, secondsLeft: this.#secondsLeft(linesPerSecond, lines, bytes) };
  }

  /** By lines, because an import that goes on passes over the bytes of what is done already in no time. */
  #secondsLeft(linesPerSecond: number, lines: number, bytes: number): number | undefined {
    if (this.totalBytes === undefined || linesPerSecond === 0 || bytes === 0) return undefined;
    const linesLeft = (Math.max(this.totalBytes - bytes, 0) * lines) / bytes;
    return linesLeft / linesPerSecond;
  }
}
