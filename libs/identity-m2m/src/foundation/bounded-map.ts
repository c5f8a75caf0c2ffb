export interface BoundedMapLimits {
  readonly maxEntries: number;
  /** Most bytes, as the entries' own estimates count them. */
  readonly maxBytes: number;
}

interface Slot<Value> {
  readonly value: Value;
  readonly bytes: number;
  isRecent: boolean;
}

/**
 * A map that never grows beyond its limits. What has not been read for longest gives way.
 *
 * Reading sets a mark and moves nothing, because it is done far more often than writing: an entry that would have to go
 * and was read since it last came up gets another round instead (the second-chance rule).
 */
export class BoundedMap<Value> {
  readonly #slots = new Map<string, Slot<Value>>();
  #bytes = 0;

  /** @param onDrop Called with each value that gives way to others. */
  constructor(
    private readonly limits: BoundedMapLimits,
    private readonly onDrop?: (value: Value) => void,
  ) {}

  get size(): number {
    return this.#slots.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Value | undefined {
    const slot = this.#slots.get(key);
    if (!slot) return undefined;
    slot.isRecent = true;
    return slot.value;
  }

  /** An entry that alone is larger than everything together may be is not kept. */
  set(key: string, value: Value, bytes: number): void {
    this.delete(key);
    if (bytes > this.limits.maxBytes || this.limits.maxEntries < 1) return;
    const { maxEntries, maxBytes } = this.limits;
    // Before it comes in, or it would itself have to go where all the others were just read.
    while (this.#slots.size >= maxEntries || this.#bytes + bytes > maxBytes) this.#dropOne();
    this.#slots.set(key, { value, bytes, isRecent: false });
    this.#bytes += bytes;
  }

  *values(): Iterable<Value> {
    for (const { value } of this.#slots.values()) yield value;
  }

  delete(key: string): void {
    const slot = this.#slots.get(key);
    if (!slot) return;
    this.#slots.delete(key);
    this.#bytes -= slot.bytes;
  }

  clear(): void {
    this.#slots.clear();
    this.#bytes = 0;
  }

  #dropOne(): void {
    for (const [key, slot] of this.#slots) {
      if (!slot.isRecent) {
        this.delete(key);
        return this.onDrop?.(slot.value);
      }
      slot.isRecent = false;
      this.#slots.delete(key);
      this.#slots.set(key, slot);
    }
  }
}
