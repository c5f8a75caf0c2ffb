import { Inject, Injectable, Logger } from '@nestjs/common';
import { z } from 'zod';
import { problemOf } from '../problem.js';
import { IDEMPOTENCY_KEY, isFinalRefusal, UserCreation } from '../users/user-creation.js';
import { type NewUser, newUser, strictObject } from '../users/user.schema.js';
import type { BatchStop, LineAnswer, LineError } from './batch-answers.js';
import { BATCH_LIMITS, type BatchLimits } from './batch-limits.js';
import type { NdjsonLine } from './ndjson-body.js';

export interface LineResult {
  readonly answer: LineAnswer;
  /** An error that every line would meet before `retryAfterSeconds` have passed. */
  readonly obstacle?: BatchStop & { readonly retryAfterSeconds: number };
}

/** Processes the lines of batches, one by one. */
@Injectable()
export class BatchLines {
  readonly #logger = new Logger('UserProvisioning');

  constructor(
    private readonly creation: UserCreation,
    @Inject(BATCH_LIMITS) private readonly limits: BatchLimits,
  ) {}

  /** Never rejects: every error is an answer. */
  async process(clientId: string, line: NdjsonLine): Promise<LineResult> {
    const reading = readLine(line, this.limits.maxLineBytes);
    if ('rejection' in reading) return { answer: reading.rejection };
    try {
      const { user, replayed } = await this.creation.once(clientId, reading.line.key, reading.line.user);
      const answer = { key: reading.line.key, line: line.number, status: 'created', user } as const;
      return { answer: replayed ? { ...answer, replayed } : answer };
    } catch (error) {
      return this.#failed(reading.line, line.number, error);
    }
  }

  #failed({ key }: BatchLine, line: number, error: unknown): LineResult {
    if (!problemOf(error)) this.#logger.error(error instanceof Error ? error.stack : error);
    const failure = lineFailureOf(error);
    if (failure.status === 'rejected') return { answer: { key, line, ...failure } };
    const { meetsAll, ...answer } = failure;
    return {
      answer: { key, line, ...answer },
      ...(meetsAll && { obstacle: { ...answer.error, retryAfterSeconds: answer.retryAfterSeconds } }),
    };
  }
}

interface BatchLine {
  readonly key: string;
  readonly user: NewUser;
}

type LineReading = { readonly line: BatchLine } | { readonly rejection: LineAnswer };

const key = z.string().regex(IDEMPOTENCY_KEY, 'must be 1 to 128 characters that a header token may have');
const keyed = z.object({ key });
const batchLine = strictObject({ key, user: newUser });

/** Parses a line, or says why it is invalid. The reason quotes nothing of the line, which may hold a password. */
function readLine(line: NdjsonLine, maxLineBytes: number): LineReading {
  const reject = (code: string, message: string, key: string | null = null): LineReading => ({
    rejection: { key, line: line.number, status: 'rejected', error: { code, message } },
  });
  if ('fault' in line) {
    return line.fault === 'too_long'
      ? reject('line_too_long', `The line is longer than ${maxLineBytes} bytes.`)
      : reject('not_utf8', 'The line is not UTF-8.');
  }
  const json = parsed(line.text);
  if (json === undefined) return reject('not_json', 'The line is not JSON.');
  const checked = batchLine.safeParse(json);
  if (checked.success) return { line: checked.data };
  const faults = checked.error.issues.map(({ path, message }) => `${path.join('.') || 'line'}: ${message}`);
  const known = keyed.safeParse(json).data?.key;
  return reject('invalid', faults.join('; ').slice(0, 1000), known);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The meaning of an error for its line, and for the batch. */
type LineFailure =
  | { readonly status: 'rejected'; readonly error: LineError }
  | {
      readonly status: 'failed';
      readonly error: LineError;
      readonly retryAfterSeconds: number;
      /** Whether the next line would meet the same error before that time. */
      readonly meetsAll: boolean;
    };

/** Retry of an error that an operator has to fix. */
const OPERATOR_SECONDS = 60;
/** Retry of an error that may concern this line alone. */
const UNKNOWN_SECONDS = 10;

function lineFailureOf(error: unknown): LineFailure {
  const problem = problemOf(error);
  if (!problem) {
    const fault = { code: 'internal_error', message: 'This service failed. Its log has the reason.' };
    return { status: 'failed', error: fault, retryAfterSeconds: UNKNOWN_SECONDS, meetsAll: false };
  }
  const reason: LineError = { code: problem.error, message: problem.message };
  if (isFinalRefusal(error) || problem.statusCode === 422) return { status: 'rejected', error: reason };
  const isForOperator = problem.hint !== undefined;
  return {
    status: 'failed',
    error: reason,
    retryAfterSeconds: problem.retryAfterSeconds ?? (isForOperator ? OPERATOR_SECONDS : UNKNOWN_SECONDS),
    meetsAll: isForOperator || problem.statusCode === 503,
  };
}
