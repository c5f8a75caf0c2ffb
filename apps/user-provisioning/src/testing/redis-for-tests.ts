import { randomUUID } from 'node:crypto';
import { createClient } from 'redis';

const URL = 'redis://127.0.0.1:6379';

export interface RedisForTests {
  readonly url: string;
  /** Of this test file alone. */
  readonly keyPrefix: string;
  /** Lets all leases run out, as time would. */
  expireLeases(): Promise<void>;
  /** Removes all that was written under the prefix. */
  cleanUp(): Promise<void>;
}

/** The Redis of this machine; undefined, with a message, if none runs. With `REQUIRE_SERVERS=1` that is an error. */
export async function redisForTests(): Promise<RedisForTests | undefined> {
  const client = createClient({ url: URL, socket: { connectTimeout: 1000, reconnectStrategy: false } });
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    if (process.env.REQUIRE_SERVERS === '1') throw error;
    console.warn(`No Redis on ${URL}: the tests that need one are skipped.`);
    return undefined;
  }
  await client.close();
  const keyPrefix = `test-${randomUUID()}:`;
  return {
    url: URL,
    keyPrefix,
    expireLeases: async () => {
      const client = await createClient({ url: URL }).connect();
      for await (const keys of client.scanIterator({ MATCH: `${keyPrefix}*:request:*`, COUNT: 1000 })) {
        for (const key of keys)
          if (await client.hExists(key, 'leasedUntil')) await client.hSet(key, 'leasedUntil', '0');
      }
      await client.close();
    },
    cleanUp: async () => {
      const client = await createClient({ url: URL }).connect();
      for await (const keys of client.scanIterator({ MATCH: `${keyPrefix}*`, COUNT: 1000 })) {
        if (keys.length > 0) await client.del(keys);
      }
      await client.close();
    },
  };
}
