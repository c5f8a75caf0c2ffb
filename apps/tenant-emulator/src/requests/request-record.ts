import { randomUUID } from 'node:crypto';

/** What is noted about one request while it is served. */
export class RequestRecord {
  readonly transactionId = randomUUID();
  /** Login name of an OAuth client. */
  client: string | undefined;
  tokenFingerprint: string | undefined;
  error: Error | undefined;
  #outcome: string | undefined;
  #finished = false;

  constructor(
    private readonly onOutcome: (outcome: string) => void,
    private readonly onFinish: (status: number | undefined, outcome: string) => void,
  ) {}

  /** Notes how the request ended. The first word counts. */
  settle(outcome: string): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.onOutcome(outcome);
  }

  /** Closes the record. */
  finish(status: number | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.settle(status === undefined ? 'connection lost' : `HTTP ${status}`);
    this.onFinish(status, this.#outcome ?? '');
  }
}
