import type { User } from '../users/user.schema.js';

export interface LineError {
  readonly code: string;
  readonly message: string;
}

/** The answer to one line of a batch. `key` is null where none could be read. */
export type LineAnswer =
  | {
      readonly key: string;
      readonly line: number;
      readonly status: 'created';
      /** The key had been completed before: the user was made then. */
      readonly replayed?: true;
      readonly user: User;
    }
  | { readonly key: string | null; readonly line: number; readonly status: 'rejected'; readonly error: LineError }
  | {
      readonly key: string;
      readonly line: number;
      readonly status: 'failed';
      readonly error: LineError;
      readonly retryAfterSeconds: number;
    };

/** Why a batch took no further lines. */
export interface BatchStop extends LineError {
  readonly retryAfterSeconds?: number;
}

/** The last line of an answer: without it the answer is cut off. */
export interface BatchSummary {
  readonly lines: number;
  readonly created: number;
  readonly replayed: number;
  readonly rejected: number;
  readonly failed: number;
  /** Lines from `nextLine` on were not looked at. */
  readonly stopped?: BatchStop & { readonly nextLine: number };
}
