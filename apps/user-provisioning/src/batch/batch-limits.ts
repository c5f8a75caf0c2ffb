export const BATCH_LIMITS = Symbol('BatchLimits');

/** What a batch may take of this service. */
export interface BatchLimits {
  /** Lines of one batch that are worked on at the same time. */
  readonly concurrency: number;
  readonly maxLines: number;
  /** Of the whole request body. */
  readonly maxBytes: number;
  readonly maxLineBytes: number;
  /** How long the client may keep this service waiting, for lines or for its taking answers, in milliseconds. */
  readonly idleMs: number;
  /** How long the rest of a request is read and dropped, so that the client gets to read the answer, in milliseconds. */
  readonly lingerMs: number;
  /** How long a batch may take new lines, in milliseconds. */
  readonly maxDurationMs: number;
  /** Longest time that the tenant may ask to be left alone for without ending the batch, in milliseconds. */
  readonly maxPauseMs: number;
  /** Batches that run at the same time. */
  readonly maxRunning: number;
  readonly maxRunningPerClient: number;
}

export const DEFAULT_BATCH_LIMITS: BatchLimits = {
  concurrency: 16,
  maxLines: 10_000,
  maxBytes: 16 * 1024 * 1024,
  maxLineBytes: 64 * 1024,
  idleMs: 30_000,
  lingerMs: 2000,
  // Within the five minutes in which Node.js wants to have a request read to its end.
  maxDurationMs: 240_000,
  maxPauseMs: 30_000,
  maxRunning: 8,
  maxRunningPerClient: 4,
};
