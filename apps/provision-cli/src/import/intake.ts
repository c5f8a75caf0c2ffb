import type { InputRecord } from '../input/input-record.js';

/**
 * Reads the input ahead by one group, in the background: so that a slow input holds up nothing else, and a slow service
 * holds up the input.
 */
export class Intake {
  #group: readonly InputRecord[] = [];
  #at = 0;
  #reading = false;
  #isEnded = false;
  #error: unknown;

  /** @param onChange Called when there is more, or no more. */
  constructor(
    private readonly groups: AsyncIterator<readonly InputRecord[]>,
    private readonly onChange: () => void,
  ) {}

  /** Whether all was taken. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /**
   * What is there, up to a number of records and of bytes; nothing while it is being read.
   *
   * @throws what reading the input threw.
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
