import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import { RunningApp, SETTABLE_CLOCK, TELLS_LIVE_MEMORY } from '../../../../test/support/running-app.js';
import { type AskedUser, BatchClient, sendBatch } from '../testing/batch-client.js';
import { redisForTests } from '../testing/redis-for-tests.js';
import { callerToken, serviceEnvironment, usersByName } from '../testing/sample-tenant.js';
import type { LineAnswer } from './batch-answers.js';

// Each process that is started takes seconds on a machine that has other work too.
jest.setTimeout(180_000);

const redis = await redisForTests();
const folder = mkdtempSync(join(tmpdir(), 'batch-restart-'));
const running: RunningApp[] = [];
let tenant: RunningTenant;
let token: string;

beforeAll(async () => {
  tenant = await startTenant();
  token = await callerToken(tenant);
});
afterEach(async () => {
  tenant.switches.reset();
  await Promise.all(running.splice(0).map((service) => service.kill()));
});
afterAll(async () => {
  await tenant.close();
  await redis?.cleanUp();
  rmSync(folder, { recursive: true });
});

async function start(environment: Record<string, string>): Promise<{ service: RunningApp; url: string }> {
  const settings = { PORT: '0', ...serviceEnvironment(tenant), ...environment };
  const { app, ready } = await RunningApp.start('user-provisioning', settings);
  running.push(app);
  return { service: app, url: String(ready.url) };
}

let names = 0;
const askedUsers = (count: number): AskedUser[] =>
  Array.from({ length: count }, () => {
    const name = `restart-${++names}`;
    return { key: `key-${name}`, user: { name, mail: `${name}@example.org`, displayName: name } };
  });
const nameOf = ({ user }: AskedUser) => String(user.name);
const createCalls = () => tenant.statistics().apiCalls['/cdirectoryservice/createuser'] ?? 0;

/** Each user who was asked for is there, and every answer that tells of one names that very user. */
function expectEachMadeOnce(asked: readonly AskedUser[], answers: readonly LineAnswer[]): void {
  const users = usersByName(tenant);
  expect(asked.map((line) => users.get(nameOf(line))?.length)).toEqual(asked.map(() => 1));
  const ids = new Map(asked.map((line) => [line.key, users.get(nameOf(line))?.[0]]));
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 'created', user: { id: ids.get(answer.key ?? '') } });
  }
}

describe('a restart in the middle of a batch', () => {
  it('by repeated SIGKILL loses no user and creates none twice', async () => {
    const DATA_DIR = join(folder, 'killed');
    const asked = askedUsers(250);
    tenant.switches.change({ faults: { api: { slowMs: 10 } } });
    const answers: LineAnswer[] = [];
    let waiting = asked;
    for (const killAfter of [7, 90, Infinity]) {
      const { service, url } = await start({ DATA_DIR });
      let seen = 0;
      const result = await sendBatch(url, token, waiting, () => {
        if (++seen === killAfter) void service.kill();
      });
      expect(result.summary === undefined).toBe(killAfter !== Infinity);
      answers.push(...result.answers);
      const done = new Set(answers.map(({ key }) => key));
      waiting = asked.filter(({ key }) => !done.has(key));
      await service.kill();
    }
    expect(waiting).toEqual([]);
    expectEachMadeOnce(asked, answers);
    expect(new Set(answers.map(({ key }) => key)).size).toBe(answers.length);
  });

  it('by SIGKILL between the creation of a user and its note finds that user', async () => {
    const DATA_DIR = join(folder, 'in-doubt');
    const asked = askedUsers(3);
    const first = await start({ DATA_DIR });
    tenant.switches.change({ faults: { api: { outage: 'lose-answer' } } });
    const client = new BatchClient(first.url, token);
    void client.read().catch(() => {});
    await client.write(asked);
    const isMade = () => asked.every((line) => usersByName(tenant).has(nameOf(line)));
    while (!isMade()) await new Promise(setImmediate);
    tenant.switches.change({ faults: { api: { outage: 'hang' } } });
    await first.service.kill();
    expect(client.answers).toEqual([]);
    tenant.switches.reset();
    tenant.resetStatistics();
    const second = await start({ DATA_DIR });
    const { summary, answers } = await sendBatch(second.url, token, asked);
    expect(summary).toEqual({ lines: 3, created: 3, replayed: 0, rejected: 0, failed: 0 });
    expectEachMadeOnce(asked, answers);
    expect(createCalls()).toBe(0);
  });

  it('by SIGTERM answers the lines under way, reports where to continue, and ends', async () => {
    const DATA_DIR = join(folder, 'terminated');
    const asked = askedUsers(300);
    tenant.switches.change({ faults: { api: { slowMs: 20 } } });
    const first = await start({ DATA_DIR });
    // Meanwhile no other process may open the folder.
    await expect(start({ DATA_DIR })).rejects.toThrow(/terminated is in use by another process.*REDIS_URL/);
    let ended: Promise<unknown> | undefined;
    const stopped = await sendBatch(first.url, token, asked, ({ line }) => {
      if (line >= 40) ended ??= first.service.stop();
    });
    expect(stopped.summary?.stopped).toMatchObject({ code: 'shutting_down', retryAfterSeconds: 5 });
    const { nextLine } = stopped.summary!.stopped!;
    expect(stopped.summary).toMatchObject({ lines: nextLine - 1, created: nextLine - 1, failed: 0 });
    expect(nextLine).toBeLessThan(300);
    await ended;
    const second = await start({ DATA_DIR });
    const rest = await sendBatch(second.url, token, asked.slice(nextLine - 1));
    expect(rest.summary).toMatchObject({ created: 300 - (nextLine - 1), replayed: 0 });
    expectEachMadeOnce(asked, [...stopped.answers, ...rest.answers]);
  });
});

/** The service in a process of its own, and requests with a key. */
async function startWithKeys(environment: Record<string, string>) {
  const { service, url } = await start(environment);
  const call = async (method: string, path: string, more: { body?: unknown; key?: string } = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        ...(more.key !== undefined && { 'idempotency-key': more.key }),
      },
      ...(more.body !== undefined && { body: JSON.stringify(more.body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text && JSON.parse(text)) as Record<string, unknown>,
    };
  };
  const create = ({ key, user }: AskedUser) => call('POST', '/users', { body: user, key });
  return { service, url, call, create };
}

describe('a clock that is set back', () => {
  it('app-4: while the creation of a user is in doubt: the service finds its own user, before and after a restart', async () => {
    const environment = { DATA_DIR: join(folder, 'clock'), TENANT_TIMEOUT_MS: '300', ...SETTABLE_CLOCK };
    const [atFirst, later, restarted] = askedUsers(3) as [AskedUser, AskedUser, AskedUser];
    const first = await startWithKeys(environment);
    const leaveInDoubt = async (asked: AskedUser) => {
      tenant.switches.change({ faults: { api: { outage: 'lose-answer' } } });
      expect((await first.create(asked)).status).toBe(503);
      tenant.switches.reset();
    };
    await leaveInDoubt(atFirst);
    await first.call('GET', '/users/svc-cli');
    await leaveInDoubt(later);
    await leaveInDoubt(restarted);
    await first.service.setClock(-10_000);
    const answers = [await first.create(atFirst), await first.create(later)];
    // A batch that waits for the tenant waits no longer for it.
    tenant.switches.change({ faults: { api: { rateLimit: { retryAfter: 1 } } } });
    const begin = performance.now();
    let isSet: Promise<void> | undefined;
    const { summary } = await sendBatch(first.url, token, askedUsers(40), ({ status }) => {
      if (status !== 'failed') return;
      tenant.switches.reset();
      isSet ??= first.service.setClock(-25_000);
    });
    await isSet;
    expect(summary!.created).toBeGreaterThan(0);
    expect(performance.now() - begin).toBeLessThan(12_000);
    await first.service.kill();
    const second = await startWithKeys({ ...environment, CLOCK_DIFFERENCE_MS: '-10000' });
    answers.push(await second.create(restarted));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    for (const asked of [atFirst, later, restarted]) expect(usersByName(tenant).get(nameOf(asked))).toHaveLength(1);
  });
});

(process.platform === 'linux' ? describe : describe.skip)('a full disk', () => {
  it('app-1: leads to 503 until there is room, loses no note, and ends by itself', async () => {
    const environment = { DATA_DIR: join(folder, 'full') };
    const asked = askedUsers(40);
    const first = await startWithKeys(environment);
    const made = await Promise.all(asked.slice(0, 10).map(first.create));
    expect(made.map(({ status }) => status)).toEqual(made.map(() => 201));
    first.service.limitFiles(0);
    const refused = await Promise.all(asked.slice(10, 20).map(first.create));
    for (const { status, headers, body } of refused) {
      expect(status).toBe(503);
      expect(body).toMatchObject({
        error: 'store_unavailable',
        hint: expect.stringContaining('disk works and has room'),
      });
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    }
    // Requests without a note go on, and no user was created.
    expect((await first.call('GET', `/users/${nameOf(asked[0]!)}`)).status).toBe(200);
    expect((await first.call('GET', `/users/${nameOf(asked[10]!)}`)).status).toBe(404);
    first.service.limitFiles(undefined);
    made.push(...(await Promise.all(asked.slice(10, 30).map(first.create))));
    expect(made.map(({ status }) => status)).toEqual(made.map(() => 201));
    await first.service.kill();
    tenant.resetStatistics();
    const second = await startWithKeys(environment);
    const again = await Promise.all(asked.slice(0, 30).map(second.create));
    expect(again.map(({ body }) => body)).toEqual(made.map(({ body }) => body));
    expect(createCalls()).toBe(0);
  });
});

describe('a shutdown by SIGTERM', () => {
  const stalling: Socket[] = [];
  afterEach(() => {
    for (const socket of stalling.splice(0)) socket.destroy();
  });

  /** Sends the beginning of a request, and nothing more for ever; reads nothing either. */
  async function stall(url: string, path: string, type: string, body: string): Promise<void> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname).on('error', () => {});
    stalling.push(socket);
    const head = [
      `POST ${path} HTTP/1.1`,
      'host: a',
      `authorization: Bearer ${token}`,
      `content-type: ${type}`,
      'content-length: 1000000',
    ];
    await new Promise<void>((resolve) => socket.write(`${head.join('\r\n')}\r\n\r\n${body}`, () => resolve()));
  }

  it('ends the process although a client never sends the rest of its request, nor reads the answers of its batch', async () => {
    const { service, url } = await start({ DATA_DIR: join(folder, 'stalled'), SHUTDOWN_TIMEOUT_MS: '500' });
    await stall(url, '/users', 'application/json', '{"name":');
    await stall(url, '/users/batch', 'application/x-ndjson', `${JSON.stringify(askedUsers(1)[0])}\n{"key"`);
    const { summary } = await sendBatch(url, token, askedUsers(1));
    expect(summary?.created).toBe(1);
    expect(await service.stop()).toEqual([null, 'SIGTERM']);
  });
});

(redis ? describe : describe.skip)('two instances that share Redis', () => {
  const { url: REDIS_URL, keyPrefix: REDIS_KEY_PREFIX } = redis ?? { url: '', keyPrefix: '' };
  const environment = { REDIS_URL, REDIS_KEY_PREFIX };

  it('create each user once, and take over from each other', async () => {
    const [first, second] = await Promise.all([start(environment), start(environment)]);
    const asked = askedUsers(200);
    tenant.resetStatistics();
    const [a, b] = await Promise.all([first, second].map(({ url }) => sendBatch(url, token, asked)));
    expect(a!.summary!.created + b!.summary!.created).toBe(200);
    expect(a!.summary!.replayed + b!.summary!.replayed).toBe(200);
    expect(createCalls()).toBe(200);
    expectEachMadeOnce(asked, [...a!.answers, ...b!.answers]);

    const others = askedUsers(100);
    tenant.switches.change({ faults: { api: { slowMs: 20 } } });
    const killed = await sendBatch(first.url, token, others, ({ line }) => {
      if (line >= 20) void first.service.kill();
    });
    const answers = [...killed.answers];
    // Those that the first had in hand are its own until its leases have run out.
    await redis?.expireLeases();
    for (let waiting = others; waiting.length > 0; await sleep(100)) {
      const result = await sendBatch(second.url, token, waiting);
      expect(result.summary!.rejected).toBe(0);
      const failed = new Set(result.answers.filter(({ status }) => status === 'failed').map(({ key }) => key));
      answers.push(...result.answers.filter(({ key }) => !failed.has(key)));
      waiting = waiting.filter(({ key }) => failed.has(key));
    }
    expectEachMadeOnce(others, answers);
  });
});

describe('a batch of 120 MB', () => {
  it('needs no more memory at its end than at its start', async () => {
    const { service, url } = await start({
      DATA_DIR: join(folder, 'large'),
      BATCH_MAX_BYTES: String(1024 ** 3),
      ...TELLS_LIVE_MEMORY,
    });
    const asked = askedUsers(2000);
    // Most of it is white space: a service that kept lines would show it.
    const padding = ' '.repeat(60_000);
    const client = new BatchClient(url, token);
    const sizes: Promise<number>[] = [];
    const reading = client.read(() => client.answers.length % 200 === 0 && sizes.push(service.liveMemory()));
    for (const line of asked) await client.write(`${JSON.stringify(line)}${padding}\n`);
    client.request.end();
    const { summary, answers } = await reading;
    expect(summary).toEqual({ lines: 2000, created: 2000, replayed: 0, rejected: 0, failed: 0 });
    expectEachMadeOnce(asked, answers);
    const [atFirst, ...later] = await Promise.all(sizes);
    expect(later).toHaveLength(9);
    expect(Math.max(...later)).toBeLessThan(atFirst! + 20_000_000);
  });
});
