import type { Parties } from '../settings.js';
import { printable } from './safe-text.js';

/** An event of an import. With `--json`, each is a line of the output. */
export type ImportEvent =
  | ({
      readonly event: 'started';
      readonly input: string;
      readonly journal: string;
      /** Lines that earlier runs have done. */
      readonly doneBefore: number;
    } & Parties)
  | { readonly event: 'created'; readonly line: number; readonly id: string; readonly replayed: boolean }
  | {
      readonly event: 'rejected';
      readonly line: number;
      readonly lastLine?: number | undefined;
      readonly code: string;
      readonly reason: string;
    }
  /** A line that failed at every attempt. It stays open: the next run tries it again. */
  | { readonly event: 'failed'; readonly line: number; readonly code: string; readonly reason: string }
  | { readonly event: 'paused'; readonly reason: string; readonly seconds: number }
  | { readonly event: 'stopping'; readonly reason: string }
  | { readonly event: 'note'; readonly text: string }
  | ({ readonly event: 'progress' } & ImportProgress)
  | ({ readonly event: 'summary' } & ImportSummary)
  /** The result of a dry run: users that can be created, and lines that would be rejected. */
  | { readonly event: 'checked'; readonly right: number; readonly wrong: number; readonly maybeGood: number };

/** Numbers of users created and of lines rejected. A rejected record counts with all of its lines. */
export interface LineCounts {
  readonly created: number;
  /** Created by an earlier attempt, whose response was lost. */
  readonly replayed: number;
  readonly rejected: number;
}

/** The progress of an import. */
export interface ImportProgress extends LineCounts {
  /** Lines that wait for another attempt. */
  readonly waiting: number;
  /** Batches under way. */
  readonly inFlight: number;
  /** Length of the input that is done, in bytes. */
  readonly bytesDone: number;
  /** End of a pause that the service asked for or caused, in milliseconds of the clock; undefined outside of one. */
  readonly pausedUntilMs: number | undefined;
}

/** The result of an import, with all its earlier runs. */
export interface ImportSummary extends LineCounts {
  /** Lines that failed at every attempt, and stay open. */
  readonly failed: number;
  /** Rejected lines that follow an unclosed quote and may be valid. */
  readonly maybeGood: number;
  /** Whether every line of the input is done. */
  readonly complete: boolean;
  /** File with the rejected lines; undefined if there are none. */
  readonly rejectsFile: string | undefined;
}

/** Returns an event as text for people; undefined for an event that the progress shows. */
export function eventText(event: ImportEvent): string | undefined {
  switch (event.event) {
    case 'started':
      return startedText(event);
    case 'rejected': {
      const place = event.lastLine === undefined ? `Line ${event.line}` : `Lines ${event.line} to ${event.lastLine}`;
      return `${place}: rejected (${event.code}): ${printable(event.reason)}`;
    }
    case 'failed':
      return `Line ${event.line}: failed (${event.code}): ${printable(event.reason)}`;
    case 'paused':
      return `Paused for ${duration(event.seconds)}: ${printable(event.reason)}`;
    case 'stopping':
      return event.reason;
    case 'note':
      return printable(event.text, 2000);
    case 'summary':
      return summaryText(event);
    case 'checked':
      return [
        `${counted(event.right, 'line')} valid, ${counted(event.wrong, 'line')} invalid. Nothing was sent.`,
        ...maybeGoodText(event.maybeGood),
      ].join('\n');
    case 'created':
    case 'progress':
      return undefined;
  }
}

type EventNamed<Name> = Extract<ImportEvent, { readonly event: Name }>;

function startedText({ input, doneBefore, ...parties }: EventNamed<'started'>): string {
  const before = doneBefore > 0 ? ` Already done: ${counted(doneBefore, 'line')}.` : '';
  return `Importing ${printable(input)} into ${partiesText(parties)}.${before}`;
}

/** Names the service and tenant that a command calls, and its client. */
export function partiesText({ service, client, tenant, sample }: Parties): string {
  const defaults = sample ? ' (the sample system on this machine, because no tenant is set)' : '';
  return `${printable(service)}, as ${printable(client)} of ${printable(tenant)}${defaults}`;
}

function maybeGoodText(lines: number): string[] {
  return lines > 0 ? [`Of these, ${counted(lines, 'line')} after an unclosed quote may be valid.`] : [];
}

function summaryText(summary: EventNamed<'summary'>): string {
  const { created, replayed, rejected, failed, complete, rejectsFile, maybeGood } = summary;
  const lines = [
    `${counted(created + replayed, 'user')} created, ${counted(rejected, 'line')} rejected${failed > 0 ? `, ${counted(failed, 'line')} failed` : ''}.`,
  ];
  if (replayed > 0) {
    lines.push(`Of these, ${counted(replayed, 'user')} by an earlier attempt whose response was lost.`);
  }
  lines.push(...maybeGoodText(maybeGood));
  if (rejectsFile !== undefined) {
    lines.push(`Rejected lines and reasons: ${printable(rejectsFile, 4096)}`);
    if (complete) lines.push('Correct these lines in the file, and run the same command again with --retry-rejected.');
  }
  if (!complete) lines.push('Some lines are still open. Run the same command again to resume.');
  return lines.join('\n');
}

/** Formats a number of things: `1 line`, `2,000 lines`. */
function counted(value: number, thing: string): string {
  return `${count(value)} ${thing}${value === 1 ? '' : 's'}`;
}

/** Formats a number: `2,000`. */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** Formats a length of time, rounded up: `90 s`, `2 min`, `1 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(Math.ceil(seconds), 1);
  if (whole < 120) return `${whole} s`;
  const minutes = Math.ceil(whole / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
