import { randomUUID } from 'node:crypto';
import { createClient, ErrorReply } from 'redis';
import {
  IdempotencyKeyInUseError,
  IdempotencyStoreOpenError,
  IdempotencyStoreUnavailableError,
} from './idempotency-errors.js';
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
 * An instance that has a request in hand holds a lease on it, and confirms that before it calls the tenant. An instance
 * that stands still between the two for longer than its lease carries the request out a second time: that makes one user
 * at most, because names are unique at the tenant.
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

  async begin(id: RequestId, contentDigest: string, startedAt: number): Promise<Beginning> {
    const keys = this.#keysOf(id);
    const owner = randomUUID();
    const { leaseMs, keyPrefix } = this.options;
    const { keepMs, maxKeys } = this.retention;
    const [kind, detail] = await this.#do(() =>
      this.client.begin(keys, [
        contentDigest,
        owner,
        String(leaseMs),
        String(keepMs),
        String(maxKeys),
        id.key,
        requestKey(keyPrefix, { ...id, key: '' }),
        String(startedAt),
      ]),
    );
    switch (kind) {
      case 'completed':
        return { kind, outcome: outcomeOf(detail) };
      case 'other content':
      case 'under way':
        return { kind };
      default: {
        const inDoubtSince = detail === undefined ? undefined : Number(detail);
        return { kind: 'begun', execution: this.#execution(keys, owner), inDoubtSince };
      }
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  #execution(keys: RedisKeys, owner: string): Execution {
    const { leaseMs } = this.options;
    let renewedAt = performance.now();
    const renew = async () => {
      const askedAt = performance.now();
      const isOurs = (await this.client.renew(keys, owner, leaseMs)) !== 0;
      if (isOurs) renewedAt = askedAt;
      return isOurs;
    };
    const renewal = setInterval(() => {
      // A lease that cannot be renewed runs out.
      renew().catch(() => {});
    }, leaseMs / 3).unref();
    const end = async (command: () => Promise<unknown>) => {
      clearInterval(renewal);
      await this.#do(command);
    };
    return {
      confirm: async () => {
        // This process may have stood still for longer than its lease lasted.
        if (performance.now() - renewedAt < leaseMs / 2) return;
        if (!(await this.#do(renew))) throw new IdempotencyKeyInUseError();
      },
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
      throw new IdempotencyStoreUnavailableError('Redis, which remembers requests, does not answer.', {
        cause,
        hint: `Redis cannot be used (${reasonOf(cause)}). See that it runs, takes writes and has room; the service then goes on by itself.`,
      });
    }
  }
}

/** The server's own words, or the code of an error on the way to it. */
function reasonOf(error: unknown): string {
  if (error instanceof ErrorReply) return error.message;
  const { code, name } = error as NodeJS.ErrnoException;
  return code ?? name;
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
