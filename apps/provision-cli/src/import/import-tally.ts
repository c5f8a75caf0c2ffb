import { type InputRecord, isBad, type RecordPlace } from '../input/input-record.js';

/** Counts how far an import is in its input. What is done, the journal counts. */
export class ImportTally {
  #failed = 0;
  #bytesDone = 0;
  #maybeGood = 0;

  /** Lines that were tried until the limit. */
  get failed(): number {
    return this.#failed;
  }

  get bytesDone(): number {
    return this.#bytesDone;
  }

  /** Lines behind quotes that are not closed. */
  get maybeGood(): number {
    return this.#maybeGood;
  }

  addDone(record: InputRecord): void {
    this.#bytesDone += record.bytes;
    if (isBad(record)) this.#maybeGood += record.maybeGood ?? 0;
  }

  addFailed({ bytes }: RecordPlace): void {
    this.#failed++;
    this.#bytesDone += bytes;
  }
}
