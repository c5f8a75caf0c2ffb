import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, it, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { redisForTests } from '../testing/redis-for-tests.js';
import { EmbeddedStore } from './embedded-store.js';
import { contentDigestOf, IdempotencyLedger, type RepeatableRequest, requestIdOf } from './idempotency-ledger.js';
import {
  type Beginning,
  IdempotencyKeyInUseError,
  IdempotencyKeyReusedError,
  type IdempotencyStore,
  type Retention,
} from './idempotency-store.js';
import { NoteFile } from './note-file.js';
import { RedisStore } from './redis-store.js';

// Every note is forced to disk, on a machine that has other work too.
jest.setTimeout(60_000);

const GROWING_FILE = fileURLToPath(new URL('../../../../test/support/child/growing-file.mjs', import.meta.url));
const redis = await redisForTests();
const LEASE_MS = 1000;
/** When the attempts of most tests started. */
const AT = 1000;
const DAY = { keepMs: 86_400_000, maxKeys: 1000 };

const folders: string[] = [];
const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), 'idempotency-'));
  folders.push(folder);
  return folder;
};
const open: IdempotencyStore[] = [];
const opened = async <Store extends IdempotencyStore>(store: Promise<Store>): Promise<Store> => {
  open.push(await store);
  return store;
};

afterEach(async () => {
  await Promise.all(open.splice(0).map((store) => store.close()));
});
afterAll(async () => {
  await redis?.cleanUp();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

let scopes = 0;
/** Each test has keys of its own, also where they share a server. */
const newScope = () => `scope-${++scopes}`;

const begun = (beginning: Beginning) => {
  if (beginning.kind !== 'begun') throw new Error(beginning.kind);
  return beginning;
};

/** A kind of store, and how to have a second one that remembers the same: after a restart, or beside the first. */
interface Kind {
  readonly start: (retention?: Retention) => Promise<{
    readonly store: IdempotencyStore;
    readonly afterCrash: () => Promise<IdempotencyStore>;
  }>;
}

const kinds: [string, Kind][] = [
  [
    'a folder',
    {
      start: async (retention = DAY) => {
        const folder = newFolder();
        const store = await EmbeddedStore.open(folder, retention);
        return {
          store,
          afterCrash: async () => {
            await store.close();
            return opened(EmbeddedStore.open(folder, retention));
          },
        };
      },
    },
  ],
];
if (redis) {
  const { url, keyPrefix } = redis;
  const openRedis = (retention: Retention) => opened(RedisStore.open({ url, keyPrefix, leaseMs: LEASE_MS }, retention));
  kinds.push([
    'Redis',
    {
      start: async (retention = DAY) => ({
        store: await openRedis(retention),
        afterCrash: async () => {
          // The lease of the one that crashed is not renewed any more.
          await Promise.all(open.splice(0).map((store) => store.close()));
          await sleep(LEASE_MS * 1.5);
          return openRedis(retention);
        },
      }),
    },
  ]);
}

describe.each(kinds)('requests in %s', (name, { start }) => {
  const id = (key: string, scope: string) => requestIdOf(scope, 'client', key);

  it('start once, and every repetition gets their outcome', async () => {
    const scope = newScope();
    const { store, afterCrash } = await start();
    const first = begun(await store.begin(id('a', scope), 'digest', AT));
    expect(first.inDoubtSince).toBeUndefined();
    await first.execution.complete({ id: '1' });
    expect(await store.begin(id('a', scope), 'digest', AT)).toEqual({ kind: 'completed', outcome: { id: '1' } });
    expect(await store.begin(id('a', scope), 'other', AT)).toEqual({ kind: 'other content' });
    const later = await afterCrash();
    expect(await later.begin(id('a', scope), 'digest', AT)).toEqual({ kind: 'completed', outcome: { id: '1' } });
    if (name === 'a folder') await later.close();
  });

  it('are in doubt if they started before a crash, since their start', async () => {
    const scope = newScope();
    const { store, afterCrash } = await start();
    await store.begin(id('a', scope), 'digest', 5);
    const again = begun(await (await afterCrash()).begin(id('a', scope), 'digest', 7));
    expect(again.inDoubtSince).toBe(5);
  });

  it('stay in doubt through further attempts, and are not in doubt if nothing was carried out', async () => {
    const scope = newScope();
    const { store } = await start();
    await begun(await store.begin(id('a', scope), 'digest', 5)).execution.giveUp('perhaps');
    const second = begun(await store.begin(id('a', scope), 'digest', 7));
    expect(second.inDoubtSince).toBe(5);
    await second.execution.giveUp('perhaps');
    expect(begun(await store.begin(id('a', scope), 'digest', 9)).inDoubtSince).toBe(5);

    await begun(await store.begin(id('b', scope), 'digest', AT)).execution.giveUp('no');
    expect(await store.begin(id('b', scope), 'other', AT)).toEqual({ kind: 'other content' });
    expect(begun(await store.begin(id('b', scope), 'digest', AT)).inDoubtSince).toBeUndefined();
    if (name === 'a folder') await store.close();
  });

  it('are forgotten by age', async () => {
    const scope = newScope();
    const { store } = await start({ keepMs: 200, maxKeys: 1000 });
    await begun(await store.begin(id('a', scope), 'digest', AT)).execution.complete(1);
    await begun(await store.begin(id('b', scope), 'digest', AT)).execution.complete(1);
    await sleep(250);
    for (const key of ['b', 'a']) {
      expect(begun(await store.begin(id(key, scope), 'another', AT)).inDoubtSince).toBeUndefined();
    }
    if (name === 'a folder') await store.close();
  });

  it('are forgotten by number, the oldest of a client first', async () => {
    const scope = newScope();
    const { store } = await start({ keepMs: 86_400_000, maxKeys: 10 });
    const other = requestIdOf(scope, 'another client', 'a');
    await begun(await store.begin(other, 'digest', AT)).execution.complete('other');
    for (let i = 0; i < 25; i++) {
      await begun(await store.begin(id(`${i}`, scope), 'digest', AT)).execution.complete(i);
      // Redis tells their order by its clock.
      await sleep(2);
    }
    expect(await store.begin(other, 'digest', AT)).toMatchObject({ kind: 'completed' });
    for (let i = 24; i >= 15; i--) {
      expect(await store.begin(id(`${i}`, scope), 'digest', AT)).toEqual({ kind: 'completed', outcome: i });
    }
    expect(await store.begin(id('14', scope), 'digest', AT)).toMatchObject({ kind: 'begun' });
    if (name === 'a folder') await store.close();
  });
});

describe('a folder', () => {
  it('allows one process at a time, and the error names the remedy', async () => {
    const folder = newFolder();
    await opened(EmbeddedStore.open(folder, DAY));
    await expect(EmbeddedStore.open(folder, DAY)).rejects.toThrow(/in use by another process.*DATA_DIR.*REDIS_URL/);
  });

  it('that can’t be created is named', async () => {
    const file = join(newFolder(), 'file');
    writeFileSync(file, '');
    await expect(EmbeddedStore.open(join(file, 'data'), DAY)).rejects.toThrow(/file.data cannot be opened \(ENOTDIR\)/);
  });

  it('shrinks to the requests of the last days, in the background, across clients and restarts', async () => {
    const folder = newFolder();
    let now = Date.now();
    const retention = { keepMs: 1000, maxKeys: 100_000 };
    const first = await EmbeddedStore.open(folder, retention, () => now);
    const requests = Array.from({ length: 1150 }, (_, i) =>
      requestIdOf('s', `client-${i % 100 === 0 ? 1 : 0}`, `${i}`),
    );
    await Promise.all(requests.map(async (id) => begun(await first.begin(id, 'd', AT)).execution.complete(1)));
    now += 2000;
    const kept = requestIdOf('s', 'client-0', 'kept');
    await begun(await first.begin(kept, 'd', AT)).execution.complete('kept');
    await first.close();
    await (await EmbeddedStore.open(folder, retention, () => now)).close();
    // A clock set back finds again what was not removed, and only that.
    const second = await opened(EmbeddedStore.open(folder, { ...retention, keepMs: 1e9 }, () => now));
    expect(await second.begin(kept, 'd', AT)).toEqual({ kind: 'completed', outcome: 'kept' });
    for (const id of [requests[0]!, requests[1]!, requests.at(-1)!]) {
      expect(await second.begin(id, 'd', AT)).toMatchObject({ kind: 'begun', inDoubtSince: undefined });
    }
  });

  it('keeps a request under way even if it is the oldest', async () => {
    const store = await opened(EmbeddedStore.open(newFolder(), { keepMs: 86_400_000, maxKeys: 2 }));
    const [slow, ...others] = Array.from({ length: 6 }, (_, i) => requestIdOf('s', 'c', `${i}`));
    const { execution } = begun(await store.begin(slow!, 'd', AT));
    for (const id of others) await begun(await store.begin(id, 'd', AT)).execution.complete(1);
    await execution.complete('slow');
    expect(await store.begin(others[0]!, 'd', AT)).toMatchObject({ kind: 'begun' });
  });

  it('app-1: writes many concurrent notes in few commits, and fails none because of another', async () => {
    const notes = await NoteFile.open(newFolder());
    const note = (key: string) => ({ client: 'c', key, digest: 'd', firstUsedAt: 1 });
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 50 }, (_, i) => notes.transact(() => notes.add(note(`a${i}`)))),
      notes.transact(() => {
        throw new Error('its own fault');
      }),
      notes.transact(() => notes.add(note('a7'))),
      notes.transact(() => notes.find('a49')),
    ]);
    const failures = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(failures.map(({ reason }) => String(reason))).toEqual([
      'Error: its own fault',
      expect.stringContaining('UNIQUE constraint failed'),
    ]);
    expect(outcomes.at(-1)).toEqual({ status: 'fulfilled', value: note('a49') });
    await notes.close();
  });

  it('app-2: detects every flipped bit that matters at the start', async () => {
    const folder = newFolder();
    const store = await EmbeddedStore.open(folder, DAY);
    const ids = Array.from({ length: 60 }, (_, i) => requestIdOf('s', `client-${i % 3}`, `${i}`));
    await Promise.all(
      ids.map(async (id) => begun(await store.begin(id, 'd', AT)).execution.complete({ id: `outcome ${id.key}` })),
    );
    await store.close();
    const file = join(folder, 'notes.sqlite');
    const bytes = readFileSync(file);
    let refusals = 0;
    // Every 97th byte; test/durability/flipped-bits.mjs takes each of them.
    for (let at = 0; at < bytes.length; at += 97) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 1 << (at % 8);
      writeFileSync(file, damaged);
      const opening = await EmbeddedStore.open(folder, DAY).catch((error: Error) => error);
      if (opening instanceof Error) {
        expect(opening.message).toMatch(/ are damaged \(.*\)\. Restore a backup/);
        refusals++;
        continue;
      }
      for (const id of ids) {
        const outcome = { id: `outcome ${id.key}` };
        expect([at, await opening.begin(id, 'd', AT)]).toEqual([at, { kind: 'completed', outcome }]);
      }
      await opening.close();
    }
    expect(refusals).toBeGreaterThan(bytes.length / 97 / 3);
    writeFileSync(file, bytes);
    await opened(EmbeddedStore.open(folder, DAY));
  });

  test.each(['gone', 'empty', 'cut short'])('app-2: detects that its file is %s', async (fate) => {
    const folder = newFolder();
    await (await EmbeddedStore.open(folder, DAY)).close();
    const file = join(folder, 'notes.sqlite');
    if (fate === 'gone') rmSync(file);
    else truncateSync(file, fate === 'empty' ? 0 : 4096);
    // The second start is no different: the first one has not put an empty file in the place of the notes.
    for (let start = 1; start <= 2; start++) {
      await expect(EmbeddedStore.open(folder, DAY)).rejects.toThrow(/ are damaged \(.*\)\. Restore a backup/);
    }
  });

  it('app-2: detects a flipped bit when it reads the note, and keeps serving the others', async () => {
    const folder = newFolder();
    const filling = await NoteFile.open(folder);
    const outcome = 'x'.repeat(1000);
    const note = (i: number) => ({ client: 'c', key: `key ${i}`, digest: 'd', firstUsedAt: Date.now(), outcome });
    // More than SQLite keeps in memory.
    await filling.transact(() => Array.from({ length: 4000 }, (_, i) => filling.add(note(i))));
    await filling.close();
    const store = await opened(EmbeddedStore.open(folder, { ...DAY, maxKeys: 10_000 }));
    const file = join(folder, 'notes.sqlite');
    const bytes = readFileSync(file);
    const at = bytes.indexOf('"outcome":"xxx');
    const handle = openSync(file, 'r+');
    writeSync(handle, Buffer.from('X'), 0, 1, at + 15);
    closeSync(handle);
    const [key] = /key \d+/.exec(bytes.subarray(at - 60, at).toString('latin1'))!;
    await expect(store.begin({ client: 'c', key }, 'd', AT)).rejects.toMatchObject({
      code: 'IDEMPOTENCY_STORE_UNAVAILABLE',
      hint: expect.stringMatching(/damaged \(wrong checksum of note \d+\)\. Stop the service\. Restore a backup/),
    });
    expect(await store.begin({ client: 'c', key: 'key 3999' }, 'd', AT)).toEqual({ kind: 'completed', outcome });
  });

  it('contains neither key nor client nor content in plain text', async () => {
    const folder = newFolder();
    const store = await EmbeddedStore.open(folder, DAY);
    const ledger = new IdempotencyLedger(store, 'scope');
    await ledger.outcomeOf({
      clientId: 'svc-telling',
      key: 'telling-key',
      content: { open: { name: 'telling.name' }, secret: 'telling-Passw0rd' },
      startedAt: AT,
      execute: async () => ({ id: 'the-outcome' }),
      isInDoubt: () => true,
    });
    await store.close();
    const stored = readdirSync(folder)
      .map((file) => readFileSync(join(folder, file), 'latin1'))
      .join('');
    expect(stored).toContain('the-outcome');
    expect(stored).not.toContain('telling');
  });
});

// Needs a program that Linux comes with.
(process.platform === 'linux' ? describe : describe.skip)('a folder on a disk that fills up', () => {
  it('app-1: keeps what it has acknowledged, whichever write fails, and recovers by itself', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [GROWING_FILE, newFolder(), '40960', '4096']);
    const { sizes, begun, completed, refused, forgotten } = JSON.parse(stdout) as Record<string, number>;
    expect(forgotten).toEqual([]);
    expect([sizes, begun! > 0, refused! > 100, completed! > 200]).toEqual([11, true, true, true]);
  });
});

const request = (more: Partial<RepeatableRequest<unknown>> = {}): RepeatableRequest<unknown> => ({
  clientId: 'client',
  key: 'key',
  content: { open: { a: 1 }, secret: undefined },
  startedAt: AT,
  execute: async () => 'outcome',
  isInDoubt: () => false,
  ...more,
});

(redis ? describe : describe.skip)('Redis', () => {
  const { url, keyPrefix } = redis ?? { url: '', keyPrefix: '' };

  it('keeps two instances from working on one request while one of them lives', async () => {
    const [a, b] = await Promise.all(
      [1, 2].map(() => opened(RedisStore.open({ url, keyPrefix, leaseMs: LEASE_MS }, DAY))),
    );
    const id = requestIdOf(newScope(), 'client', 'key');
    const beginnings = await Promise.all([a!.begin(id, 'digest', AT), b!.begin(id, 'digest', AT)]);
    expect(beginnings.map(({ kind }) => kind).toSorted()).toEqual(['begun', 'under way']);
    await sleep(LEASE_MS * 2);
    expect(await b!.begin(id, 'digest', AT)).toEqual({ kind: 'under way' });
    await begun(beginnings.find(({ kind }) => kind === 'begun')!).execution.complete('done');
    expect(await b!.begin(id, 'digest', AT)).toEqual({ kind: 'completed', outcome: 'done' });
  });

  it('does not let an instance that lost its lease overwrite the work of the next one', async () => {
    const options = { url, keyPrefix, leaseMs: LEASE_MS };
    const id = requestIdOf(newScope(), 'client', 'key');
    const stalled = begun(
      await (await opened(RedisStore.open({ ...options, leaseMs: 90_000 }, DAY))).begin(id, 'digest', AT),
    );
    const client = await (await import('redis')).createClient({ url }).connect();
    await client.hSet(`${keyPrefix}{${id.client}}:request:${id.key}`, 'leasedUntil', '0');
    await client.close();
    const next = begun(await (await opened(RedisStore.open(options, DAY))).begin(id, 'digest', AT));
    await stalled.execution.giveUp('no');
    await next.execution.complete('of the next');
    await expect(stalled.execution.complete('late')).resolves.toBeUndefined();
    const third = await opened(RedisStore.open(options, DAY));
    expect(await third.begin(id, 'digest', AT)).toEqual({ kind: 'completed', outcome: 'of the next' });
  });

  it('makes a ledger wait for another instance with the same request, for a limited time', async () => {
    const [a, b] = await Promise.all(
      [1, 2].map(() => opened(RedisStore.open({ url, keyPrefix, leaseMs: LEASE_MS }, DAY))),
    );
    const scope = newScope();
    const [begun, finished] = [new EventEmitter(), new EventEmitter()];
    const isBegun = once(begun, 'now');
    const execute = async () => {
      begun.emit('now');
      await once(finished, 'now');
      return 'theirs';
    };
    const first = new IdempotencyLedger(a!, scope).outcomeOf(request({ execute }));
    await isBegun;
    const impatient = new IdempotencyLedger(b!, scope, 100).outcomeOf(request());
    await expect(impatient).rejects.toThrow(IdempotencyKeyInUseError);
    const patient = new IdempotencyLedger(b!, scope).outcomeOf(request());
    finished.emit('now');
    expect(await patient).toEqual({ outcome: 'theirs', replayed: true });
    expect(await first).toEqual({ outcome: 'theirs', replayed: false });
  });

  it('fails the boot if it is unavailable, without showing the password', async () => {
    const opening = RedisStore.open({ url: 'redis://me:s3cret@127.0.0.1:1', keyPrefix, leaseMs: LEASE_MS }, DAY);
    await expect(opening).rejects.toThrow(/Redis at 127\.0\.0\.1:1 cannot be used.*REDIS_URL/);
    await expect(opening).rejects.not.toThrow(/s3cret/);
  });
});

describe('the ledger', () => {
  it('executes concurrent equal requests once, and rejects other content under the same key', async () => {
    const ledger = new IdempotencyLedger(await opened(EmbeddedStore.open(newFolder(), DAY)), 'scope');
    let executions = 0;
    const execute = async () => ++executions;
    const settlements = await Promise.all(Array.from({ length: 5 }, () => ledger.outcomeOf(request({ execute }))));
    expect(settlements.map(({ replayed }) => replayed)).toEqual([false, true, true, true, true]);
    expect(settlements.every(({ outcome }) => outcome === 1)).toBe(true);
    const other = request({ content: { open: { a: 2 }, secret: undefined } });
    await expect(ledger.outcomeOf(other)).rejects.toThrow(IdempotencyKeyReusedError);
    const otherSecret = request({ content: { open: { a: 1 }, secret: 'x' } });
    await expect(ledger.outcomeOf(otherSecret)).rejects.toThrow(IdempotencyKeyReusedError);
  });

  it('keeps equal keys of different clients and tenants apart', async () => {
    const store = await opened(EmbeddedStore.open(newFolder(), DAY));
    await new IdempotencyLedger(store, 'one').outcomeOf(request());
    const { replayed } = await new IdempotencyLedger(store, 'two').outcomeOf(request());
    const other = await new IdempotencyLedger(store, 'one').outcomeOf(request({ clientId: 'other' }));
    expect([replayed, other.replayed]).toEqual([false, false]);
  });

  it('keeps a request in doubt after a later error that leaves no doubt', async () => {
    const ledger = new IdempotencyLedger(await opened(EmbeddedStore.open(newFolder(), DAY)), 'scope');
    const seen: (number | undefined)[] = [];
    const failing = (inDoubt: boolean) =>
      ledger.outcomeOf(
        request({
          execute: async (inDoubtSince) => {
            seen.push(inDoubtSince);
            throw new Error('failed');
          },
          isInDoubt: () => inDoubt,
        }),
      );
    for (const inDoubt of [false, true, false, false]) await expect(failing(inDoubt)).rejects.toThrow('failed');
    expect(seen.map((since) => since !== undefined)).toEqual([false, false, true, true]);
  });
});

describe('digests', () => {
  test('of two contents are equal only if the contents are', async () => {
    const id = requestIdOf('s', 'c', 'k');
    const content = fc.record({
      open: fc.jsonValue(),
      secret: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(content, content, async (a, b) => {
        const isSame = JSON.stringify(a.open) === JSON.stringify(b.open) && (a.secret ?? null) === (b.secret ?? null);
        expect((await contentDigestOf(id, a)) === (await contentDigestOf(id, b))).toBe(isSame);
      }),
      { numRuns: 12 },
    );
  });

  test('of one password differ from key to key', async () => {
    const digests = await Promise.all(
      ['a', 'b'].map((key) => contentDigestOf(requestIdOf('s', 'c', key), { open: {}, secret: 'Passw0rd' })),
    );
    expect(new Set(digests).size).toBe(2);
  });

  test('of scope, client and key never collide', () => {
    expect(requestIdOf('a', 'b', 'c')).not.toEqual(requestIdOf('ab', '', 'c'));
    expect(requestIdOf('a', 'b', 'c').key).not.toBe(requestIdOf('a', 'x', 'c').key);
  });
});
