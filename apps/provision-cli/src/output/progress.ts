import { count, duration, type ImportProgress } from './import-event.js';

interface Sample {
  readonly atMs: number;
  readonly lines: number;
}

/** Speed of an import, and time to its end. */
export interface Pace {
  readonly linesPerSecond: number;
  /** Undefined if the length of the input is not known, or nothing gets done. */
  readonly secondsLeft: number | undefined;
}

/** Period that the pace is the average of. */
const SPAN_MS = 15_000;

/** Measures the pace of an import over the last seconds. */
export class ProgressMeter {
  readonly #samples: Sample[] = [];

  /** @param totalBytes Length of the input; undefined if it is not known. */
  constructor(private readonly totalBytes: number | undefined) {}

  /**
   * @param lines Lines done so far.
   * @param bytes Their length in the input.
   */
  measure(atMs: number, lines: number, bytes: number): Pace | undefined {
    this.#samples.push({ atMs, lines });
    // Keeps one sample from before the period, so that the samples always cover it.
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - SPAN_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    const seconds = (atMs - first.atMs) / 1000;
    if (seconds < 0.5) return undefined;
    const linesPerSecond = (lines - first.lines) / seconds;
    return { linesPerSecond, secondsLeft: this.#secondsLeft(linesPerSecond, lines, bytes) };
  }

  /** Counts lines, because a resumed import skips the bytes of the lines that are done in no time. */
  #secondsLeft(linesPerSecond: number, lines: number, bytes: number): number | undefined {
    if (this.totalBytes === undefined || linesPerSecond === 0 || bytes === 0) return undefined;
    const linesLeft = (Math.max(this.totalBytes - bytes, 0) * lines) / bytes;
    return linesLeft / linesPerSecond;
  }
}

/** The progress to show at one moment. */
export interface ProgressView {
  readonly progress: ImportProgress;
  readonly pace: Pace | undefined;
  /** Length of the input in bytes; undefined if it is not known. */
  readonly totalBytes: number | undefined;
  readonly nowMs: number;
}

/** Formats the progress as a line of a log. */
export function progressLine(view: ProgressView): string {
  const share = shareOf(view);
  return [...(share === undefined ? [] : [percent(share)]), ...partsOf(view)].join(', ');
}

/** Widest bar, in characters; narrower where the terminal is. */
const MAX_BAR = 40;
const MIN_BAR = 10;

/**
 * Formats the progress as one line that fits the terminal. On a narrow one the bar gets shorter first, then parts at
 * the end are left out.
 */
export function progressBar(view: ProgressView, columns: number, colors: boolean): string {
  const share = shareOf(view);
  // Terminals wrap a line that fills the last column.
  const width = Math.max(columns - 1, 0);
  const parts = partsOf(view);
  if (share === undefined) return fitting(parts, width).join('  ');
  const kept = fitting([percent(share).padStart(4), ...parts], width - MIN_BAR - 2);
  const text = kept.join('  ');
  const length = Math.min(MAX_BAR, width - text.length - 2);
  if (length < MIN_BAR) return fitting([percent(share)], width).join('');
  return `${bar(share, length, colors)}  ${text}`;
}

function bar(share: number, length: number, colors: boolean): string {
  const full = Math.floor(share * length);
  const [done, open] = ['█'.repeat(full), '░'.repeat(length - full)];
  return colors ? `\u001B[32m${done}\u001B[0m\u001B[2m${open}\u001B[0m` : done + open;
}

function fitting(parts: readonly string[], width: number): string[] {
  const kept = [...parts];
  while (kept.length > 0 && kept.join('  ').length > width) kept.pop();
  return kept;
}

function shareOf({ progress, totalBytes }: ProgressView): number | undefined {
  return totalBytes ? Math.min(progress.bytesDone / totalBytes, 1) : undefined;
}

function partsOf({ progress, pace, nowMs }: ProgressView): string[] {
  const { created, replayed, rejected, waiting, pausedUntilMs } = progress;
  return [
    `${count(created + replayed)} created`,
    ...(rejected > 0 ? [`${count(rejected)} rejected`] : []),
    ...(pausedUntilMs === undefined ? [] : [`paused for ${duration((pausedUntilMs - nowMs) / 1000)}`]),
    ...(pace ? [`${count(Math.round(pace.linesPerSecond))}/s`] : []),
    ...(pace?.secondsLeft === undefined ? [] : [`${duration(pace.secondsLeft)} left`]),
    ...(waiting > 0 ? [`${count(waiting)} to retry`] : []),
  ];
}

/** Rounds down: 100% only at the end. */
function percent(share: number): string {
  return `${Math.floor(share * 100)}%`;
}
