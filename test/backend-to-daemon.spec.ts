import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import { connect as connectAmqp } from 'amqplib';
import { BackendModule } from '../apps/hr-backend/src/backend.module.js';
import { Outbox } from '../apps/hr-backend/src/outbox.js';
import { readSettings as readBackendSettings } from '../apps/hr-backend/src/settings.js';
import { DaemonModule } from '../apps/provisioning-daemon/src/daemon.module.js';
import { readSettings } from '../apps/provisioning-daemon/src/settings.js';
import { microserviceOptions, prepareDeadLetters } from '../apps/provisioning-daemon/src/transport.js';
import { CertificateAuthority } from './support/certificates.js';
import { freePort } from './support/guarded-messages.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import { RunningApp, SETTABLE_CLOCK } from './support/running-app.js';
import { describeWithServer } from './support/servers.js';

const SECRETS: Readonly<Record<string, string>> = { hr: 'dev-only-hr', intruder: 'dev-only-intruder' };
const run = `${process.pid}-${Date.now()}`;

let tenant: RunningTenant;
let timeShiftMs = 0;
let servicePort: number;
let dataFolder: string;
let service: RunningApp;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  tenant = await startTenant({ now: () => Date.now() + timeShiftMs });
  servicePort = await freePort();
  dataFolder = await mkdtemp(join(tmpdir(), 'service-'));
  service = await startService();
}, 60_000);
afterEach(async () => {
  timeShiftMs = 0;
  tenant.switches.reset();
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(async () => {
  await service.kill();
  await tenant.close();
  await rm(dataFolder, { recursive: true });
});

async function startService(): Promise<RunningApp> {
  const { app } = await RunningApp.start('user-provisioning', {
    PORT: String(servicePort),
    TENANT_URL: tenant.url,
    TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
    TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
    TENANT_TIMEOUT_MS: '2000',
    ALLOWED_CLIENTS: 'svc-daemon@acme.example',
    DATA_DIR: dataFolder,
  });
  return app;
}

function daemonEnvironment(listenUrl: string, channel: string): Record<string, string> {
  return {
    LISTEN_URL: listenUrl,
    CHANNEL: channel,
    TENANT_URL: tenant.url,
    ALLOWED_CLIENTS: 'svc-hr@acme.example',
    CLIENT_ID: 'svc-daemon@acme.example',
    CLIENT_SECRET: 'dev-only-daemon',
    SERVICE_URL: `http://127.0.0.1:${servicePort}`,
    SERVICE_TIMEOUT_MS: '6000',
  };
}

/** What apps in this process log: they share one logger. */
const linesHere: string[] = [];
const line = (message: unknown, context: string) => void linesHere.push(`[${context}] ${String(message)}\n`);
const loggerHere = { log: line, warn: line, error: line };

/** An app in this process, for tests that neither kill nor freeze it: one of its own takes a second to start. */
class AppHere {
  readonly #from = linesHere.length;

  constructor(readonly kill: () => Promise<void>) {}

  get output(): string {
    return linesHere.slice(this.#from).join('');
  }
}

async function startDaemonHere(environment: Record<string, string>): Promise<AppHere> {
  const settings = readSettings(environment);
  const daemon = await NestFactory.createMicroservice<MicroserviceOptions>(DaemonModule.with(settings), {
    ...microserviceOptions(settings),
    logger: loggerHere,
    abortOnError: false,
  });
  const app = new AppHere(() => daemon.close());
  await daemon.listen();
  return app;
}

/** A daemon in this process until the end of the test. */
async function daemonAt(listenUrl: string, channel: string, more: Record<string, string> = {}): Promise<AppHere> {
  const app = await startDaemonHere({ ...daemonEnvironment(listenUrl, channel), ...more });
  closing.push(app.kill);
  return app;
}

interface BackendOptions {
  readonly isHere?: boolean;
  /** Whether it and its outbox last beyond the test. */
  readonly stays?: boolean;
}

/** A backend with an outbox of its own, and what can be done from outside. */
class Backend {
  private constructor(
    readonly folder: string,
    private readonly environment: Record<string, string>,
    private readonly isHere: boolean,
  ) {}

  app: RunningApp | AppHere | undefined;

  static async start(
    daemonUrl: string,
    channel: string,
    more: Record<string, string> = {},
    { isHere = false, stays = false }: BackendOptions = {},
  ): Promise<Backend> {
    const folder = await mkdtemp(join(tmpdir(), 'outbox-'));
    const environment = {
      OUTBOX_FOLDER: folder,
      POLL_MS: '20',
      TENANT_URL: tenant.url,
      CLIENT_ID: 'svc-hr@acme.example',
      CLIENT_SECRET: 'dev-only-hr',
      DAEMON_URL: daemonUrl,
      CHANNEL: channel,
      ANSWER_TIMEOUT_MS: '7000',
      RETRY_FIRST_MS: '50',
      RETRY_LONGEST_MS: '400',
      ...more,
    };
    const backend = new Backend(folder, environment, isHere);
    if (!stays) closing.push(() => backend.remove());
    await backend.run();
    return backend;
  }

  async run(heedsPermissions = false): Promise<void> {
    if (this.isHere) {
      const module = BackendModule.with(readBackendSettings(this.environment));
      const context = await NestFactory.createApplicationContext(module, { logger: loggerHere, abortOnError: false });
      this.app = new AppHere(() => context.close());
    } else this.app = (await RunningApp.start('hr-backend', this.environment, heedsPermissions)).app;
  }

  async kill(): Promise<void> {
    await this.app?.kill();
    this.app = undefined;
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true });
  }

  /** As the HR system does it: written under another name first. */
  async put(name: string, event: unknown): Promise<void> {
    const path = join(this.folder, name);
    await writeFile(`${path}.tmp`, typeof event === 'string' ? event : JSON.stringify(event));
    await rename(`${path}.tmp`, `${path}.json`);
  }

  async waiting(): Promise<string[]> {
    return (await readdir(this.folder)).filter((file) => file.endsWith('.json'));
  }

  async refusals(): Promise<string[]> {
    const folder = join(this.folder, 'refused');
    const reasons = (await readdir(folder)).filter((file) => file.endsWith('.reason.txt')).toSorted();
    return Promise.all(reasons.map(async (file) => (await readFile(join(folder, file), 'utf8')).trim()));
  }

  async emptied(others = () => ''): Promise<void> {
    await until(
      async () => (await this.waiting()).length === 0,
      () => `${this.app?.output}\n${others()}`,
    );
  }
}

async function until(holds: () => boolean | Promise<boolean>, explain: () => string, ms = 25_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`it did not come about:\n${explain()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

let people = 0;
const person = () => {
  const name = `person-${++people}`;
  return { name, mail: `${name}@example.org`, displayName: `Person ${people}` };
};
const usersNamed = (name: string) => [...tenant.users.all()].filter((user) => user.name === `${name}@acme.example`);
/** How often users were really made: also one that was deleted in between counts. */
const created = () => tenant.statistics().apiOutcomes['/cdirectoryservice/createuser']?.success ?? 0;

/** A way to the service on which a request can be held up. */
async function gateToService() {
  let hold: ((release: () => Promise<number>) => void) | undefined;
  const gate = await TestServer.start(async ({ method, url, headers, body }, response) => {
    const { host: _host, connection: _connection, ...rest } = headers;
    const forward = () =>
      fetch(`http://127.0.0.1:${servicePort}${url}`, { method, headers: rest, ...(body !== '' && { body }) });
    const answered = new Promise<Response>((resolve, reject) => {
      if (!hold) return void forward().then(resolve, reject);
      hold(async () => {
        const answer = await forward();
        resolve(answer);
        return answer.status;
      });
      hold = undefined;
    });
    const answer = await answered;
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  });
  closing.push(() => gate.close());
  return {
    url: gate.url,
    /** Resolves when the next request is there, with what sends it on and tells the status of its answer. */
    holdNext: () => new Promise<() => Promise<number>>((resolve) => (hold = resolve)),
  };
}

const transports = [
  { name: 'TCP', server: undefined, url: async () => `tcp://127.0.0.1:${await freePort()}` },
  { name: 'NATS', server: ['NATS', 4222], url: async () => 'nats://127.0.0.1:4222' },
  { name: 'RabbitMQ', server: ['RabbitMQ', 5672], url: async () => 'amqp://127.0.0.1:5672' },
] as const;

for (const [index, { name, server, url }] of transports.entries()) {
  const tests = () => {
    const channel = `test-${run}-${index}`;
    let address: string;
    let daemon: RunningApp;
    let backend: Backend;

    beforeAll(async () => {
      address = await url();
      [{ app: daemon }, backend] = await Promise.all([
        RunningApp.start('provisioning-daemon', daemonEnvironment(address, channel)),
        Backend.start(address, channel, { ANSWER_TIMEOUT_MS: '2500' }, { stays: true }),
      ]);
    }, 60_000);
    afterAll(async () => {
      await Promise.all([daemon.kill(), backend.remove()]);
      await deleteQueues(name, channel);
    });

    it('joiners and leavers are created and deleted as users, in order', async () => {
      const [ann, bob] = [person(), person()];
      await backend.put('1', { type: 'joiner', id: `${name}-a1`, user: ann });
      await backend.put('2', { type: 'joiner', id: `${name}-b1`, user: bob });
      await backend.put('3', { type: 'leaver', id: `${name}-a2`, user: { name: ann.name } });
      await backend.emptied();
      expect([usersNamed(ann.name).length, usersNamed(bob.name).length]).toEqual([0, 1]);
      expect(await backend.refusals()).toEqual([]);
      // One line for each step on both sides, with names of tokens and never a token.
      const [, tokenOfBackend] =
        /joiner \w+-b1: done, user created token=([0-9a-f]{12})/.exec(`${backend.app?.output}`) ?? [];
      expect(daemon.output).toMatch(
        new RegExp(`joiner \\w+-b1 \\(\\S+\\): done, user created client=svc-hr@acme.example token=${tokenOfBackend}`),
      );
      expect(service.output).toMatch(/201 POST \/users client=svc-daemon@acme\.example token=[0-9a-f]{12}/);
      expect(daemon.output + backend.app?.output + service.output).not.toMatch(/eyJ|dev-only/);
    }, 60_000);

    it('an event that can never succeed is put aside with its reason, and delays no other', async () => {
      const [ann, other] = [person(), person()];
      await backend.put('1', { type: 'joiner', id: `${name}-w1`, user: { ...ann, mail: 'none' } });
      await backend.put('2', { type: 'joiner', id: `${name}-w2`, user: { ...ann, inSysAdminRole: true } });
      await backend.put('3', { type: 'joiner', id: `${name}-w3`, user: ann });
      await backend.put('4', { type: 'joiner', id: `${name}-w4`, user: { ...other, name: ann.name } });
      await backend.put('5', { type: 'joiner', id: `${name}-w5`, user: { ...other, name: `${other.name}\nforged` } });
      await backend.put('6', { type: 'leaver', id: `${name}-w6`, user: { name: person().name } });
      await backend.emptied();
      expect(await backend.refusals()).toEqual([
        expect.stringMatching(/mail/i),
        expect.stringMatching(/inSysAdminRole/),
        'the name is taken by another user',
        expect.stringMatching(/user\.name: must be .* printed/),
      ]);
      expect(usersNamed(ann.name)).toMatchObject([{ mail: ann.mail }]);
      if (name === 'RabbitMQ') expect(await deadLetters(channel)).toBe(4);
    }, 60_000);

    it('nothing is lost or done twice while daemon, backend and service are killed', async () => {
      tenant.switches.change({ faults: { api: { slowMs: 60 } } });
      const joiners = Array.from({ length: 30 }, person);
      const refused = await backend.refusals();
      const before = created();
      for (const [i, user] of joiners.entries()) {
        await backend.put(String(100 + i), { type: 'joiner', id: `${name}-k${i}`, user });
      }
      const doneIsAtLeast = (count: number) => () => created() - before >= count;
      await until(doneIsAtLeast(5), () => daemon.output);
      await daemon.kill();
      ({ app: daemon } = await RunningApp.start('provisioning-daemon', daemonEnvironment(address, channel)));
      await until(doneIsAtLeast(12), () => daemon.output);
      // It is the same for every transport.
      if (name === 'TCP') {
        await service.kill();
        service = await startService();
      }
      await until(doneIsAtLeast(20), () => daemon.output);
      await backend.kill();
      await backend.run();
      await backend.emptied();
      expect(joiners.map(({ name }) => usersNamed(name).length)).toEqual(joiners.map(() => 1));
      expect(created() - before).toBe(joiners.length);
      expect(await backend.refusals()).toEqual(refused);
    }, 90_000);

    // By TCP a frozen daemon has the only connection, so no other daemon takes its events over.
    if (name === 'TCP') return;
    it('app-3: a leaver in a frozen daemon deletes no user who joined meanwhile', async () => {
      const frozenChannel = `${channel}-frozen`;
      closing.push(() => deleteQueues(name, frozenChannel));
      // The broker gives up who is silent for twice as many seconds.
      const address = `${await url()}${name === 'RabbitMQ' ? '?heartbeat=1' : ''}`;
      const gate = await gateToService();
      const environment = { ...daemonEnvironment(address, frozenChannel), SERVICE_URL: gate.url };
      const { app: frozen } = await RunningApp.start('provisioning-daemon', environment);
      closing.push(() => frozen.kill());
      // A broker that gives the message to another daemon does not need the backend to send it again.
      const ANSWER_TIMEOUT_MS = name === 'RabbitMQ' ? '60000' : '1500';
      const backend = await Backend.start(address, frozenChannel, { ANSWER_TIMEOUT_MS }, { isHere: true });
      const [leaving, joining] = [person(), person()];
      await backend.put('1', { type: 'joiner', id: `${name}-f1`, user: leaving });
      await backend.emptied();
      // The daemon freezes between receiving the leaver and calling the service.
      const held = gate.holdNext();
      await backend.put('2', { type: 'leaver', id: `${name}-f2`, user: { name: leaving.name } });
      const release = await held;
      frozen.freeze();
      const other = await daemonAt(address, frozenChannel);
      await backend.emptied();
      await backend.put('3', { type: 'joiner', id: `${name}-f3`, user: { ...joining, name: leaving.name } });
      await backend.emptied();
      expect(other.output).toMatch(/leaver \S+-f2 \S+: done[^]*joiner \S+-f3 \S+: done, user created/);
      expect(await release()).toBe(412);
      frozen.thaw();
      const overtaken = 'The user was created after Request-Time';
      // The service knows the tenant's time to about a second, so that one that has just expired may not count as that
      // yet.
      const reason = name === 'RabbitMQ' ? overtaken : `(?:${overtaken}|after its Request-Expires)`;
      await until(
        () => new RegExp(`leaver \\S+-f2 \\S+: too late, .*${reason}`).test(frozen.output),
        () => frozen.output,
      );
      expect(usersNamed(leaving.name)).toMatchObject([{ mail: joining.mail }]);
      // It goes on with the others.
      await other.kill();
      await backend.put('4', { type: 'leaver', id: `${name}-f4`, user: { name: leaving.name } });
      await backend.emptied(() => frozen.output);
      expect(usersNamed(leaving.name)).toEqual([]);
    }, 60_000);
  };
  if (server) await describeWithServer(`by ${name}:`, server, tests);
  // oxlint-disable-next-line jest/valid-describe-callback -- made above, as each transport needs it
  else describe(`by ${name}:`, tests);
}

describe('an outage of the tenant', () => {
  it.each(['500', 'lose-answer'] as const)(
    '(%s) delays events, and neither loses nor doubles any',
    async (outage) => {
      const address = `tcp://127.0.0.1:${await freePort()}`;
      const daemon = await daemonAt(address, 'outage');
      const backend = await Backend.start(address, 'outage', {}, { isHere: true });
      const warmUp = person();
      await backend.put('0', { type: 'joiner', id: `${outage}-0`, user: warmUp });
      await backend.emptied();
      tenant.switches.change({ faults: { api: { outage }, token: { outage: '500' } } });
      const people = Array.from({ length: 5 }, person);
      for (const [i, user] of people.entries()) {
        await backend.put(String(i), { type: 'joiner', id: `${outage}-${i + 1}`, user });
      }
      await until(
        () => /not delivered, UNAVAILABLE/.test(backend.app?.output ?? ''),
        () => daemon.output,
      );
      tenant.switches.reset();
      // It would wait for as long as the service has asked it to.
      await backend.kill();
      await backend.run();
      await backend.emptied();
      expect(people.map(({ name }) => usersNamed(name).length)).toEqual(people.map(() => 1));
      expect(await backend.refusals()).toEqual([]);
    },
    60_000,
  );
});

async function tokenOf(client: string, application: string, scope?: string): Promise<string> {
  const response = await fetch(`${tenant.url}/oauth2/token/${application}`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`svc-${client}@acme.example:${SECRETS[client]}`).toString('base64')}`,
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** A daemon in this process, and messages for it as Nest's TCP transport frames them, from no library at all. */
async function daemonHere(environment: Record<string, string> = {}) {
  const port = await freePort();
  const daemon = await startDaemonHere({ ...daemonEnvironment(`tcp://127.0.0.1:${port}`, 'here'), ...environment });
  const send = async (type: string, authorization: string | undefined, data: unknown) => {
    const socket = connect(port, '127.0.0.1');
    const metadata = authorization === undefined ? undefined : { authorization };
    const packet = JSON.stringify({ pattern: `here.${type}`, data, id: '1', metadata });
    socket.write(`${packet.length}#${packet}`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return JSON.parse(answer.toString('utf8').replace(/^\d+#/, '')) as Record<string, unknown>;
  };
  return { send, close: daemon.kill };
}

describe('the daemon refuses', () => {
  let daemon: Awaited<ReturnType<typeof daemonHere>>;
  let send: typeof daemon.send;

  beforeAll(async () => {
    daemon = await daemonHere();
    ({ send } = daemon);
  });
  afterAll(() => daemon.close());

  const cases: [string, string, () => Promise<string | undefined>, string][] = [
    ['a missing token', 'joiner', async () => undefined, 'UNAUTHENTICATED'],
    ['a forged token', 'joiner', async () => forged(await tokenOf('hr', 'provisioning-daemon')), 'UNAUTHENTICATED'],
    ['an expired token', 'joiner', expiredToken, 'UNAUTHENTICATED'],
    ['a token for another API', 'joiner', () => tokenOf('intruder', 'internal-api'), 'UNAUTHENTICATED'],
    ['a client that is not named', 'joiner', () => tokenOf('intruder', 'provisioning-daemon'), 'PERMISSION_DENIED'],
    ['too little scope', 'leaver', () => tokenOf('hr', 'provisioning-daemon', 'joiners.write'), 'PERMISSION_DENIED'],
    ['no token but some text', 'joiner', async () => 'none', 'UNAUTHENTICATED'],
  ];

  it.each(cases)('%s, and the service gets no request', async (_name, type, token, code) => {
    const user = person();
    const text = await token();
    const before = created();
    const answer = await send(type, text && `Bearer ${text}`, { id: 'x', user });
    expect(answer).toMatchObject({ err: { code } });
    expect(JSON.stringify(answer)).not.toContain(text ?? 'nothing');
    expect([created() - before, usersNamed(user.name)]).toEqual([0, []]);
  });

  it('nothing from a valid sender, so the refusals above have their own reasons', async () => {
    const user = person();
    const scope = 'joiners.write';
    const bearer = `Bearer ${await tokenOf('hr', 'provisioning-daemon', scope)}`;
    expect(await send('joiner', bearer, { id: 'x', user })).toMatchObject({ response: { outcome: 'done' } });
    expect(usersNamed(user.name)).toHaveLength(1);
  });

  it.each(['.', '..'])('a leaver named %s, which would be another URL of the service', async (name) => {
    const bearer = `Bearer ${await tokenOf('hr', 'provisioning-daemon')}`;
    const answer = await send('leaver', bearer, { id: 'x', user: { name } });
    expect(answer).toMatchObject({ response: { outcome: 'refused', detail: expect.stringContaining('".."') } });
  });

  it('to create a user twice for copies of an event, at the same time or later', async () => {
    const user = person();
    const bearer = `Bearer ${await tokenOf('hr', 'provisioning-daemon')}`;
    const before = created();
    const answers = await Promise.all(Array.from({ length: 5 }, () => send('joiner', bearer, { id: 'same', user })));
    for (const answer of answers) expect(answer).toMatchObject({ response: { outcome: 'done' } });
    expect(created() - before).toBe(1);
    const reused = await send('joiner', bearer, { id: 'same', user: person() });
    expect(reused).toMatchObject({ response: { outcome: 'refused', detail: 'another event has this id' } });
    const unknown = await send('joiner', bearer, { id: 'unknown', user, more: 1 });
    expect(unknown).toMatchObject({
      response: { outcome: 'refused', detail: expect.stringMatching(/^event: .*more/) },
    });
  });

  async function expiredToken(): Promise<string> {
    timeShiftMs = -3600_000;
    tenant.switches.change({ tokenLifetimeSeconds: 60 });
    const token = await tokenOf('hr', 'provisioning-daemon');
    timeShiftMs = 0;
    return token;
  }

  function forged(token: string): string {
    const [header, payload, signature = ''] = token.split('.');
    const other = signature.startsWith('A') ? 'B' : 'A';
    return [header, payload, other + signature.slice(1)].join('.');
  }
});

describe('the daemon calls the service', () => {
  async function withService(answer: Answer) {
    const here = await TestServer.start(answer);
    const daemon = await daemonHere({ SERVICE_URL: here.url, SERVICE_TIMEOUT_MS: '400' });
    closing.push(
      () => here.close(),
      () => daemon.close(),
    );
    const bearer = `Bearer ${await tokenOf('hr', 'provisioning-daemon')}`;
    const send = (type: string, id: string, user: object) => daemon.send(type, bearer, { id, user });
    return { send, requests: here.requests };
  }

  it('with the same key for each copy of an event, and another key for another event', async () => {
    const { send, requests } = await withService(json(201, {}));
    const [ann, bob] = [person(), person()];
    await send('joiner', '1', ann);
    await send('joiner', '1', ann);
    await send('joiner', '2', bob);
    const keys = requests.map(({ headers }) => headers['idempotency-key']);
    expect(keys).toEqual([expect.stringMatching(/^[\w-]{43}$/), keys[0], expect.stringMatching(/^[\w-]{43}$/)]);
    expect(keys[2]).not.toBe(keys[0]);
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(
      Array.from({ length: 3 }, () => expect.stringMatching(/^Bearer eyJ/)),
    );
  });

  it('once for an event that arrives again while it is being handled', async () => {
    const { send, requests } = await withService(async (_request, response) => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      response.writeHead(204).end();
    });
    const user = { name: person().name };
    const answers = await Promise.all([send('leaver', '1', user), send('leaver', '1', user)]);
    for (const answer of answers) expect(answer).toMatchObject({ response: { outcome: 'done' } });
    expect(requests).toHaveLength(1);
  });

  it('and gives up on a leaver that the service never deletes: a service user', async () => {
    const message = 'svc-hr is a service user.';
    const { send } = await withService(json(422, { statusCode: 422, error: 'service_user', message }));
    const sent = await send('leaver', '1', { name: 'svc-hr' });
    expect(sent).toMatchObject({ response: { outcome: 'refused', detail: message } });
  });

  it.each<[string, string, number | undefined]>([
    ['as a date', new Date(Date.now() + 1e9).toUTCString(), 3600],
    ['absurdly big', '99999999999', 3600],
    ['negative', '-30', undefined],
  ])('and passes on its Retry-After within limits: %s', async (_name, retryAfter, expected) => {
    const { send } = await withService(json(503, {}, { 'retry-after': retryAfter }));
    const { err } = await send('leaver', '1', { name: person().name });
    expect((err as Record<string, unknown>).retryAfterSeconds).toBe(expected);
  });

  it.each<[string, string, Answer]>([
    ['is refused', 'joiner', json(401, {})],
    ['has too few rights', 'joiner', json(403, {})],
    ['is asked to try again', 'joiner', json(503, {}, { 'retry-after': '7' })],
    ['comes too often', 'leaver', json(429, {}, { 'retry-after': '7' })],
    ['finds another server at the address', 'leaver', json(404, { error: 'Not Found' })],
    ['is led elsewhere', 'leaver', json(302, {}, { location: '/' })],
    ['gets a conflict of another kind', 'joiner', json(409, { error: 'Conflict' })],
    ['gets no answer', 'leaver', () => {}],
    ['is cut off', 'joiner', (_request, response) => response.destroy()],
  ])('and settles nothing if it %s', async (_name, type, answer) => {
    const { send } = await withService(answer);
    const { name, mail } = person();
    const user = type === 'joiner' ? { name, mail } : { name };
    const sent = await send(type, '1', user);
    expect(sent).toMatchObject({ err: { code: 'UNAVAILABLE', error: 'temporarily_unavailable' } });
    expect(JSON.stringify(sent).includes('"retryAfterSeconds":7')).toBe(/again|often/.test(_name));
  });
});

describe('with TLS', () => {
  it('the backend verifies the daemon and delivers its events', async () => {
    const authority = await CertificateAuthority.create('Test authority');
    const { cert, key } = await authority.issueForLoopback();
    const files = await mkdtemp(join(tmpdir(), 'tls-'));
    closing.push(() => rm(files, { recursive: true }));
    const [TLS_CERT_FILE, TLS_KEY_FILE, trusted] = ['cert', 'key', 'ca'].map((name) => join(files, `${name}.pem`));
    await Promise.all([
      writeFile(TLS_CERT_FILE!, cert),
      writeFile(TLS_KEY_FILE!, key),
      writeFile(trusted!, authority.pem),
    ]);
    const address = `tcps://127.0.0.1:${await freePort()}`;
    await daemonAt(address, 'tls', { TLS_CERT_FILE: TLS_CERT_FILE!, TLS_KEY_FILE: TLS_KEY_FILE! });
    const user = person();

    const stranger = await Backend.start(address, 'tls', {}, { isHere: true });
    await stranger.put('1', { type: 'joiner', id: 'tls1', user });
    await until(
      () => /unable to verify the first certificate[^]*not delivered/.test(stranger.app?.output ?? ''),
      () => `${stranger.app?.output}`,
    );
    expect([await stranger.waiting(), usersNamed(user.name)]).toEqual([['1.json'], []]);

    const backend = await Backend.start(address, 'tls', { NODE_EXTRA_CA_CERTS: trusted! });
    await backend.put('1', { type: 'joiner', id: 'tls1', user });
    await backend.emptied();
    expect(usersNamed(user.name)).toHaveLength(1);
  }, 60_000);

  it('every connection to another machine is protected, or the backend does not start', async () => {
    const starting = Backend.start('tcp://192.0.2.1:3100', 'far', {}, { isHere: true });
    await expect(starting).rejects.toThrow(/without TLS to tcp:\/\/192\.0\.2\.1:3100/);
  });
});

/** A server that takes connections and never says a word. Its first ones, at least: it hands further ones on. */
async function silentServer(silent = Infinity, further = 0): Promise<{ port: number; connections: () => number }> {
  let count = 0;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => sockets.add(socket.on('error', () => {}));
  const server = createServer((socket) => {
    keep(socket).add(socket.resume());
    if (++count <= silent) return;
    const other = connect(further, '127.0.0.1');
    keep(other);
    socket.pipe(other).pipe(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connections: () => count };
}

describe('a daemon that accepts a connection and never responds', () => {
  it('times out with a reason, and the backend connects again', async () => {
    const { port, connections } = await silentServer();
    const backend = await Backend.start(
      `tcp://127.0.0.1:${port}`,
      'silent',
      { ANSWER_TIMEOUT_MS: '300' },
      { isHere: true },
    );
    await backend.put('1', { type: 'joiner', id: 's1', user: person() });
    await until(
      () => connections() >= 3,
      () => `${backend.app?.output}`,
    );
    expect(backend.app?.output).toMatch(
      /joiner s1: not delivered, NO_ANSWER: no answer within 300 ms; retry in \d+ ms/,
    );
    expect(await backend.waiting()).toEqual(['1.json']);
  }, 60_000);
});

describe('an outbox whose files cannot be removed', () => {
  it('has each event sent once, and the attempts to remove them back off', async () => {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    const daemon = await daemonAt(address, 'stuck');
    const backend = await Backend.start(address, 'stuck', { RETRY_LONGEST_MS: '60000' });
    await backend.kill();
    const user = person();
    await backend.put('1', { type: 'joiner', id: 'stuck1', user });
    await chmod(backend.folder, 0o555);
    await backend.run(true);
    const waits = () => Array.from(`${backend.app?.output}`.matchAll(/retry in (\d+) ms/g), ([, ms]) => Number(ms));
    await until(
      () => waits().length >= 4,
      () => `${backend.app?.output}`,
    );
    expect(waits()[3]).toBeGreaterThan(waits()[0]!);
    expect(`${backend.app?.output}`).toMatch(/the outbox: not delivered, EACCES/);
    await chmod(backend.folder, 0o777);
    await backend.emptied();
    expect(daemon.output.match(/joiner stuck1 .*: done/g)).toHaveLength(1);
    expect(usersNamed(user.name)).toHaveLength(1);
  }, 60_000);
});

describe('the outbox', () => {
  const outboxHere = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'outbox-'));
    closing.push(() => rm(folder, { recursive: true }));
    const outbox = new Outbox(folder, 20);
    await outbox.open();
    return { folder, outbox };
  };
  const joiner = (id: string) => JSON.stringify({ type: 'joiner', id, user: person() });

  it('app-5: is not blocked by files that are not events', async () => {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    await daemonAt(address, 'odd');
    const backend = await Backend.start(address, 'odd', {}, { isHere: true });
    const { folder } = backend;
    await mkdir(join(folder, 'x.json'));
    await symlink(join(folder, 'nowhere'), join(folder, 'b-dangling.json'));
    await symlink(join(folder, 'c-loop.json'), join(folder, 'c-loop.json'));
    execFileSync('mkfifo', [join(folder, 'd-pipe.json')]);
    await writeFile(Buffer.from(`${folder}/f-\xfc.json`, 'latin1'), joiner('odd0'));
    const user = person();
    await backend.put('y', { type: 'joiner', id: 'odd1', user });
    await until(
      () => usersNamed(user.name).length === 1,
      () => `${backend.app?.output}`,
    );
    await until(
      async () => (await backend.waiting()).length === 5,
      () => `${backend.app?.output}`,
    );
    expect(backend.app?.output.match(/ignored x\.json, it is not a file/g)).toHaveLength(1);
    expect(backend.app?.output.match(/ignored f-\S+\.json, its name is not UTF-8/g)).toHaveLength(1);
    // A link that leads to an event is one.
    const [linked, elsewhere] = [person(), join(folder, 'elsewhere')];
    await writeFile(elsewhere, JSON.stringify({ type: 'joiner', id: 'odd2', user: linked }));
    await symlink(elsewhere, join(folder, 'e-link.json'));
    await until(
      () => usersNamed(linked.name).length === 1,
      () => `${backend.app?.output}`,
    );
  }, 30_000);

  it('app-5: puts aside unreadable files, files with too long names, and files dated in the future', async () => {
    const { folder, outbox } = await outboxHere();
    const long = `${'ü'.repeat(120)}.json`;
    await writeFile(join(folder, 'a.json'), '{');
    await utimes(join(folder, 'a.json'), new Date(), new Date(Date.now() + 3600_000));
    await writeFile(join(folder, long), '{'.repeat(20_000));
    await writeFile(join(folder, 'y.json'), joiner('1'));
    // It may be being written still.
    expect(await outbox.next()).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 2050));
    const broken = await outbox.next();
    expect(broken).toMatchObject({ file: 'a.json', fault: expect.stringContaining('not a JSON object') });
    await outbox.refuse(broken!, 'broken');
    expect(await outbox.next()).toMatchObject({ file: 'y.json' });
    await outbox.done({ file: 'y.json', fault: '' });
    const tooLong = await outbox.next();
    expect(tooLong).toMatchObject({ file: long, fault: expect.stringContaining('bytes') });
    await outbox.refuse(tooLong!, 'too long');
    expect(await outbox.next()).toBeUndefined();
    expect((await readdir(join(folder, 'refused'))).length).toBe(4);
  });

  it('app-5: accepts a byte order mark, and no other encoding', async () => {
    const { folder, outbox } = await outboxHere();
    const text = JSON.stringify({ type: 'joiner', id: '1', user: { name: 'jörg', mail: 'j@x.example' } });
    await writeFile(join(folder, 'a.json'), `\ufeff${text}`);
    expect(await outbox.next()).toMatchObject({ event: { user: { name: 'jörg' } } });
    await rm(join(folder, 'a.json'));
    await writeFile(join(folder, 'b.json'), Buffer.from(text, 'latin1'));
    await until(
      async () => (await outbox.next()) !== undefined,
      () => 'it is taken for a file that is being written',
    );
    expect(await outbox.next()).toEqual({ file: 'b.json', fault: 'it is not UTF-8 text' });
  });

  it('app-5: of 20,000 events is not read as a whole for each event, and keeps their order', async () => {
    const { folder, outbox } = await outboxHere();
    const names = Array.from({ length: 20_000 }, (_, i) => `${100_000 + i}.json`);
    for (let i = 0; i < names.length; i += 500) {
      await Promise.all(names.slice(i, i + 500).map((name) => writeFile(join(folder, name), joiner(name))));
    }
    await outbox.next();
    const begun = process.cpuUsage();
    for (const name of names.slice(0, 500)) {
      const waiting = await outbox.next();
      expect(waiting?.file).toBe(name);
      await outbox.done(waiting!);
    }
    const { user, system } = process.cpuUsage(begun);
    // Read for each event, the folder costs more than 10 s.
    expect((user + system) / 1e6).toBeLessThan(3);
    // What comes first by its name is sent first, a little later.
    await writeFile(join(folder, '000000.json'), joiner('first'));
    await until(
      async () => (await outbox.next())?.file === '000000.json',
      () => 'it is not seen',
    );
  }, 60_000);
});

describe('a backend whose clock is wrong', () => {
  it.each([3600_000, -3600_000])('app-3: by %d ms still has its leavers deleted', async (differenceMs) => {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    const daemon = await daemonAt(address, 'clock');
    const environment = { ...SETTABLE_CLOCK, CLOCK_DIFFERENCE_MS: String(differenceMs) };
    const backend = await Backend.start(address, 'clock', environment);
    const user = person();
    await backend.put('1', { type: 'joiner', id: `clock${differenceMs}`, user });
    await backend.put('2', { type: 'leaver', id: `clock${differenceMs}`, user: { name: user.name } });
    await backend.emptied();
    expect(usersNamed(user.name)).toEqual([]);
    expect(await backend.refusals()).toEqual([]);
    // Once the daemon has said what the time is, the backend knows.
    const tooLate = () => daemon.output.match(/too late/g)?.length;
    const before = tooLate();
    expect(before).toBeGreaterThan(0);
    await backend.put('3', { type: 'leaver', id: `clock${differenceMs}-2`, user: { name: user.name } });
    await backend.emptied();
    expect(tooLate()).toBe(before);
  });
});

describe('by TCP and IPv6', () => {
  it('events arrive too', async () => {
    const address = `tcp://[::1]:${await freePort()}`;
    await daemonAt(address, 'v6');
    const backend = await Backend.start(address, 'v6', {}, { isHere: true });
    const user = person();
    await backend.put('1', { type: 'joiner', id: 'v6', user });
    await backend.emptied();
    expect(usersNamed(user.name)).toHaveLength(1);
  }, 60_000);
});

describe('the log', () => {
  it('of daemon and backend has no forged line', async () => {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    const daemon = await daemonAt(address, 'forged');
    const backend = await Backend.start(address, 'forged', {}, { isHere: true });
    const forged = 'x\n[ProvisioningDaemon] \u001b[2J\u202eforged';
    await backend.put('1', { type: 'joiner', id: 'f1', user: { ...person(), [forged]: true } });
    await backend.put('2', { type: 'joiner', id: 'f2\nforged', user: person() });
    await backend.put('3', { type: 'leaver', id: 'f3', user: { name: 'a\u2028b' } });
    await backend.emptied();
    const output = `${daemon.output}${backend.app?.output}`;
    expect(output).toContain('x?[ProvisioningDaemon] ?[2J?forged');
    expect(output).not.toMatch(/^(?:\[ProvisioningDaemon\] \S*forged|forged)/m);
    for (const character of ['\u001b', '\u202e', '\u2028']) expect(output).not.toContain(character);
    expect((await backend.refusals()).length).toBe(3);
  }, 60_000);
});

describe('a backend that the daemon does not allow', () => {
  it('keeps its events, and delivers them once it is allowed', async () => {
    const address = `tcp://127.0.0.1:${await freePort()}`;
    const strict = { ...daemonEnvironment(address, 'locked'), ALLOWED_CLIENTS: 'svc-other@acme.example' };
    const app = await startDaemonHere(strict);
    const backend = await Backend.start(address, 'locked', {}, { isHere: true });
    const user = person();
    await backend.put('1', { type: 'joiner', id: 'l1', user });
    await until(
      () => /PERMISSION_DENIED/.test(backend.app?.output ?? ''),
      () => app.output,
    );
    expect(await backend.waiting()).toEqual(['1.json']);
    await app.kill();
    await daemonAt(address, 'locked');
    await backend.emptied();
    expect(usersNamed(user.name)).toHaveLength(1);
  }, 60_000);
});

await describeWithServer('RabbitMQ', ['RabbitMQ', 5672], () => {
  const channel = `dead-${run}`;
  const environment = () => daemonEnvironment('amqp://127.0.0.1:5672', channel);
  afterAll(() => deleteQueues('RabbitMQ', channel));

  it('keeps an event without a daemon, across a restart of the backend, and it is handled once', async () => {
    await prepareDeadLetters(readSettings(environment()));
    const backend = await Backend.start('amqp://127.0.0.1:5672', channel);
    const user = person();
    const before = created();
    await backend.put('1', { type: 'joiner', id: 'q1', user });
    await until(
      async () => (await messagesIn(`${channel}.events`)) === 1,
      () => `${backend.app?.output}`,
    );
    await backend.kill();
    await backend.run();
    await until(
      async () => (await messagesIn(`${channel}.events`)) === 2,
      () => `${backend.app?.output}`,
    );
    await daemonAt('amqp://127.0.0.1:5672', channel);
    await backend.emptied();
    expect([created() - before, usersNamed(user.name).length]).toEqual([1, 1]);
  }, 60_000);

  it('connects again to a broker that accepts the first connection and stays silent', async () => {
    const { port, connections } = await silentServer(1, 5672);
    const settings = readSettings({ ...environment(), LISTEN_URL: `amqp://127.0.0.1:${port}` });
    await prepareDeadLetters(settings, { timeoutMs: 300, retryMs: 100 });
    expect(connections()).toBe(2);
  }, 60_000);

  it('gets a message without a token back as a dead letter', async () => {
    await daemonAt('amqp://127.0.0.1:5672', channel);
    const before = await deadLetters(channel);
    const connection = await connectAmqp('amqp://127.0.0.1:5672');
    const broker = await connection.createChannel();
    const packet = { pattern: `${channel}.joiner`, id: '1', data: { id: 'x', user: person() } };
    broker.sendToQueue(`${channel}.events`, Buffer.from(JSON.stringify(packet)), { replyTo: 'nobody' });
    await until(
      async () => (await deadLetters(channel)) > before,
      () => 'no dead letter',
    );
    expect(await messagesIn(`${channel}.events`)).toBe(0);
    await connection.close();
  }, 60_000);
});

describe('settings', () => {
  it('that are invalid are all reported at once, without any value', () => {
    const wrong = { TENANT_URL: 'x', LISTEN_URL: 'udp://secret', CHANNEL: 'a b', SERVICE_URL: 'ftp://x' };
    expect(() => readSettings(wrong)).toThrow(/LISTEN_URL[^]*CHANNEL[^]*ALLOWED_CLIENTS[^]*CLIENT_ID[^]*SERVICE_URL/);
    expect(() => readSettings(wrong)).not.toThrow(/secret:/);
    expect(() => readSettings({ LISTEN_URL: 'tcps://127.0.0.1:1' })).toThrow(/tcps: needs TLS_KEY_FILE/);
    expect(() => readSettings({ LISTEN_URL: 'tcps://127.0.0.1:1', TLS_KEY_FILE: '/nowhere' })).toThrow(/ENOENT/);
    for (const port of ['', ':0', ':65536', ':-1', ':port']) {
      expect(() => readSettings({ LISTEN_URL: `tcp://127.0.0.1${port}` })).toThrow(/LISTEN_URL: .*port/);
      expect(() => readBackendSettings({ DAEMON_URL: `tcps://127.0.0.1${port}` })).toThrow(/DAEMON_URL: .*port/);
    }
    expect(() => readBackendSettings({ TENANT_URL: 'x', POLL_MS: '1', DAEMON_URL: 'x' })).toThrow(
      /OUTBOX_FOLDER[^]*POLL_MS[^]*CLIENT_ID[^]*CLIENT_SECRET[^]*DAEMON_URL/,
    );
  });

  it('default to the emulator if no tenant is set', () => {
    expect(readSettings({}).ALLOWED_CLIENTS).toEqual([readBackendSettings({}).CLIENT_ID]);
    expect(readSettings({}).LISTEN_URL.href).toBe(readBackendSettings({}).DAEMON_URL.href);
  });
});

async function messagesIn(queue: string): Promise<number> {
  const connection = await connectAmqp('amqp://127.0.0.1:5672');
  const broker = await connection.createChannel();
  broker.on('error', () => {});
  try {
    return (await broker.checkQueue(queue)).messageCount;
  } catch {
    return 0;
  } finally {
    await connection.close().catch(() => {});
  }
}

function deadLetters(channel: string): Promise<number> {
  return messagesIn(`${channel}.events.dead`);
}

async function deleteQueues(transport: string, channel: string): Promise<void> {
  if (transport !== 'RabbitMQ') return;
  const connection = await connectAmqp('amqp://127.0.0.1:5672');
  const broker = await connection.createChannel();
  await broker.deleteQueue(`${channel}.events`);
  await broker.deleteQueue(`${channel}.events.dead`);
  await connection.close();
}
