/** Limits of a {@link BoundedMap}. */
export interface BoundedMapLimits {
  readonly maxEntries: number;
  /** Maximum total size of the entries, in bytes. Default: unlimited. */
  readonly maxBytes?: number;
}

interface Slot<Value> {
  readonly value: Value;
  readonly bytes: number;
  isRecent: boolean;
}

/**
 * A map with limits. Entries that were not read recently are evicted.
 *
 * Reading only sets a mark, because reads are far more frequent than writes. An entry that was read since its last
 * check for eviction is kept for another round (second-chance eviction).
 */
export class BoundedMap<Value> {
  readonly #slots = new Map<string, Slot<Value>>();
  #bytes = 0;

  /** @param onEvict Called with each evicted value. */
  constructor(
    private readonly limits: BoundedMapLimits,
    private readonly onEvict?: (value: Value) => void,
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

  /** Adds an entry, unless it alone exceeds the limit in bytes. */
  set(key: string, value: Value, bytes = 0): void {
    this.delete(key);
    const { maxEntries, maxBytes = Infinity } = this.limits;
    if (bytes > maxBytes || maxEntries < 1) return;
    // Evicts before it adds the entry, which would otherwise be evicted itself if all others were just read.
    while (this.#slots.size >= maxEntries || this.#bytes + bytes > maxBytes) this.#evictOne();
    this.#slots.set(key, { value, bytes, isRecent: false });
    this.#bytes += bytes;
  }

  keys(): Iterable<string> {
    return this.#slots.keys();
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

  #evictOne(): void {
    for (const [key, slot] of this.#slots) {
      if (!slot.isRecent) {
        this.delete(key);
        return this.onEvict?.(slot.value);
      }
      slot.isRecent = false;
      this.#slots.delete(key);
      this.#slots.set(key, slot);
    }
  }
}
