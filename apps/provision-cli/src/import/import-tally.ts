import type { RecordPlace } from '../input/input-record.js';
import type { LineOutcome } from '../journal/done-lines.js';
import type { LineCounts } from './import-event.js';

/** Counts what is done of an import. */
export class ImportTally {
  readonly #counts: Record<LineOutcome, number>;
  #failed = 0;
  #bytesDone = 0;

  /** @param before What earlier runs have done. */
  constructor(before: LineCounts) {
    this.#counts = { ...before };
  }

  get counts(): LineCounts {
    return this.#counts;
  }

  get failed(): number {
    return this.#failed;
  }

  get bytesDone(): number {
    return this.#bytesDone;
  }

  addDone({ bytes }: RecordPlace, outcome: LineOutcome): void {
    this.#counts[outcome]++;
    this.#bytesDone += bytes;
  }

  addDoneBefore({ bytes }: RecordPlace): void {
    this.#bytesDone += bytes;
  }

  addFailed({ bytes }: RecordPlace): void {
    this.#failed++;
    this.#bytesDone += bytes;
  }
}
