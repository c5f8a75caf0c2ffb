import type { LineOutcome } from '../journal/done-lines.js';
import type { Parties } from '../settings/settings.js';

/** What happens in an import. With `--json`, each is a line of the output. */
export type ImportEvent =
  | ({
      readonly event: 'started';
      readonly input: string;
      readonly journal: string;
      /** Lines that an earlier run was done with. */
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
  /** A line that was tried until the limit. It is not done: the next run tries it again. */
  | { readonly event: 'failed'; readonly line: number; readonly code: string; readonly reason: string }
  | { readonly event: 'paused'; readonly reason: string; readonly seconds: number }
  | { readonly event: 'stopping'; readonly reason: string }
  | { readonly event: 'note'; readonly text: string }
  | ({ readonly event: 'progress' } & ImportProgress)
  | ({ readonly event: 'summary' } & ImportSummary)
  /** What came of a dry run: users that can be created, and lines that would be rejected. */
  | { readonly event: 'checked'; readonly right: number; readonly wrong: number; readonly maybeGood: number };

/** Users that were created, and lines that were rejected: a rejected record counts with all of its lines. */
export type LineCounts = Readonly<Record<LineOutcome, number>>;

/** How far an import is. */
export interface ImportProgress extends LineCounts {
  /** Lines that wait to be sent again. */
  readonly waiting: number;
  /** Batches under way. */
  readonly inFlight: number;
  /** How much of the input is done, in bytes. */
  readonly bytesDone: number;
  /** As long as nothing is sent because the service asked for it, or does not answer: until when, in ms of the clock. */
  readonly pausedUntilMs: number | undefined;
}

/** What came of an import, with all earlier runs of it. */
export interface ImportSummary extends LineCounts {
  /** Lines that were tried until the limit, and are not done. */
  readonly failed: number;
  /** Of the rejected lines, those behind a quote that is not closed: they may be good. */
  readonly maybeGood: number;
  /** Whether every line of the input is done. */
  readonly complete: boolean;
  /** Of the rejected lines; undefined where there are none. */
  readonly rejectsFile: string | undefined;
}
