/** A batch is not begun: no line of it was read. */
export class BatchRefusedError extends Error {
  constructor(
    readonly statusCode: 413 | 415 | 429 | 503,
    readonly code: 'batch_too_large' | 'not_ndjson' | 'too_many_batches' | 'shutting_down',
    message: string,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
    this.name = 'BatchRefusedError';
  }
}
