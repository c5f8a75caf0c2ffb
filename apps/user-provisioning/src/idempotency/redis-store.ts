import { randomUUID } from 'node:crypto';
import { createClient } from 'redis';
import { IdempotencyStoreOpenError, IdempotencyStoreUnavailableError } from './idempotency-errors.js';
import type { Beginning, Execution, IdempotencyStore, RequestId, Retention } from './idempotency-store.js';
import { type RedisKeys, scripts } from './redis-scripts.js';

export interface RedisStoreOptions {
  /** `redis://` or `rediss://`, with user and password where the server wants them. */
  readonly url: string;
  /** Stands in front of every key. */
  readonly keyPrefix: string;
  /**
   * How long a request stays with an instance that gives no sign of life, in milliseconds. An instance that works on a
   * request gives one three times as often.
   */
  readonly leaseMs: number;
}

/** How long Redis may take for anything, in milliseconds. */
const TIMEOUT_MS = 5000;

/**
 * Keeps requests in Redis (6 or later), for several instances of the service.
 *
 * An instance that has a request in hand holds a lease on it. Should the lease run out although the instance still
 * works on it, the request is carried out twice at most: that makes one user, because names are unique at the tenant.
 */
export class RedisStore implements IdempotencyStore {
  private constructor(
    private readonly client: RedisClient,
    private readonly retention: Retention,
    private readonly options: RedisStoreOptions,
  ) {}

  /** @throws {@link IdempotencyStoreOpenError} */
  static async open(options: RedisStoreOptions, retention: Retention): Promise<RedisStore> {
    const { host } = new URL(options.url);
    const client = redisClient(options.url);
    try {
      await client.connect();
    } catch (cause) {
      client.destroy();
      throw new IdempotencyStoreOpenError(
        `Redis at ${host} cannot be used (${String(cause)}). See that REDIS_URL is right and that Redis runs.`,
        { cause },
      );
    }
    return new RedisStore(client, retention, options);
  }

  async begin(id: RequestId, contentDigest: string): Promise<Beginning> {
    const keys = this.#keysOf(id);
    const owner = randomUUID();
    const { leaseMs, keyPrefix } = this.options;
    const { keepMs, maxKeys } = this.retention;
    // Before the call, not after: a doubt that seems older than it is does no harm, one that seems younger would.
    const now = Date.now();
    const [kind, detail] = await this.#do(() =>
      this.client.begin(keys, [
        contentDigest,
        owner,
        String(leaseMs),
        String(keepMs),
        String(maxKeys),
        id.key,
        requestKey(keyPrefix, { ...id, key: '' }),
      ]),
    );
    switch (kind) {
      case 'completed':
        return { kind, outcome: outcomeOf(detail) };
      case 'other content':
      case 'under way':
        return { kind };
      default: {
        const inDoubtSince = detail === undefined ? undefined : now - Number(detail);
        return { kind: 'begun', execution: this.#execution(keys, owner), inDoubtSince };
      }
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  #execution(keys: RedisKeys, owner: string): Execution {
    const { leaseMs } = this.options;
    const renewal = setInterval(() => {
      // A lease that cannot be renewed runs out.
      this.client.renew(keys, owner, leaseMs).catch(() => {});
    }, leaseMs / 3).unref();
    const end = async (command: () => Promise<unknown>) => {
      clearInterval(renewal);
      await this.#do(command);
    };
    return {
      complete: (outcome) => end(() => this.client.complete(keys, owner, JSON.stringify(outcome))),
      giveUp: (wasCarriedOut) => end(() => this.client.giveUp(keys, owner, wasCarriedOut)),
    };
  }

  #keysOf(id: RequestId): RedisKeys {
    const { keyPrefix } = this.options;
    return { request: requestKey(keyPrefix, id), history: `${keyPrefix}{${id.client}}:history` };
  }

  async #do<Reply>(command: () => Promise<Reply>): Promise<Reply> {
    try {
      return await command();
    } catch (cause) {
      throw new IdempotencyStoreUnavailableError('Redis, which remembers requests, does not answer.', { cause });
    }
  }
}

/** Something that is no JSON is no outcome either, and is not taken for one. */
function outcomeOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return undefined;
  }
}

function requestKey(prefix: string, { client, key }: RequestId): string {
  return `${prefix}{${client}}:request:${key}`;
}

type RedisClient = ReturnType<typeof redisClient>;

function redisClient(url: string) {
  let hasConnected = false;
  const client = createClient({
    url,
    scripts,
    // Somebody waits for each command: better it fails now than that it is kept for when Redis is back.
    disableOfflineQueue: true,
    pingInterval: TIMEOUT_MS / 2,
    socket: {
      connectTimeout: TIMEOUT_MS,
      socketTimeout: TIMEOUT_MS,
      reconnectStrategy: (retries) => (hasConnected ? Math.min(100 * 2 ** retries, 3000) : false),
    },
  });
  // Without a listener the first lost connection would end the process; each command that fails tells of it.
  client.on('error', () => {});
  client.on('ready', () => (hasConnected = true));
  return client;
}
