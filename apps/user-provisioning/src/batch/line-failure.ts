import { problemOf } from '../errors/problem.js';
import { isFinalRefusal } from '../users/user-creation.js';
import type { LineError } from './batch-answers.js';

/** What an error means for the line that met it, and for the batch. */
export type LineFailure =
  | { readonly status: 'rejected'; readonly error: LineError }
  | {
      readonly status: 'failed';
      readonly error: LineError;
      readonly retryAfterSeconds: number;
      /** Whether the next line would meet the same error before that time. */
      readonly meetsAll: boolean;
    };

/** For what somebody has to mend. */
const MENDING_SECONDS = 60;
/** For what may have to do with this one line. */
const UNKNOWN_SECONDS = 10;

export function lineFailureOf(error: unknown): LineFailure {
  const problem = problemOf(error);
  if (!problem) {
    const fault = { code: 'internal_error', message: 'This service failed. Its log says why.' };
    return { status: 'failed', error: fault, retryAfterSeconds: UNKNOWN_SECONDS, meetsAll: false };
  }
  const reason: LineError = { code: problem.error, message: problem.message };
  if (isFinalRefusal(error) || problem.statusCode === 422) return { status: 'rejected', error: reason };
  const isForOperator = problem.hint !== undefined;
  return {
    status: 'failed',
    error: reason,
    retryAfterSeconds: problem.retryAfterSeconds ?? (isForOperator ? MENDING_SECONDS : UNKNOWN_SECONDS),
    meetsAll: isForOperator || problem.statusCode === 503,
  };
}
