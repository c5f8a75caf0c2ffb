import type { UserRecord } from '../input/input-record.js';

/** A line that is to be sent, or sent again. */
export interface PendingLine {
  readonly record: UserRecord;
  readonly key: string;
  readonly mark: number;
  /** Times that it was sent and might have been done. */
  readonly attempts: number;
  /** Times that the batch with it failed as a whole. Each halves the next one, until the line that is the cause is alone. */
  readonly splits: number;
  /** Not before this time. */
  readonly dueMs: number;
}

/** Lines that wait to be sent again. Few: while they are many, nothing new is begun. */
export class PendingLines {
  #lines: PendingLine[] = [];

  get size(): number {
    return this.#lines.length;
  }

  /** When the first of them is due; undefined where there is none. */
  get nextDueMs(): number | undefined {
    return this.#lines.reduce<number | undefined>(
      (first, { dueMs }) => (first === undefined || dueMs < first ? dueMs : first),
      undefined,
    );
  }

  add(line: PendingLine): void {
    this.#lines.push(line);
  }

  /** Takes out a batch of lines that are due, those first that have waited longest. */
  takeDue(nowMs: number, batchSize: number): PendingLine[] {
    const first = this.#lines.find(({ dueMs }) => dueMs <= nowMs);
    if (!first) return [];
    const limit = Math.max(1, batchSize >> first.splits);
    const taken: PendingLine[] = [];
    this.#lines = this.#lines.filter((line) => {
      if (line.dueMs > nowMs || taken.length >= limit) return true;
      taken.push(line);
      return false;
    });
    return taken;
  }
}
