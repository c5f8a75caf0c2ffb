import type { ServerResponse } from 'node:http';
import type { User } from '../users/user.schema.js';

export interface LineError {
  readonly code: string;
  readonly message: string;
}

/** The answer to one line of a batch. `key` is null if the line has no readable one. */
export type LineAnswer =
  | {
      readonly key: string;
      readonly line: number;
      readonly status: 'created';
      /** An earlier line or request with this key created the user. */
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

export const CLIENT_GONE: BatchStop = { code: 'client_gone', message: 'The client is gone.' };

/** The last line of an answer: without it the answer is incomplete. */
export interface BatchSummary {
  readonly lines: number;
  readonly created: number;
  readonly replayed: number;
  readonly rejected: number;
  readonly failed: number;
  /** The batch did not read the lines from `nextLine` on. */
  readonly stopped?: BatchStop & { readonly nextLine: number };
}

/** The service refuses a batch before it reads a line. */
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

/** A batch takes no further lines. Those under way are finished, and the summary has the reason. */
export class BatchStoppedError extends Error {
  constructor(readonly stop: BatchStop) {
    super(stop.message);
    this.name = 'BatchStoppedError';
  }
}

/** Writes lines of NDJSON as fast as the client reads them. */
export class AnswerStream {
  #room: Promise<void> | undefined;

  /** @param idleMs How long the client may read nothing, in milliseconds; then the connection is closed. */
  constructor(
    private readonly response: ServerResponse,
    private readonly idleMs: number,
  ) {
    response.writeHead(200, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.flushHeaders();
  }

  /** Resolves when there is room for the next line, or the client is gone. */
  async write(line: object): Promise<void> {
    if (this.response.destroyed || this.response.write(`${JSON.stringify(line)}\n`)) return;
    this.#room ??= this.#becomesFree().finally(() => (this.#room = undefined));
    await this.#room;
  }

  /** Resolves when the operating system has the whole answer, or the client is gone. */
  async end(): Promise<void> {
    if (this.response.destroyed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.response.destroy(), this.idleMs).unref();
      this.response.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.response.end(resolve);
    });
  }

  #becomesFree(): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(timer);
        this.response.off('drain', settle).off('close', settle);
        resolve();
      };
      const timer = setTimeout(() => this.response.destroy(), this.idleMs).unref();
      this.response.on('drain', settle).on('close', settle);
    });
  }
}
