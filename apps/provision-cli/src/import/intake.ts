import type { InputRecord } from '../input/input-record.js';

/**
 * Reads the input in the background, one group ahead. A slow input does not hold up other work, and a slow service
 * holds up the input.
 */
export class Intake {
  #group: readonly InputRecord[] = [];
  #at = 0;
  #reading = false;
  #isEnded = false;
  #error: unknown;

  /** @param onChange Called when more records have arrived, or the input has ended. */
  constructor(
    private readonly groups: AsyncIterator<readonly InputRecord[]>,
    private readonly onChange: () => void,
  ) {}

  /** Whether every record was taken. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /**
   * Returns the records that have arrived, up to a number and a length. Returns none while the input is being read.
   *
   * @throws The error of reading the input.
   */
  take(maxRecords: number, maxBytes: number): InputRecord[] {
    const taken: InputRecord[] = [];
    let bytes = 0;
    while (taken.length < maxRecords && bytes < maxBytes && this.#at < this.#group.length) {
      const record = this.#group[this.#at++]!;
      taken.push(record);
      bytes += record.bytes;
    }
    if (taken.length === 0 && !this.#isEnded) {
      if (this.#error !== undefined) throw this.#error;
      if (!this.#reading) void this.#readOn();
    }
    return taken;
  }

  async #readOn(): Promise<void> {
    this.#reading = true;
    try {
      const next = await this.groups.next();
      this.#at = 0;
      this.#group = next.done ? [] : next.value;
      this.#isEnded = next.done === true;
    } catch (error) {
      this.#error = error;
    }
    this.#reading = false;
    this.onChange();
  }
}
