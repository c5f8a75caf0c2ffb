import type { ImportProgress } from '../import/import-event.js';
import type { Pace } from './progress-meter.js';

/** All that a reader of the progress is shown, at one moment. */
export interface ProgressView {
  readonly progress: ImportProgress;
  readonly pace: Pace | undefined;
  /** Length of the input, where it is known. */
  readonly totalBytes: number | undefined;
  readonly nowMs: number;
}

/** The progress as a line of a log. */
export function progressLine(view: ProgressView): string {
  const share = shareOf(view);
  return [...(share === undefined ? [] : [percent(share)]), ...partsOf(view)].join(', ');
}

/** Widest bar, in characters; narrower where the terminal is. */
const MAX_BAR = 40;
const MIN_BAR = 10;

/**
 * The progress as one line of a terminal, never wider than that: first the bar gets shorter, then the parts at the end
 * go.
 */
export function progressBar(view: ProgressView, columns: number, colors: boolean): string {
  const share = shareOf(view);
  // A terminal wraps a line that fills it to the last column.
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
    `${count(created + replayed)} made`,
    ...(rejected > 0 ? [`${count(rejected)} rejected`] : []),
    ...(pausedUntilMs === undefined ? [] : [`paused for ${duration((pausedUntilMs - nowMs) / 1000)}`]),
    ...(pace ? [`${count(Math.round(pace.linesPerSecond))}/s`] : []),
    ...(pace?.secondsLeft === undefined ? [] : [`${duration(pace.secondsLeft)} left`]),
    ...(waiting > 0 ? [`${count(waiting)} to be tried again`] : []),
  ];
}

/** Never 100 % before the end. */
function percent(share: number): string {
  return `${Math.floor(share * 100)}%`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** A number of things: `1 line`, `2,000 lines`. */
export function counted(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? '' : 's'}`;
}

/** A length of time, rounded up, to be read at a glance. */
export function duration(seconds: number): string {
  const whole = Math.max(Math.ceil(seconds), 1);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.ceil(whole / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
