import { randomUUID } from 'node:crypto';
import { createClient, defineScript, ErrorReply } from 'redis';
import {
  type Beginning,
  type Execution,
  IdempotencyKeyInUseError,
  type IdempotencyStore,
  IdempotencyStoreOpenError,
  IdempotencyStoreUnavailableError,
  type RequestId,
  type Retention,
} from './idempotency-store.js';

export interface RedisStoreOptions {
  /** `redis://` or `rediss://`, with user and password if the server requires them. */
  readonly url: string;
  /** Prefix of every key. */
  readonly keyPrefix: string;
  /**
   * How long a request belongs to an instance that does not renew its lease, in milliseconds. An instance renews three
   * times as often.
   */
  readonly leaseMs: number;
}

/** The keys of a request. Both have the client in braces, so that a cluster stores them on one node. */
interface RedisKeys {
  readonly request: string;
  /** The client's idempotency keys, in the order of their first use. */
  readonly history: string;
}

/** The server's clock is the same for all instances. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

const IS_OWNER = `if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end`;

/** Returns a kind, and the outcome or the start of the doubt. */
const begin = defineScript({
  NUMBER_OF_KEYS: 2,
  SCRIPT: `${NOW}
local digest, owner, leaseMs, keepMs, maxKeys = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local member, prefix, startedAt = ARGV[6], ARGV[7], ARGV[8]
local request = redis.call('HMGET', KEYS[1], 'digest', 'outcome', 'startedAt', 'leasedUntil')
if request[1] then
  if request[1] ~= digest then return {'other content'} end
  if request[2] then return {'completed', request[2]} end
  if request[4] and tonumber(request[4]) > now then return {'under way'} end
else
  redis.call('HSET', KEYS[1], 'digest', digest)
  redis.call('PEXPIRE', KEYS[1], keepMs)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - keepMs)
  redis.call('ZADD', KEYS[2], now, member)
  redis.call('PEXPIRE', KEYS[2], keepMs)
  local excess = redis.call('ZCARD', KEYS[2]) - maxKeys
  if excess > 0 then
    local oldest = redis.call('ZPOPMIN', KEYS[2], excess)
    for i = 1, #oldest, 2 do redis.call('DEL', prefix .. oldest[i]) end
  end
end
redis.call('HSET', KEYS[1], 'owner', owner, 'leasedUntil', now + leaseMs)
if request[3] then return {'begun', request[3]} end
redis.call('HSET', KEYS[1], 'startedAt', startedAt)
return {'begun'}`,
  parseCommand(parser, { request, history }: RedisKeys, args: readonly string[]) {
    parser.pushKey(request);
    parser.pushKey(history);
    parser.push(...args);
  },
  transformReply: (reply: unknown) => reply as [kind: string, detail?: string],
});

/** Returns 0 if another instance has taken the request over. */
const renew = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${IS_OWNER}${NOW}
redis.call('HSET', KEYS[1], 'leasedUntil', now + tonumber(ARGV[2]))
return 1`,
  parseCommand(parser, { request }: RedisKeys, owner: string, leaseMs: number) {
    parser.pushKey(request);
    parser.push(owner, String(leaseMs));
  },
  transformReply: (reply: unknown) => reply,
});

const complete = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${IS_OWNER}
redis.call('HSET', KEYS[1], 'outcome', ARGV[2])
return redis.call('HDEL', KEYS[1], 'owner', 'leasedUntil')`,
  parseCommand(parser, { request }: RedisKeys, owner: string, outcome: string) {
    parser.pushKey(request);
    parser.push(owner, outcome);
  },
  transformReply: (reply: unknown) => reply,
});

const giveUp = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: `${IS_OWNER}
if ARGV[2] == 'no' then redis.call('HDEL', KEYS[1], 'startedAt') end
return redis.call('HDEL', KEYS[1], 'owner', 'leasedUntil')`,
  parseCommand(parser, { request }: RedisKeys, owner: string, wasCarriedOut: string) {
    parser.pushKey(request);
    parser.push(owner, wasCarriedOut);
  },
  transformReply: (reply: unknown) => reply,
});

/** The atomic steps. */
const scripts = { begin, renew, complete, giveUp };

/** Timeout of every command, in milliseconds. */
const TIMEOUT_MS = 5000;

/**
 * Keeps requests in Redis (6 or later), for several instances of the service.
 *
 * An instance that carries out a request holds a lease on it, and confirms the lease before it calls the tenant. An
 * instance that freezes between the two for longer than its lease carries the request out a second time. That creates
 * one user at most, because names are unique at the tenant.
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
        `Redis at ${host} cannot be used (${String(cause)}). Check REDIS_URL, and that Redis runs.`,
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
      // Without a renewal the lease expires.
      renew().catch(() => {});
    }, leaseMs / 3).unref();
    const end = async (command: () => Promise<unknown>) => {
      clearInterval(renewal);
      await this.#do(command);
    };
    return {
      confirm: async () => {
        // This process may have been frozen for longer than its lease.
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
      throw new IdempotencyStoreUnavailableError('Redis, the store of requests, does not answer.', {
        cause,
        hint: `Redis cannot be used (${reasonOf(cause)}). Check that it runs, accepts writes and has room; the service then recovers by itself.`,
      });
    }
  }
}

/** Returns the server's message, or the code of a connection error. */
function reasonOf(error: unknown): string {
  if (error instanceof ErrorReply) return error.message;
  const { code, name } = error as NodeJS.ErrnoException;
  return code ?? name;
}

/** Returns undefined, which is no valid outcome, for a string that is not JSON. */
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
    // A caller waits for each command: it fails now instead of being queued until Redis is back.
    disableOfflineQueue: true,
    pingInterval: TIMEOUT_MS / 2,
    socket: {
      connectTimeout: TIMEOUT_MS,
      socketTimeout: TIMEOUT_MS,
      reconnectStrategy: (retries) => (hasConnected ? Math.min(100 * 2 ** retries, 3000) : false),
    },
  });
  // Without a listener, a lost connection would end the process. Failed commands report the error.
  client.on('error', () => {});
  client.on('ready', () => (hasConnected = true));
  return client;
}
