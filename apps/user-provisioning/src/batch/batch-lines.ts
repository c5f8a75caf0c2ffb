import { Inject, Injectable, Logger } from '@nestjs/common';
import { problemOf } from '../errors/problem.js';
import { UserCreation } from '../users/user-creation.js';
import type { BatchStop, LineAnswer } from './batch-answers.js';
import { BATCH_LIMITS, type BatchLimits } from './batch-limits.js';
import { type BatchLine, readLine } from './batch-line.js';
import { lineFailureOf } from './line-failure.js';
import type { NdjsonLine } from './ndjson-splitter.js';

export interface LineResult {
  readonly answer: LineAnswer;
  /** What every line would meet now: there is no use in going on before `retryAfterSeconds` have passed. */
  readonly obstacle?: BatchStop & { readonly retryAfterSeconds: number };
}

/** Carries out the lines of batches, one by one. */
@Injectable()
export class BatchLines {
  readonly #logger = new Logger('UserProvisioning');

  constructor(
    private readonly creation: UserCreation,
    @Inject(BATCH_LIMITS) private readonly limits: BatchLimits,
  ) {}

  /** Never rejects: every error is an answer. */
  async carryOut(clientId: string, line: NdjsonLine): Promise<LineResult> {
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
