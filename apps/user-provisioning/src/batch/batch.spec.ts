import { getDefaultHighWaterMark } from 'node:stream';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Test } from '@nestjs/testing';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import fc from 'fast-check';
import { AppModule } from '../app.module.js';
import { readSettings } from '../settings.js';
import { type AskedUser, BatchClient, sendBatch } from '../testing/batch-client.js';
import { callerToken, serviceEnvironment, usersByName } from '../testing/sample-tenant.js';
import { newUser } from '../users/user.schema.js';
import { BATCH_LIMITS, type BatchLimits, batchLimits } from './batch-limits.js';
import { type NdjsonLine, NdjsonSplitter } from './ndjson-body.js';

// Much of this takes the time that the network and the disk take, on a machine that has other work too.
jest.setTimeout(60_000);

let tenant: RunningTenant;
let token: string;
const dataDir = mkdtempSync(join(tmpdir(), 'batch-'));
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  tenant = await startTenant();
  token = await callerToken(tenant);
});
afterEach(async () => {
  tenant.switches.reset();
  await Promise.all(closing.splice(0).map((close) => close()));
});
afterAll(async () => {
  await tenant.close();
  rmSync(dataDir, { recursive: true });
});

/** The service, over real HTTP, and what it has read of its connections. */
async function start(
  limits: Partial<BatchLimits> = {},
  environment: Record<string, string> = {},
  at: { readonly tenant: RunningTenant; readonly token: string } = { tenant, token },
) {
  const settings = readSettings({
    ...serviceEnvironment(at.tenant),
    ALLOWED_CLIENTS: 'svc-cli@acme.example,svc-reporting@acme.example',
    TENANT_TIMEOUT_MS: '2000',
    DATA_DIR: mkdtempSync(join(dataDir, 'instance-')),
    ...environment,
  });
  const module = await Test.createTestingModule({ imports: [AppModule.with(settings)] })
    .overrideProvider(BATCH_LIMITS)
    .useValue({ ...batchLimits(settings), lingerMs: 300, ...limits })
    .compile();
  const app: INestApplication = module.createNestApplication();
  app.useLogger(false);
  await app.listen(0, '127.0.0.1');
  const close = () => app.close();
  closing.push(close);
  const sockets: Socket[] = [];
  (app.getHttpServer() as Server).on('connection', (socket) => sockets.push(socket));
  const url = await app.getUrl();
  return {
    url,
    app,
    close,
    send: (lines: string | readonly AskedUser[]) => sendBatch(url, at.token, lines),
    open: (headers?: Record<string, string>) => new BatchClient(url, at.token, headers),
    isConnected: () => sockets.at(-1)?.destroyed === false,
    bytesRead: () => sockets.at(-1)?.bytesRead ?? 0,
  };
}

let names = 0;
const askedUser = (more: object = {}): AskedUser => {
  const name = `batch-${++names}`;
  return { key: `key-${name}`, user: { name, mail: `${name}@example.org`, ...more } };
};
const askedUsers = (count: number, more: object = {}) => Array.from({ length: count }, () => askedUser(more));
const nameOf = ({ user }: AskedUser) => String(user.name);
const made = (asked: readonly AskedUser[], at = tenant) => {
  const users = usersByName(at);
  return asked.map((line) => users.get(nameOf(line))?.length ?? 0);
};
const createCalls = () => tenant.statistics().apiCalls['/cdirectoryservice/createuser'] ?? 0;
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(5);
}
/** Resolves with the figure once it has not changed for a while. */
async function settled(figure: () => number, forMs = 400): Promise<number> {
  for (let before = -1; ; await sleep(forMs)) {
    const now = figure();
    if (now === before) return now;
    before = now;
  }
}

describe('a batch', () => {
  it('creates a user for each line, answers each, and ends with a summary', async () => {
    const { send } = await start();
    const asked = askedUsers(50, { displayName: 'Übung', password: 'Passw0rd!' });
    const { status, headers, answers, summary } = await send(asked);
    expect([status, headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    expect(summary).toEqual({ lines: 50, created: 50, replayed: 0, rejected: 0, failed: 0 });
    expect(made(asked)).toEqual(asked.map(() => 1));
    const users = usersByName(tenant);
    expect(answers.toSorted((a, b) => a.line - b.line)).toEqual(
      asked.map((line, i) => ({
        key: line.key,
        line: i + 1,
        status: 'created',
        user: {
          id: users.get(nameOf(line))![0],
          name: `${nameOf(line)}@acme.example`,
          mail: line.user.mail,
          displayName: 'Übung',
          state: 'None',
        },
      })),
    );
  });

  it('answers a line while the request is still being written', async () => {
    const { open } = await start();
    const client = open();
    const [first, second] = askedUsers(2);
    const result = client.read();
    await client.write([first!]);
    await until(() => client.answers.length === 1);
    await client.write([second!]);
    await until(() => client.answers.length === 2);
    expect(client.summary).toBeUndefined();
    client.request.end();
    expect((await result).summary).toMatchObject({ lines: 2, created: 2 });
  });

  it('is not blocked by one slow line: all others are answered before it', async () => {
    const { open } = await start({ concurrency: 2 }, { TENANT_TIMEOUT_MS: '5000' });
    const [slow, ...others] = askedUsers(20);
    tenant.resetStatistics();
    tenant.switches.change({ faults: { api: { outage: 'hang' } } });
    const client = open();
    const result = client.read();
    await client.write([slow!]);
    await until(() => createCalls() === 1);
    tenant.switches.reset();
    await client.write(others);
    client.request.end();
    expect((await result).summary).toMatchObject({ lines: 20, created: 20 });
    expect(client.answers.map(({ line }) => line).at(-1)).toBe(1);
  });

  it('gets the same answers when it is sent again, and creates no user', async () => {
    const { send } = await start();
    const asked = [...askedUsers(5), { key: 'taken-name', user: { name: 'svc-cli', mail: 'a@example.org' } }];
    const first = await send(asked);
    tenant.resetStatistics();
    const second = await send(asked);
    expect(second.summary).toEqual({ lines: 6, created: 0, replayed: 5, rejected: 1, failed: 0 });
    expect(createCalls()).toBe(0);
    const plain = (answers: typeof first.answers) => answers.toSorted((a, b) => a.line - b.line);
    expect(plain(second.answers)).toEqual(
      plain(first.answers).map((answer) => (answer.status === 'created' ? { ...answer, replayed: true } : answer)),
    );
  });

  it('shares its keys with POST /users', async () => {
    const { send, url } = await start();
    const [one, two] = askedUsers(2);
    const post = async (line: AskedUser) => {
      const headers = {
        authorization: `Bearer ${token}`,
        'idempotency-key': line.key,
        'content-type': 'application/json',
      };
      const response = await fetch(`${url}/users`, { method: 'POST', headers, body: JSON.stringify(line.user) });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const single = await post(one!);
    const { answers } = await send([one!, two!]);
    expect(answers.find(({ line }) => line === 1)).toMatchObject({ replayed: true, user: { id: single.body.id } });
    expect(await post(two!)).toMatchObject({ status: 201, body: { name: `${nameOf(two!)}@acme.example` } });
    expect(made([one!, two!])).toEqual([1, 1]);
    expect(await post({ ...two!, user: { ...two!.user, displayName: 'Other' } })).toMatchObject({ status: 422 });
  });

  it('creates one user for two equal lines, and rejects the second of two lines that share a key or a name', async () => {
    const { send } = await start();
    const [twice, key, name] = askedUsers(3);
    const { answers, summary } = await send([
      twice!,
      twice!,
      key!,
      { ...key!, user: { ...key!.user, displayName: 'Another' } },
      name!,
      { key: 'another-key', user: { ...name!.user } },
    ]);
    expect(summary).toEqual({ lines: 6, created: 3, replayed: 1, rejected: 2, failed: 0 });
    const codes = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.error.code] : []));
    expect(codes.toSorted()).toEqual(['duplicate', 'idempotency_key_reused']);
    expect(made([twice!, key!, name!])).toEqual([1, 1, 1]);
  });

  it('is described in the API documentation', async () => {
    const { app } = await start();
    const document = SwaggerModule.createDocument(app, new DocumentBuilder().build());
    const operation = document.paths['/users/batch']!.post!;
    expect(operation.tags).toEqual(['users']);
    expect(operation.requestBody).toMatchObject({ content: { 'application/x-ndjson': {} } });
    expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(['200', '413', '415', '429', '503']));
    expect(document.components?.schemas).toMatchObject({
      BatchRequestLine: { required: ['key', 'user'] },
      BatchAnswerLine: { properties: { status: { enum: ['created', 'rejected', 'failed'] } } },
    });
  });
});

describe('a bad line', () => {
  const good = { name: 'good', mail: 'good@example.org' };
  test.each<[string, string | Buffer, string, string | null, RegExp]>([
    ['that is no JSON', '{"key": "Passw0rd"', 'not_json', null, /not JSON/],
    ['that is not UTF-8', Buffer.from('{"key":"\xff"}', 'latin1'), 'not_utf8', null, /not UTF-8/],
    ['that is too long', `{"key":"k","user":{}}${' '.repeat(5000)}`, 'line_too_long', null, /4096 bytes/],
    ['that is null', 'null', 'invalid', null, /line/],
    ['that is a list', '[]', 'invalid', null, /line/],
    ['without a key', JSON.stringify({ user: good }), 'invalid', null, /key/],
    ['with a key that no header could carry', JSON.stringify({ key: 'a b', user: good }), 'invalid', null, /key: must/],
    ['without a user', '{"key":"k"}', 'invalid', 'k', /user/],
    ['with a wrong mail address', '{"key":"k","user":{"name":"a","mail":"Passw0rd"}}', 'invalid', 'k', /user\.mail/],
    [
      'with a field too many',
      JSON.stringify({ key: 'k', user: good, Passw0rd: 1 }),
      'invalid',
      'k',
      /^line: must only have the members key, user$/,
    ],
    [
      'with a password for the name of a field',
      JSON.stringify({ key: 'k', user: { ...good, Passw0rd: 1 } }),
      'invalid',
      'k',
      /^user: must only have the members name, mail/,
    ],
    [
      'with a forbidden field',
      JSON.stringify({ key: 'k', user: { ...good, inSysAdminRole: true } }),
      'invalid',
      'k',
      /^user: must only have the members/,
    ],
    [
      'with lost characters',
      JSON.stringify({ key: 'k', user: { ...good, displayName: 'J\ufffdrg' } }),
      'invalid',
      'k',
      /^user\.displayName: must be text without lost characters/,
    ],
  ])('%s is rejected with its number, and affects no other line', async (_name, line, code, key, message) => {
    const { open } = await start({ maxLineBytes: 4096 });
    const [before, after] = askedUsers(2);
    const client = open();
    const bytes = Buffer.concat([
      Buffer.from(`\n${JSON.stringify(before)}\r\n`),
      Buffer.from(line as string),
      Buffer.from(`\r\n \n${JSON.stringify(after)}`),
    ]);
    client.request.end(bytes);
    const { answers, summary } = await client.read();
    expect(summary).toEqual({ lines: 3, created: 2, replayed: 0, rejected: 1, failed: 0 });
    const rejected = answers.find(({ status }) => status === 'rejected');
    expect(rejected).toMatchObject({ key, line: 3, error: { code, message: expect.stringMatching(message) } });
    expect(JSON.stringify(rejected)).not.toContain('Passw0rd');
    expect(answers.map(({ line }) => line).toSorted((a, b) => a - b)).toEqual([2, 3, 5]);
    expect(made([before!, after!])).toEqual([1, 1]);
  });

  it('may be one that the tenant refuses: a weak password', async () => {
    const { send } = await start();
    const { answers } = await send([askedUser({ password: 'alllowercase' })]);
    expect(answers).toMatchObject([{ status: 'rejected', error: { code: 'weak_password' } }]);
    expect(JSON.stringify(answers)).not.toContain('alllowercase');
  });

  test('is separated from its neighbours in any chunks', () => {
    const lines = fc.array(fc.string({ unit: fc.constantFrom('a', 'ü', ' ', '\r', '💡'), maxLength: 12 }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(lines, fc.array(fc.nat(60)), (lines, cuts) => {
        const bytes = Buffer.from(lines.join('\n'));
        const splitter = new NdjsonSplitter(20);
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b), bytes.length];
        const found = places.slice(1).flatMap((end, i) => [...splitter.push(bytes.subarray(places[i], end))]);
        expect([...found, ...splitter.end()]).toEqual(
          lines.flatMap((text, i): NdjsonLine[] => {
            if (Buffer.byteLength(text) > 20) return [{ number: i + 1, fault: 'too_long' }];
            return text.trim() === '' ? [] : [{ number: i + 1, text }];
          }),
        );
      }),
    );
  });
});

describe('a batch is refused before its first line', () => {
  test.each<[string, number, string, Record<string, string>]>([
    ['without a token', 401, 'unauthorized', { authorization: '' }],
    ['as JSON', 415, 'not_ndjson', { 'content-type': 'application/json' }],
    ['with no content type', 415, 'not_ndjson', { 'content-type': '' }],
    ['compressed', 415, 'not_ndjson', { 'content-encoding': 'gzip' }],
    ['with a length beyond the limit', 413, 'batch_too_large', { 'content-length': '100001' }],
  ])('%s: %i', async (_name, status, error, headers) => {
    const { open } = await start({ maxBytes: 100_000 });
    const client = open(headers);
    // Nest reads a JSON body to its end before the guard runs.
    if (headers['content-type'] === 'application/json') client.request.end('{}');
    const result = await client.read();
    client.request.destroy();
    expect(result).toMatchObject({ status, refusal: { error } });
  });

  it('with the limit that it exceeds, and what to do', async () => {
    const { open, send, url } = await start({ maxBytes: 100_000, maxLines: 1, maxRunning: 2, maxRunningPerClient: 1 });
    const tooLarge = open({ 'content-length': '100001' });
    expect((await tooLarge.read()).refusal?.message).toMatch(/100000 bytes \(BATCH_MAX_BYTES.*Split it/);
    tooLarge.request.destroy();
    const stopped = (await send(askedUsers(2))).summary?.stopped;
    expect(stopped?.message).toMatch(/1 lines \(BATCH_MAX_LINES.*nextLine/);
    const running = open();
    await running.response();
    const oneTooMany = await sendBatch(url, token, askedUsers(1));
    expect(oneTooMany.refusal?.message).toMatch(/1 batches of one client.*BATCH_MAX_RUNNING.*when another has ended/);
    running.request.end();
    await running.read();
  });

  it('without the scope: 403', async () => {
    const { url } = await start();
    const reader = await callerToken(tenant, 'reporting');
    expect((await sendBatch(url, reader, askedUsers(1))).status).toBe(403);
  });

  it('if too many are running: 429 for a client that uses its share, 503 if all places are taken', async () => {
    const { open, url } = await start({ maxRunning: 2, maxRunningPerClient: 1 });
    const first = open();
    await first.response();
    const second = await open().read();
    expect(second).toMatchObject({
      status: 429,
      refusal: { error: 'too_many_batches' },
      headers: { 'retry-after': '5' },
    });
    const all = await start({ maxRunning: 1, maxRunningPerClient: 2 });
    const running = all.open();
    await running.response();
    expect(await all.open().read()).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    // A batch that is over makes room.
    first.request.end();
    expect((await first.read()).summary).toMatchObject({ lines: 0 });
    expect((await sendBatch(url, token, askedUsers(1))).summary).toMatchObject({ created: 1 });
    running.request.end();
    await running.read();
  });
});

describe('a batch beyond a limit', () => {
  it('of lines processes those before it, and reports where to continue', async () => {
    const { send } = await start({ maxLines: 10 });
    const asked = askedUsers(25);
    const { summary, answers } = await send(asked);
    expect(summary).toMatchObject({ lines: 10, created: 10, stopped: { code: 'too_many_lines', nextLine: 11 } });
    expect(answers).toHaveLength(10);
    expect(made(asked)).toEqual(asked.map((_, i) => (i < 10 ? 1 : 0)));
  });

  it('of bytes loses no line if the rest is sent afterwards', async () => {
    const { open, send } = await start({ maxBytes: 200_000 });
    const asked = askedUsers(300, { description: 'x'.repeat(1000) });
    const client = open();
    void client.write(asked);
    const { summary } = await client.read();
    expect(summary?.stopped).toMatchObject({ code: 'too_many_bytes' });
    const { nextLine } = summary!.stopped!;
    expect(summary).toMatchObject({ created: nextLine - 1 });
    expect(nextLine).toBeGreaterThan(100);
    const rest = asked.slice(nextLine - 1);
    const second = await send(rest);
    expect(second.summary?.created).toBe(second.summary?.stopped ? second.summary.stopped.nextLine - 1 : rest.length);
    expect(made(asked).every((count) => count <= 1)).toBe(true);
  });

  it('of idle time ends with its lines answered', async () => {
    const { open } = await start({ idleMs: 300 });
    const client = open();
    await client.write([...askedUsers(2)]);
    await client.write('{"key":');
    const { summary } = await client.read();
    expect(summary).toMatchObject({ created: 2, stopped: { code: 'idle_timeout', nextLine: 3 } });
  });

  it('of time ends with its lines answered', async () => {
    const { open } = await start({ maxDurationMs: 400, concurrency: 1 });
    tenant.switches.change({ faults: { api: { slowMs: 60 } } });
    const client = open();
    const asked = askedUsers(50);
    await client.write(asked);
    const { summary, answers } = await client.read();
    expect(summary).toMatchObject({
      created: answers.length,
      stopped: { code: 'too_long', nextLine: answers.length + 1 },
    });
    expect(made(asked).filter((count) => count === 1)).toHaveLength(answers.length);
  });

  it('has its answer read and its connection closed, even if the client keeps sending', async () => {
    const { open, isConnected } = await start({ maxLines: 1 });
    const client = open();
    void client.read();
    await client.write(askedUsers(2));
    await until(() => client.summary !== undefined);
    expect(client.summary?.stopped).toBeDefined();
    const begin = performance.now();
    for (; isConnected(); await sleep(20)) client.request.write(' \n');
    expect(performance.now() - begin).toBeGreaterThan(150);
  });
});

describe('back-pressure', () => {
  /** Lines that are refused at once, each with an answer of about its own size. */
  const refusedLines = (count: number) => {
    const key = 'k'.repeat(128);
    const fields = Object.fromEntries(Object.keys(newUser.shape).map((name) => [name, 0]));
    return `${JSON.stringify({ key, user: fields }).padEnd(750)}\n`.repeat(count);
  };

  it('of a slow tenant reaches the client: only lines being processed are read, and what fits into the buffers', async () => {
    const concurrency = 4;
    const { open, bytesRead } = await start({ concurrency });
    const asked = askedUsers(5000, { description: 'x'.repeat(1000) });
    const lineBytes = JSON.stringify(asked[0]).length;
    tenant.switches.change({ faults: { api: { slowMs: 150 } } });
    tenant.resetStatistics();
    const client = open();
    void client.read().catch(() => {});
    void client.write(asked);
    await until(() => createCalls() >= 12);
    // At most: the lines done and in hand, one piece that is being cut, and the buffers of stream and socket, each with
    // the piece that filled it. How long a buffer is differs between versions of Node.js.
    const worked = createCalls() * lineBytes;
    expect(bytesRead()).toBeLessThan(worked + 65_536 + 2 * (getDefaultHighWaterMark(false) + 65_536) + 20_000);
    expect(bytesRead()).toBeLessThan((asked.length * lineBytes) / 20);
    expect(createCalls() - client.answers.length).toBeLessThanOrEqual(2 * concurrency);
    client.request.destroy();
  });

  it('of a client that does not read its answers stops the reading of its lines, until it reads', async () => {
    const { open, bytesRead } = await start({ maxBytes: 1e9, maxLines: 15_000 });
    const lines = refusedLines(14_000);
    const client = open();
    void client.write(lines).then(() => client.request.end());
    await client.response();
    const stalled = await settled(bytesRead);
    expect(stalled).toBeLessThan(lines.length * 0.9);
    const { summary } = await client.read();
    expect(summary).toEqual({ lines: 14_000, created: 0, replayed: 0, rejected: 14_000, failed: 0 });
    expect(bytesRead()).toBeGreaterThan(lines.length);
  });

  it('has a limit: a client that reads no answers is disconnected', async () => {
    const { open, isConnected } = await start({ maxBytes: 1e9, maxLines: 15_000, idleMs: 300 });
    const client = open();
    void client.write(refusedLines(14_000));
    await client.response();
    await until(() => !isConnected());
    expect((await client.read()).summary).toBeUndefined();
  });
});

describe('a client that goes away', () => {
  it('has the lines under way finished and no others started, and may send everything again', async () => {
    const { open, send } = await start({ concurrency: 4 });
    const asked = askedUsers(200);
    tenant.switches.change({ faults: { api: { slowMs: 30 } } });
    tenant.resetStatistics();
    const client = open();
    void client.read(() => client.answers.length >= 10 && client.request.destroy()).catch(() => {});
    void client.write(asked);
    await until(() => client.request.destroyed);
    const atDisconnect = createCalls();
    const calls = await settled(createCalls, 150);
    expect(calls).toBeLessThanOrEqual(atDisconnect + 2 * 4);
    expect(calls).toBeLessThan(100);
    tenant.switches.reset();
    expect(made(asked).filter((count) => count === 1)).toHaveLength(calls);
    const { summary } = await send(asked);
    expect(summary).toEqual({ lines: 200, created: 200 - calls, replayed: calls, rejected: 0, failed: 0 });
    expect(createCalls()).toBe(200);
  });

  it('frees its place among the running batches', async () => {
    const { open } = await start({ maxRunningPerClient: 1 });
    const client = open();
    await client.response();
    client.request.destroy();
    let status = 429;
    for (; status === 429; await sleep(10)) {
      const next = open();
      next.request.end();
      ({ status } = await next.read());
    }
    expect(status).toBe(200);
  });
});

describe('an outage of the tenant', () => {
  async function survives(outage: 'refuse' | '500' | 'lose-answer'): Promise<void> {
    const own = await startTenant();
    closing.push(() => own.close());
    const at = { tenant: own, token: await callerToken(own) };
    const { open, send } = await start({ concurrency: 4 }, { TENANT_TIMEOUT_MS: '400' }, at);
    const asked = askedUsers(40);
    await send(askedUsers(1));
    own.switches.change({ faults: { api: { outage } } });
    own.resetStatistics();
    const client = open();
    const reading = client.read();
    void client.write(asked).then(() => client.request.end());
    await until(() => client.answers.length >= 4);
    await settled(() => client.answers.length);
    expect(client.answers.every(({ status }) => status === 'failed')).toBe(true);
    expect(client.answers[0]).toMatchObject({ error: { code: 'tenant_unreachable' }, retryAfterSeconds: 5 });
    // Those that were begun before the first of them failed, and no others.
    expect(client.answers.length).toBeLessThanOrEqual(8);
    const failed = client.answers.length;
    own.switches.reset();
    expect((await reading).summary).toEqual({ lines: 40, created: 40 - failed, replayed: 0, rejected: 0, failed });
    const again = await send(asked);
    expect(again.summary).toEqual({ lines: 40, created: failed, replayed: 40 - failed, rejected: 0, failed: 0 });
    expect(made(asked, own)).toEqual(asked.map(() => 1));
  }

  it('refuse, 500, lose-answer: lines fail with a time to retry, the batch waits for it, and no user is created twice', async () => {
    // Side by side, because each waits for five seconds.
    await Promise.all((['refuse', '500', 'lose-answer'] as const).map(survives));
  });

  it('by a rate limit: waits as long as the tenant demands, or stops if that is too long', async () => {
    const { send } = await start({ concurrency: 2, maxPauseMs: 2000 });
    tenant.switches.change({ faults: { api: { rateLimit: { retryAfter: 1 } } } });
    const asked = askedUsers(6);
    const begin = performance.now();
    const { answers } = await send(asked);
    expect(answers.every((answer) => answer.status === 'failed' && answer.retryAfterSeconds === 1)).toBe(true);
    expect(performance.now() - begin).toBeGreaterThan(1900);
    tenant.switches.change({ faults: { api: { rateLimit: { retryAfter: 60 } } } });
    const { summary } = await send(asked);
    expect(summary).toMatchObject({
      created: 0,
      stopped: { code: 'tenant_unreachable', retryAfterSeconds: 60, nextLine: summary!.lines + 1 },
    });
    expect(summary!.lines).toBeLessThanOrEqual(4);
  });

  it('only for this service, whose settings an operator has to correct, stops the batch', async () => {
    const { send } = await start(
      { concurrency: 2 },
      {
        TENANT_CLIENT_ID: 'svc-directory-reader@acme.example',
        TENANT_CLIENT_SECRET: 'dev-only-directory-reader',
        TENANT_SCOPE: 'read-only',
      },
    );
    const { summary, answers } = await send(askedUsers(20));
    expect(summary).toMatchObject({
      created: 0,
      rejected: 0,
      stopped: { code: 'not_authorised', retryAfterSeconds: 60 },
    });
    expect(answers.length).toBeLessThanOrEqual(4);
  });
});
