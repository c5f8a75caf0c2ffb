import type { BatchStop } from './batch-answers.js';

/** A batch takes no further lines. Those in hand are finished, and the summary says why. */
export class BatchStoppedError extends Error {
  constructor(readonly stop: BatchStop) {
    super(stop.message);
    this.name = 'BatchStoppedError';
  }
}
