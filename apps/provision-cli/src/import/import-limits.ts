import type { WindowLimits } from './sending-window.js';

/** How an import treats the service. */
export interface ImportLimits extends WindowLimits {
  /** Most users in a batch. */
  readonly batchSize: number;
  /** Longest batch, in bytes of the input. Well below what can be sent again with a new token. */
  readonly batchBytes: number;
  /** How long nothing may get done before the import gives up, in milliseconds. */
  readonly patienceMs: number;
  /** Times that a line is sent before it is left to the next run. */
  readonly maxAttempts: number;
}

export const IMPORT_LIMITS: ImportLimits = {
  // The service works on many lines of each at once, and takes no more batches than this from one client.
  maxSize: 4,
  firstPauseMs: 500,
  maxPauseMs: 60_000,
  batchSize: 100,
  batchBytes: 262_144,
  patienceMs: 300_000,
  maxAttempts: 10,
};
