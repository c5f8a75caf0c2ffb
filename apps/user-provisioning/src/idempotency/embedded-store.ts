import { mkdir } from 'node:fs/promises';
import { ClassicLevel } from 'classic-level';
import { z } from 'zod';
import { ClientHistory, HISTORY_PREFIX } from './client-history.js';
import { IdempotencyStoreOpenError, IdempotencyStoreUnavailableError } from './idempotency-errors.js';
import type { Beginning, Execution, IdempotencyStore, RequestId, Retention } from './idempotency-store.js';

const storedRequest = z.strictObject({
  /** Of the content. */
  digest: z.string(),
  /** When the key was first used, in milliseconds since the epoch. */
  firstUsedAt: z.number(),
  /** Place in the client's history. */
  place: z.number(),
  /** Of the first attempt that is not known to have come to nothing. */
  startedAt: z.number().optional(),
  outcome: z.unknown().optional(),
});

type StoredRequest = z.infer<typeof storedRequest>;

/** How often what is too old is removed, in milliseconds. */
const SWEEP_MS = 3600_000;

/**
 * Keeps requests in a folder of this machine, for one instance of the service.
 *
 * The folder is locked while the store is open, and the ledger before it lets one request of a name through at a time:
 * a request that was begun and not completed was left behind by a process that is gone.
 */
export class EmbeddedStore implements IdempotencyStore {
  readonly #histories = new Map<string, ClientHistory>();
  readonly #sweeper: NodeJS.Timeout;
  #sweeping: Promise<void> | undefined;

  private constructor(
    private readonly db: ClassicLevel,
    private readonly retention: Retention,
    private readonly now: () => number,
  ) {
    this.#sweeper = setInterval(() => this.#sweepInBackground(), SWEEP_MS).unref();
  }

  /**
   * @param now Milliseconds since the epoch.
   * @throws {@link IdempotencyStoreOpenError}
   */
  static async open(directory: string, retention: Retention, now: () => number = Date.now): Promise<EmbeddedStore> {
    const db = new ClassicLevel(directory);
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await db.open();
    } catch (error) {
      throw openError(directory, error);
    }
    const store = new EmbeddedStore(db, retention, now);
    store.#sweepInBackground();
    return store;
  }

  async begin(id: RequestId, contentDigest: string): Promise<Beginning> {
    try {
      return await this.#begin(id, contentDigest);
    } catch (error) {
      throw new IdempotencyStoreUnavailableError('The store of requests cannot be read or written.', { cause: error });
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    await this.#sweeping;
    await this.db.close();
  }

  async #begin(id: RequestId, contentDigest: string): Promise<Beginning> {
    const history = await this.#historyOf(id.client);
    const now = this.now();
    let request = await this.#read(id);
    if (request && now - request.firstUsedAt >= this.retention.keepMs) {
      await history.forgetUpTo(request.place);
      request = undefined;
    }
    if (request && request.digest !== contentDigest) return { kind: 'other content' };
    if (request?.outcome !== undefined) return { kind: 'completed', outcome: request.outcome };

    const begun = request ?? { digest: contentDigest, firstUsedAt: now, place: history.nextPlace() };
    const started: StoredRequest = { ...begun, startedAt: begun.startedAt ?? now };
    const leaveHistory = history.hold(started.place);
    await this.db
      .batch(
        [
          { type: 'put', key: recordKey(id), value: JSON.stringify(started) },
          { type: 'put', key: history.key(started.place), value: `${started.firstUsedAt} ${id.key}` },
        ],
        { sync: true },
      )
      .catch((error: unknown) => {
        leaveHistory();
        throw error;
      });
    const end = async (request: StoredRequest) => {
      await this.db.put(recordKey(id), JSON.stringify(request), { sync: true }).finally(leaveHistory);
      await history.forgetExcess(this.retention.maxKeys);
    };
    const execution: Execution = {
      complete: (outcome) => end({ ...started, outcome }),
      giveUp: (wasCarriedOut) => end(wasCarriedOut === 'perhaps' ? started : { ...started, startedAt: undefined }),
    };
    return { kind: 'begun', execution, inDoubtSince: begun.startedAt };
  }

  async #read(id: RequestId): Promise<StoredRequest | undefined> {
    const text = await this.db.get(recordKey(id));
    return text === undefined ? undefined : storedRequest.parse(JSON.parse(text));
  }

  async #historyOf(client: string): Promise<ClientHistory> {
    const known = this.#histories.get(client);
    if (known) return known;
    const loaded = await ClientHistory.load(this.db, client, (key) => recordKey({ client, key }));
    const history = this.#histories.get(client) ?? loaded;
    this.#histories.set(client, history);
    return history;
  }

  #sweepInBackground(): void {
    this.#sweeping ??= this.#sweep()
      // What was not removed now is removed the next time; meanwhile it is too old to be found.
      .catch(() => {})
      .finally(() => (this.#sweeping = undefined));
  }

  async #sweep(): Promise<void> {
    for await (const client of clientsIn(this.db)) {
      const history = await this.#historyOf(client);
      await history.forgetBefore(this.now() - this.retention.keepMs);
    }
  }
}

function recordKey({ client, key }: RequestId): string {
  return `request!${client}!${key}`;
}

/** Every client that has a history, without reading the histories. */
async function* clientsIn(db: ClassicLevel): AsyncGenerator<string> {
  for (let after = HISTORY_PREFIX; ;) {
    const [key] = await db.keys({ gt: after, lt: `${HISTORY_PREFIX}~`, limit: 1 }).all();
    if (key === undefined) return;
    const client = key.slice(HISTORY_PREFIX.length, key.lastIndexOf('!'));
    yield client;
    after = `${HISTORY_PREFIX}${client}!~`;
  }
}

function openError(directory: string, error: unknown): IdempotencyStoreOpenError {
  const { cause = error } = error as { cause?: unknown };
  const { code, message } = cause as NodeJS.ErrnoException;
  return new IdempotencyStoreOpenError(
    code === 'LEVEL_LOCKED'
      ? `The data folder ${directory} is in use by another process. Give each instance of this service a DATA_DIR of its own, or have them share a Redis (REDIS_URL).`
      : `The data folder ${directory} cannot be opened (${code ?? message}). See that DATA_DIR names a folder that this process may write to, or that can be made.`,
    { cause: error },
  );
}
