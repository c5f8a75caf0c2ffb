import type { Settings } from '../settings.js';

/** Injection token of the {@link BatchLimits}. */
export const BATCH_LIMITS = Symbol('BatchLimits');

/** Limits of a batch. */
export interface BatchLimits {
  /** Lines of one batch that are processed at the same time. */
  readonly concurrency: number;
  readonly maxLines: number;
  /** Of the whole request body. */
  readonly maxBytes: number;
  readonly maxLineBytes: number;
  /** How long the client may send no lines, or read no answers, in milliseconds. */
  readonly idleMs: number;
  /**
   * How long the service reads and discards the rest of a request, so that the client can read the answer, in
   * milliseconds.
   */
  readonly lingerMs: number;
  /** How long a batch may take new lines, in milliseconds. */
  readonly maxDurationMs: number;
  /** Maximum `Retry-After` of the tenant that a batch waits for, in milliseconds; beyond it the batch stops. */
  readonly maxPauseMs: number;
  /** Batches that run at the same time. */
  readonly maxRunning: number;
  readonly maxRunningPerClient: number;
}

export function batchLimits(settings: Settings): BatchLimits {
  return {
    concurrency: settings.BATCH_CONCURRENCY,
    maxLines: settings.BATCH_MAX_LINES,
    maxBytes: settings.BATCH_MAX_BYTES,
    maxLineBytes: 64 * 1024,
    idleMs: 30_000,
    lingerMs: 2000,
    // Less than the five minutes in which Node.js must have received a request.
    maxDurationMs: 240_000,
    maxPauseMs: 30_000,
    maxRunning: settings.BATCH_MAX_RUNNING,
    maxRunningPerClient: Math.ceil(settings.BATCH_MAX_RUNNING / 2),
  };
}
