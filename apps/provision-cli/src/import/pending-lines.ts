import type { UserRecord } from '../input/input-record.js';

/** A line to send, or to send again. */
export interface PendingLine {
  readonly record: UserRecord;
  readonly key: string;
  readonly mark: number;
  /** Attempts so far that may have reached the service. */
  readonly attempts: number;
  /**
   * How often its batch failed as a whole. Each time halves the next batch, until the line that is the cause is alone.
   */
  readonly splits: number;
  /** Time of the next attempt. */
  readonly dueMs: number;
}

/** Lines that wait for another attempt. They are few: while there are many, no new lines are sent. */
export class PendingLines {
  #lines: PendingLine[] = [];

  get size(): number {
    return this.#lines.length;
  }

  /** Time at which the first line is due; undefined if there is none. */
  get nextDueMs(): number | undefined {
    return this.#lines.reduce<number | undefined>(
      (first, { dueMs }) => (first === undefined || dueMs < first ? dueMs : first),
      undefined,
    );
  }

  add(line: PendingLine): void {
    this.#lines.push(line);
  }

  /** Removes and returns a batch of lines that are due, the longest waiting first. */
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
