import { maskOf, printable } from '../output/safe-text.js';
import type { BatchReply, LineAnswer } from '../service/batch-endpoint.js';
import { shownCode } from '../service/failed-call.js';
import type { PendingLine } from './pending-lines.js';
import { type ImportLimits, pauseAfter } from './sending-window.js';

export interface CreatedLine {
  readonly line: PendingLine;
  readonly id: string;
  /** Whether an earlier attempt created the user, and its response was lost. */
  readonly replayed: boolean;
}

/** A line that is not sent again, for good or in this run. */
export interface RefusedLine {
  readonly line: PendingLine;
  readonly code: string;
  readonly reason: string;
}

/** The outcome of each line of a batch. Every line is in one list. */
export interface BatchResult {
  readonly created: readonly CreatedLine[];
  readonly rejected: readonly RefusedLine[];
  /** Lines that failed at every attempt. */
  readonly failed: readonly RefusedLine[];
  readonly again: readonly PendingLine[];
  /** Why less must be sent; undefined if the service is well. */
  readonly pushedBack: { readonly reason: string; readonly retryAfterMs: number | undefined } | undefined;
}

/** Decides what the reply to a batch means for each of its lines. */
export function batchResult(
  lines: readonly PendingLine[],
  { answers, end }: BatchReply,
  limits: ImportLimits,
  nowMs: number,
  random: () => number,
): BatchResult {
  const created: CreatedLine[] = [];
  const rejected: RefusedLine[] = [];
  const failed: RefusedLine[] = [];
  const again: PendingLine[] = [];
  let longestRetryAfterMs = 0;
  let troubled = 0;
  // The rest of larger batches that broke off: the line is the cause, not the service.
  const isSuspect = lines.length === 1 && lines[0]!.splits > 0;

  for (const line of lines) {
    const answer = answers.get(line.key);
    if (answer?.status === 'created') {
      created.push({ line, id: answer.user.id, replayed: answer.replayed ?? false });
    } else if (answer?.status === 'rejected') {
      rejected.push({ line, ...reasonOf(answer, line) });
    } else if (answer) {
      const retryAfterMs = (answer.retryAfterSeconds ?? 0) * 1000;
      const pauseMs = Math.max(retryAfterMs, pauseAfter(line.attempts, limits, random()));
      longestRetryAfterMs = Math.max(longestRetryAfterMs, retryAfterMs);
      troubled++;
      tryAgain({ ...line, attempts: line.attempts + 1, dueMs: nowMs + pauseMs }, reasonOf(answer, line));
    } else if (end.kind === 'later') {
      again.push(line);
    } else if (end.kind === 'too large') {
      if (lines.length > 1) again.push({ ...line, splits: line.splits + 1 });
      else rejected.push({ line, code: 'too_large', reason: 'is longer than the service accepts' });
    } else {
      const reason = end.kind === 'broken' ? end.reason : 'the service has left out the line';
      const dueMs = isSuspect ? nowMs + pauseAfter(0, limits, random()) : 0;
      if (!isSuspect) troubled++;
      tryAgain({ ...line, attempts: line.attempts + 1, splits: line.splits + 1, dueMs }, { code: 'no_answer', reason });
    }
  }
  return { created, rejected, failed, again, pushedBack: pushedBack() };

  function tryAgain(line: PendingLine, why: Omit<RefusedLine, 'line'>): void {
    if (line.attempts < limits.maxAttempts) again.push(line);
    else failed.push({ line, ...why });
  }

  function pushedBack(): BatchResult['pushedBack'] {
    if (end.kind === 'later' || (end.kind === 'broken' && !isSuspect)) return end;
    // A single failure among many successes says little about the service.
    if (troubled * 2 <= lines.length) return undefined;
    return { reason: 'most users of a batch could not be created', retryAfterMs: longestRetryAfterMs };
  }
}

/** Returns the service's reason, without the values of the line. */
function reasonOf(
  { error }: Extract<LineAnswer, { readonly error: unknown }>,
  { record }: PendingLine,
): { code: string; reason: string } {
  const mask = maskOf([record.user]);
  return { code: shownCode(error.code, mask), reason: printable(mask(error.message)) };
}
