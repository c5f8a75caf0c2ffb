import type { ClassicLevel } from 'classic-level';

export const HISTORY_PREFIX = 'history!';

/** Most requests that are removed at once. */
const CHUNK = 1000;

/**
 * The requests of one client in the order in which they came, so that the oldest can be found and removed. Places are
 * given out one after the other and are removed from the front, so that two numbers tell how many there are.
 */
export class ClientHistory {
  readonly #held = new Set<number>();
  #lastTurn: Promise<void> = Promise.resolve();

  private constructor(
    private readonly db: ClassicLevel,
    private readonly client: string,
    private readonly recordKey: (key: string) => string,
    /** Not after the oldest. */
    private first: number,
    private next: number,
  ) {}

  static async load(db: ClassicLevel, client: string, recordKey: (key: string) => string): Promise<ClientHistory> {
    const range = { gt: historyKey(client, ''), lt: historyKey(client, '~'), limit: 1 };
    const [[oldest], [newest]] = await Promise.all([db.keys(range).all(), db.keys({ ...range, reverse: true }).all()]);
    const next = newest === undefined ? 0 : placeOf(newest) + 1;
    return new ClientHistory(db, client, recordKey, oldest === undefined ? next : placeOf(oldest), next);
  }

  nextPlace(): number {
    return this.next++;
  }

  key(place: number): string {
    return historyKey(this.client, String(place).padStart(16, '0'));
  }

  /** Keeps a request from being removed while it is in hand. Returns what ends that. */
  hold(place: number): () => void {
    this.#held.add(place);
    return () => this.#held.delete(place);
  }

  /** Removes the oldest where there are more than so many. */
  async forgetExcess(maxKeys: number): Promise<void> {
    if (this.next - this.first > maxKeys) await this.#forget(this.next - maxKeys, () => true);
  }

  async forgetBefore(timeMs: number): Promise<void> {
    await this.#forget(this.next, ({ firstUsedAt }) => firstUsedAt <= timeMs);
  }

  async forgetUpTo(place: number): Promise<void> {
    await this.#forget(place + 1, () => true);
  }

  /**
   * Removes from the front until a place, or one that is to stay. One removal at a time: a second one could still have
   * in mind a key that was removed meanwhile and is in use anew.
   */
  #forget(end: number, isDue: (entry: Entry) => boolean): Promise<void> {
    const turn = this.#lastTurn.then(async () => {
      while (await this.#forgetChunk(end, isDue));
    });
    this.#lastTurn = turn.catch(() => {});
    return turn;
  }

  /** Returns whether there may be more to remove. */
  async #forgetChunk(end: number, isDue: (entry: Entry) => boolean): Promise<boolean> {
    if (this.first >= end) return false;
    const range = { gte: this.key(this.first), lt: this.key(end), limit: CHUNK };
    const entries = (await this.db.iterator(range).all()).map(entryOf);
    const due = entries.slice(
      0,
      firstThatStays(entries, (entry) => isDue(entry) && !this.#held.has(entry.place)),
    );
    await this.db.batch(
      due.flatMap(({ place, key }) => [
        { type: 'del' as const, key: this.key(place) },
        { type: 'del' as const, key: this.recordKey(key) },
      ]),
    );
    const last = due.at(-1);
    if (last) this.first = last.place + 1;
    return due.length === CHUNK;
  }
}

interface Entry {
  readonly place: number;
  readonly firstUsedAt: number;
  readonly key: string;
}

function entryOf([historyKey, value]: [string, string]): Entry {
  const [firstUsedAt = '', key = ''] = value.split(' ');
  return { place: placeOf(historyKey), firstUsedAt: Number(firstUsedAt), key };
}

function firstThatStays(entries: readonly Entry[], isDue: (entry: Entry) => boolean): number {
  const index = entries.findIndex((entry) => !isDue(entry));
  return index === -1 ? entries.length : index;
}

function historyKey(client: string, place: string): string {
  return `${HISTORY_PREFIX}${client}!${place}`;
}

function placeOf(key: string): number {
  return Number(key.slice(key.lastIndexOf('!') + 1));
}
