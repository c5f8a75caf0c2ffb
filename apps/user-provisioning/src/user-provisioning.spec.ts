import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get, type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import { type Clock, M2M_CLOCK, TokenProvider } from 'nestjs-identity-m2m';
import { systemClock } from '../../../libs/identity-m2m/src/foundation/clock.js';
import { serveApiDocumentation } from './api-documentation.js';
import { AppModule } from './app.module.js';
import { TenantRefusalError } from './directory/tenant-answer.js';
import { EmbeddedStore } from './idempotency/embedded-store.js';
import { IdempotencyLedger } from './idempotency/idempotency-ledger.js';
import { ProblemFilter } from './problem.js';
import { readSettings } from './settings.js';
import { newUser as newUserSchema, userName } from './users/user.schema.js';

const PROVISIONING = {
  TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
  TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
};
const SECRETS = { cli: 'dev-only-cli', reporting: 'dev-only-reporting', intruder: 'dev-only-intruder' };

let tenant: RunningTenant;
const dataDir = mkdtempSync(join(tmpdir(), 'user-provisioning-'));
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  tenant = await startTenant();
});
afterEach(async () => {
  tenant.switches.reset();
  await Promise.all(closing.splice(0).map((close) => close()));
});
afterAll(async () => {
  await tenant.close();
  rmSync(dataDir, { recursive: true });
});

/** A token for the service, as one of its callers gets it. */
async function tokenOf(client: keyof typeof SECRETS, scope?: string): Promise<string> {
  const credentials = Buffer.from(`svc-${client}@acme.example:${SECRETS[client]}`).toString('base64');
  const response = await fetch(`${tenant.url}/oauth2/token/internal-api`, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', ...(scope && { scope }) }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

/** The clock of this machine, some time ahead. */
class ShiftedClock implements Clock {
  aheadMs = 0;
  readonly setTimer: Clock['setTimer'] = (...timer) => systemClock.setTimer(...timer);

  now() {
    const { wallMs, monotonicMs } = systemClock.now();
    return { wallMs: wallMs + this.aheadMs, monotonicMs: monotonicMs + this.aheadMs };
  }
}

/** The service itself, over real HTTP, and calls to it as the command line client would make them. */
async function start(environment: Record<string, string> = {}, beforeBoot = () => {}) {
  const token = await tokenOf('cli');
  beforeBoot();
  const settings = readSettings({
    TENANT_URL: tenant.url,
    ALLOWED_CLIENTS: 'svc-cli@acme.example, svc-reporting@acme.example',
    TENANT_TIMEOUT_MS: '400',
    DATA_DIR: dataDir,
    ...PROVISIONING,
    ...environment,
  });
  const clock = new ShiftedClock();
  const module = await Test.createTestingModule({ imports: [AppModule.with(settings)] })
    .overrideProvider(M2M_CLOCK)
    .useValue(clock)
    .compile();
  const app: INestApplication = module.createNestApplication();
  app.useLogger(false);
  serveApiDocumentation(app, 'curl …');
  await app.listen(0, '127.0.0.1');
  closing.push(() => app.close());
  const url = await app.getUrl();
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text && JSON.parse(text)) as Record<string, unknown>,
    };
  };
  return { url, app, call, clock, tokens: app.get(TokenProvider) };
}

let names = 0;
const newUser = (more: object = {}) => {
  const name = `user-${++names}`;
  return { name, mail: `${name}@example.org`, displayName: `User ${names}`, ...more };
};
const usersNamed = (name: string) => [...tenant.users.all()].filter((user) => user.name === `${name}@acme.example`);

describe('users', () => {
  it('are created, shown, changed and deleted', async () => {
    const { call } = await start();
    const body = newUser();
    const created = await call('POST', '/users', body);
    expect(created).toMatchObject({
      status: 201,
      body: { name: `${body.name}@acme.example`, mail: body.mail, displayName: body.displayName },
    });
    const shown = await call('GET', `/users/${body.name}`);
    expect(shown).toMatchObject({
      status: 200,
      body: { id: created.body.id, name: `${body.name}@acme.example`, state: 'None' },
    });
    const changed = await call('PATCH', `/users/${body.name}`, { displayName: 'Another', mobileNumber: '+49 30 1234' });
    expect(changed).toMatchObject({ status: 200, body: { displayName: 'Another', mail: body.mail } });
    expect((await call('DELETE', `/users/${body.name}`)).status).toBe(204);
    expect((await call('GET', `/users/${body.name}`)).status).toBe(404);
  });

  it('app-8: have the name that the tenant stores in every response, with its suffix', async () => {
    const { call } = await start();
    const plain = newUser();
    const capital = newUser({ name: `Mary.${plain.name}` });
    const full = newUser({ name: `${plain.name}-x@acme.example` });
    const keyed = newUser();
    const headers = { 'idempotency-key': `key-${keyed.name}` };
    for (const [body, more] of [[plain], [capital], [full], [keyed, headers], [keyed, headers]] as const) {
      const created = await call('POST', '/users', body, more);
      expect(created.status).toBe(201);
      const shown = await call('GET', `/users/${body.name}`);
      expect(shown.body).toEqual(created.body);
      expect(shown.body.name).toMatch(/^[^A-Z]+@acme\.example$/);
      const changed = await call('PATCH', `/users/${body.name}`, { displayName: body.displayName });
      expect(changed.body).toEqual(created.body);
    }
  });

  it('app-8: have the requested name if the tenant’s suffix can’t be looked up', async () => {
    const { call } = await start();
    const body = newUser();
    tenant.switches.change({ faults: { api: { slowMs: 30 } } });
    const pending = call('POST', '/users', body);
    while (usersNamed(body.name).length === 0) await new Promise(setImmediate);
    tenant.switches.change({ faults: { api: { outage: 'refuse' } } });
    expect(await pending).toMatchObject({ status: 201, body: { name: body.name } });
    tenant.switches.reset();
    const next = newUser();
    expect((await call('POST', '/users', next)).body.name).toBe(`${next.name}@acme.example`);
  });

  it('are created without using a default of the tenant', async () => {
    const { call } = await start();
    const quiet = newUser();
    await call('POST', '/users', quiet);
    const invited = newUser({ sendInvitation: true, mustChangePassword: false });
    await call('POST', '/users', invited);
    const plain = { inEverybodyRole: true, inSysAdminRole: false, passwordNeverExpire: false, serviceUser: false };
    expect(usersNamed(quiet.name)).toMatchObject([{ ...plain, mailInvitations: 0, forcePasswordChangeNext: true }]);
    expect(usersNamed(invited.name)).toMatchObject([{ ...plain, mailInvitations: 1, forcePasswordChangeNext: false }]);
  });

  test.each<[string, string, string, unknown]>([
    ['no body', 'POST', '/users', undefined],
    ['no JSON', 'POST', '/users', '{'],
    ['a list', 'POST', '/users', []],
    ['no name', 'POST', '/users', { mail: 'a@example.org' }],
    ['no mail', 'POST', '/users', { name: 'a' }],
    ['a mail address that is none', 'POST', '/users', { name: 'a', mail: 'a' }],
    ['a name with a space', 'POST', '/users', { name: 'a b', mail: 'a@example.org' }],
    ['a name with a slash', 'POST', '/users', { name: 'a/b', mail: 'a@example.org' }],
    ['a flag as text', 'POST', '/users', newUser({ sendInvitation: 'true' })],
    ['a field that does not exist', 'POST', '/users', newUser({ inSysAdminRole: true })],
    ['a change of nothing', 'PATCH', '/users/a', {}],
    ['a change of the name', 'PATCH', '/users/a', { name: 'b' }],
    ['a name that leads elsewhere in a path', 'POST', '/users', { name: '..', mail: 'a@example.org' }],
    ['a name with a control character', 'POST', '/users', { name: 'a\u001b[2J', mail: 'a@example.org' }],
    ['a name that turns the text around', 'POST', '/users', { name: 'a\u202eb', mail: 'a@example.org' }],
    ['lost characters', 'POST', '/users', newUser({ displayName: 'J\ufffdrg' })],
    ['lost characters in the password', 'POST', '/users', newUser({ password: 'Passw0rd!\ufffd' })],
    ['half a character in the password', 'POST', '/users', newUser({ password: 'Passw0rd!\ud83d' })],
    ['lost characters in the name', 'POST', '/users', { name: 'j\ufffdrg', mail: 'j@example.org' }],
    ['a change to lost characters', 'PATCH', '/users/a', { description: 'J\ufffdrg' }],
    ['an unlikely name', 'GET', '/users/a%20b', undefined],
  ])('are refused with 400 for %s, without a call to the tenant', async (_name, method, path, body) => {
    const { call } = await start();
    tenant.resetStatistics();
    const response = await call(method, path, body);
    expect(response.status).toBe(400);
    expect(response.body.message).toBeTruthy();
    expect(tenant.statistics().apiCalls).toEqual({});
  });

  it.each(['POST', 'PATCH'])('are refused with 415 by %s of a form, without a call to the tenant', async (method) => {
    const { call } = await start();
    tenant.resetStatistics();
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const path = method === 'POST' ? '/users' : '/users/mary';
    const response = await call(method, path, 'name=mary&mail=mary@example.org', type);
    expect(response).toMatchObject({ status: 415, body: { error: 'not_json' } });
    expect(tenant.statistics().apiCalls).toEqual({});
  });

  it.each(['{"password": hunter2}', '{"name":"a","password":"hunter2"', 'hunter2'])(
    'are refused for a body that is not JSON, without quoting it: %s',
    async (body) => {
      const { call } = await start();
      const response = await call('POST', '/users', body);
      expect(response.status).toBe(400);
      expect(JSON.stringify(response.body)).not.toMatch(/hunter2|password/);
      expect(response.body).toEqual({ statusCode: 400, error: 'not_json', message: 'The body is not JSON.' });
    },
  );

  it.each([
    ['POST', '/users', newUser({ hunter2: 1 })],
    ['PATCH', '/users/a', { mail: 'a@example.org', hunter2: 1 }],
  ])('are refused for an unknown member, without its name: %s', async (method, path, body) => {
    const { call } = await start();
    const response = await call(method, path, body);
    expect(response).toMatchObject({
      status: 400,
      body: { message: [expect.stringMatching(/only have the members .*mail/)] },
    });
    expect(JSON.stringify(response.body)).not.toContain('hunter2');
  });

  // By hand: a client that knows URLs does not even ask for these.
  test.each(['.', '..', '%2e', '%2E%2e'])('are refused with 400 for the name %s in a path', async (name) => {
    const { url } = await start();
    const { hostname, port } = new URL(url);
    const headers = { authorization: `Bearer ${await tokenOf('cli')}` };
    tenant.resetStatistics();
    const call = request({ hostname, port, method: 'DELETE', path: `/users/${name}`, headers, agent: false }).end();
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).toBe(400);
    expect(tenant.statistics().apiCalls).toEqual({});
  });

  test.each<[string, unknown, number, string]>([
    ['a name that is taken', { name: 'svc-cli', mail: 'a@example.org' }, 409, 'duplicate'],
    ['a weak password', newUser({ password: 'alllowercase' }), 422, 'weak_password'],
  ])('are refused for %s, with the tenant’s message', async (_name, body, status, error) => {
    const { call } = await start();
    const response = await call('POST', '/users', body);
    expect(response).toMatchObject({ status, body: { statusCode: status, error } });
    expect(response.body.message).toMatch(/in use|password/i);
  });

  test.each(['GET', 'DELETE', 'PATCH'])('that do not exist get 404 from %s', async (method) => {
    const { call } = await start();
    const response = await call(method, '/users/nobody', method === 'PATCH' ? { displayName: 'x' } : undefined);
    expect(response).toMatchObject({ status: 404, body: { error: 'not_found' } });
  });
});

describe('a service user of the tenant', () => {
  const names = ['svc-intruder', 'SVC-Provisioning@acme.example', 'svc-cli'];
  const state = (name: string) => ({ ...usersNamed(name.toLowerCase().replace(/@.*/, ''))[0] });

  test.each(names)('is neither changed nor deleted: %s', async (name) => {
    const { call } = await start();
    const before = state(name);
    expect(before.name).toBeDefined();
    for (const [method, body] of [['DELETE'], ['PATCH', { mail: 'taken-over@example.org' }]] as const) {
      const response = await call(method, `/users/${name}`, body);
      expect(response).toMatchObject({ status: 422, body: { error: 'service_user' } });
      expect(response.body.message).toContain('admin portal');
    }
    expect(state(name)).toEqual(before);
  });

  it('is recognised by its name if the tenant does not report it as one', async () => {
    const { call } = await start({ ALLOWED_CLIENTS: 'svc-cli@acme.example,robot@acme.example' });
    await call('POST', '/users', { name: 'robot', mail: 'robot@example.org' });
    expect(await call('DELETE', '/users/Robot')).toMatchObject({ status: 422, body: { error: 'service_user' } });
    expect(usersNamed('robot')).toHaveLength(1);
  });
});

describe('a service that the tenant does not authorise', () => {
  it('responds with 502, and what its operator can do', async () => {
    const { call } = await start({
      TENANT_CLIENT_ID: 'svc-directory-reader@acme.example',
      TENANT_CLIENT_SECRET: 'dev-only-directory-reader',
      TENANT_SCOPE: 'read-only',
    });
    for (const scopeViolation of ['envelope', 401, 403] as const) {
      tenant.switches.change({ scopeViolation });
      const response = await call('POST', '/users', newUser());
      expect(response).toMatchObject({ status: 502, body: { error: 'not_authorised' } });
      expect(response.body.hint).toContain('User Management');
    }
  });

  it('responds with 502 to a wrong secret, without showing it', async () => {
    const { call } = await start({ TENANT_CLIENT_SECRET: 'wr0ng-secret' });
    const response = await call('POST', '/users', newUser());
    expect(response).toMatchObject({ status: 502, body: { error: 'tenant_rejects_service' } });
    expect(response.body.hint).toContain('login name and password');
    expect(JSON.stringify(response.body)).not.toContain('wr0ng-secret');
  });
});

describe('an outage of the tenant', () => {
  it('of its token endpoint goes unnoticed while the token lives', async () => {
    const { call } = await start();
    await call('POST', '/users', newUser());
    tenant.switches.change({ faults: { token: { outage: 'reset' } } });
    for (let i = 0; i < 20; i++) expect((await call('POST', '/users', newUser())).status).toBe(201);
  });

  it('of its token endpoint before there was a token is 503 with Retry-After, and nothing is sent', async () => {
    const { call } = await start({}, () => tenant.switches.change({ faults: { token: { outage: '500' } } }));
    tenant.resetStatistics();
    const response = await call('POST', '/users', newUser());
    expect(response).toMatchObject({ status: 503, body: { error: 'tenant_unreachable' } });
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(tenant.statistics().apiCalls).toEqual({});
  });

  test.each(['refuse', 'reset', 'hang', '500', 'html'] as const)('%s: 503 with Retry-After', async (outage) => {
    const { call } = await start();
    tenant.switches.change({ faults: { api: { outage } } });
    const response = await call('GET', '/users/somebody');
    expect(response).toMatchObject({ status: 503, body: { error: 'tenant_unreachable' } });
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('by a rate limit: 503 with the tenant’s own Retry-After', async () => {
    const { call } = await start();
    tenant.switches.change({ faults: { api: { rateLimit: { retryAfter: 17 } } } });
    const response = await call('POST', '/users', newUser());
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '17']);
  });
});

describe('Retry-After of the tenant', () => {
  const date = (seconds: number) => new Date(Date.now() + seconds * 1000).toUTCString();

  test.each<[string, () => string | number, number, number]>([
    ['as a date', () => date(120), 110, 120],
    ['as a date that is past', () => date(-120), 1, 1],
    ['as a date in years', () => date(1e9), 3600, 3600],
    ['absurdly big', () => '99999999999999999999', 3600, 3600],
    ['of no time', () => 0, 1, 1],
    ['negative', () => '-30', 5, 5],
    ['that is no time', () => 'soon', 5, 5],
  ])('%s is passed on as seconds, within reason', async (_name, retryAfter, least, most) => {
    const { call } = await start();
    tenant.switches.change({ faults: { api: { rateLimit: { retryAfter: retryAfter() } } } });
    const response = await call('GET', '/users/somebody');
    expect(response.status).toBe(503);
    const text = response.headers.get('retry-after') ?? '';
    expect(text).toMatch(/^\d+$/);
    expect(Number(text)).toBeGreaterThanOrEqual(least);
    expect(Number(text)).toBeLessThanOrEqual(most);
  });
});

describe('a user whose creation is in doubt', () => {
  it('is found if the tenant created it and the response was lost', async () => {
    const { call } = await start();
    tenant.switches.change({ faults: { api: { outage: 'lose-answer' } } });
    const body = newUser();
    const pending = call('POST', '/users', body);
    while (usersNamed(body.name).length === 0) await new Promise(setImmediate);
    tenant.switches.reset();
    expect(await pending).toMatchObject({ status: 201, body: { mail: body.mail } });
    expect(usersNamed(body.name)).toHaveLength(1);
  });

  it('is created once if the first call did not get through', async () => {
    const { call } = await start();
    await call('GET', '/users/nobody');
    tenant.resetStatistics();
    tenant.switches.change({ faults: { api: { outage: 'reset' } } });
    const body = newUser();
    const pending = call('POST', '/users', body);
    while ((tenant.statistics().apiCalls['/cdirectoryservice/createuser'] ?? 0) === 0) await new Promise(setImmediate);
    tenant.switches.reset();
    expect((await pending).status).toBe(201);
    expect(usersNamed(body.name)).toHaveLength(1);
  });

  it('is not confused with one that existed before', async () => {
    const { call } = await start();
    const body = newUser();
    await call('POST', '/users', body);
    expect((await call('POST', '/users', body)).status).toBe(409);
  });

  it('is created once for all requests with one Idempotency-Key', async () => {
    const { call } = await start();
    const body = newUser();
    const key = { 'idempotency-key': `key-${body.name}` };
    const responses = await Promise.all(Array.from({ length: 10 }, () => call('POST', '/users', body, key)));
    expect(new Set(responses.map(({ status, body }) => `${status} ${String(body.id)}`)).size).toBe(1);
    expect(responses[0]!.status).toBe(201);
    expect(await call('POST', '/users', body, key)).toMatchObject({ status: 201 });
    expect(usersNamed(body.name)).toHaveLength(1);
  });

  it('is found by a repetition with its Idempotency-Key after the service had to give up', async () => {
    const { call } = await start();
    await call('GET', '/users/nobody');
    const body = newUser();
    const key = { 'idempotency-key': `key-${body.name}` };
    tenant.switches.change({ faults: { api: { outage: 'lose-answer' } } });
    const first = await call('POST', '/users', body, key);
    expect(first).toMatchObject({ status: 503, body: { message: expect.stringContaining('Idempotency-Key') } });
    tenant.switches.reset();
    expect((await call('POST', '/users', body, key)).status).toBe(201);
    expect(usersNamed(body.name)).toHaveLength(1);
  });

  it('stays in doubt, and the response reports it, if both the call and the lookup fail', async () => {
    const { call, tokens } = await start();
    await tokens.getToken();
    const body = newUser();
    const key = { 'idempotency-key': `key-${body.name}` };
    tenant.switches.change({ faults: { api: { outage: 'lose-answer' }, token: { outage: 'reset' } } });
    const pending = call('POST', '/users', body, key);
    while (usersNamed(body.name).length === 0) await new Promise(setImmediate);
    tenant.switches.change({ faults: { api: { outage: 'refuse' } } });
    expect(await pending).toMatchObject({ status: 503, body: { message: expect.stringContaining('not known') } });
    tenant.switches.reset();
    expect((await call('POST', '/users', body, key)).status).toBe(201);
    expect(usersNamed(body.name)).toHaveLength(1);
    expect(tokens.status().freshness).toBe('fresh');
  });

  it('is not the user of another client, created before', async () => {
    const { call, url } = await start();
    const body = newUser();
    tenant.switches.change({ faults: { api: { rateLimit: {} } } });
    const key = { 'idempotency-key': `key-${body.name}` };
    // Nothing was made, and that is known: the key leaves no doubt behind.
    expect((await call('POST', '/users', body, key)).status).toBe(503);
    tenant.switches.reset();
    const other = await fetch(`${url}/users`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await tokenOf('cli')}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(other.status).toBe(201);
    expect((await call('POST', '/users', body, key)).status).toBe(409);
  });

  it('is not confused with another under a key that was used before', async () => {
    const { call } = await start();
    const key = { 'idempotency-key': 'the-same-key' };
    expect((await call('POST', '/users', newUser(), key)).status).toBe(201);
    expect(await call('POST', '/users', newUser(), key)).toMatchObject({
      status: 422,
      body: { error: 'idempotency_key_reused' },
    });
    expect((await call('POST', '/users', newUser(), { 'idempotency-key': 'a b' })).status).toBe(400);
  });
});

describe('the header Idempotency-Key', () => {
  it.each<[string, string, number]>([
    ['in quotes', '"8e03978e-40d5-43dd-bc93-6894a57f9324"', 201],
    ['with spaces around', '  "8e03978e-40d5-43dd-bc93-6894a57f9324"\t', 201],
    ['of one quote', '"8e03978e', 400],
    ['of quotes within quotes', '"8e0"3978"', 400],
    ['of a space within quotes', '"a b"', 400],
    ['of two keys', '"a", "b"', 400],
    ['of quotes alone', '""', 400],
    ['that is empty', '', 400],
    ['that is too long within quotes', `"${'k'.repeat(129)}"`, 400],
    ['that is as long as it may be', `"${'k'.repeat(128)}"`, 201],
  ])('in-S5: %s', async (_name, header, status) => {
    const { call } = await start({ DATA_DIR: mkdtempSync(join(dataDir, 'key-')) });
    const body = newUser();
    const first = await call('POST', '/users', body, { 'idempotency-key': header });
    expect(first.status).toBe(status);
    if (status !== 201) return;
    // The same key without its quotes is the same.
    const again = await call('POST', '/users', body, { 'idempotency-key': header.trim().slice(1, -1) });
    expect(again).toMatchObject({ status: 201, body: { id: first.body.id } });
    expect(usersNamed(body.name)).toHaveLength(1);
  });
});

describe('a store of requests', () => {
  it('app-2: with a flipped bit is refused at the start, and the error names the remedy', async () => {
    const DATA_DIR = mkdtempSync(join(dataDir, 'flipped-'));
    const first = await start({ DATA_DIR });
    const [body, key] = [newUser(), { 'idempotency-key': 'flipped' }];
    expect((await first.call('POST', '/users', body, key)).status).toBe(201);
    await first.app.close();
    const file = join(
      DATA_DIR,
      readdirSync(DATA_DIR).find((name) => name.endsWith('.sqlite'))!,
    );
    const bytes = readFileSync(file);
    const id = Buffer.from(usersNamed(body.name)[0]!.uuid);
    bytes[bytes.indexOf(id) + 3]! ^= 1;
    writeFileSync(file, bytes);
    const starting = start({ DATA_DIR });
    await expect(starting).rejects.toThrow(
      /flipped-\w+ are damaged \(wrong checksum of note 1\)\. Restore a backup.*move it away/,
    );
    expect(bytes.indexOf(id)).toBe(-1);
  });

  it('with an outcome that this version does not know gives 503 with Retry-After, and no user is created', async () => {
    const DATA_DIR = mkdtempSync(join(dataDir, 'foreign-'));
    const body = newUser();
    const store = await EmbeddedStore.open(DATA_DIR, { keepMs: 1e9, maxKeys: 1e6 });
    await new IdempotencyLedger(store, tenant.url).outcomeOf({
      clientId: 'svc-cli@acme.example',
      key: 'foreign',
      content: { open: newUserSchema.parse(body), secret: undefined },
      startedAt: 1,
      execute: async () => ({ id: 7 }),
      isInDoubt: () => true,
    });
    await store.close();
    const { call } = await start({ DATA_DIR });
    tenant.resetStatistics();
    const response = await call('POST', '/users', body, { 'idempotency-key': 'foreign' });
    expect(response).toMatchObject({ status: 503, body: { error: 'store_unavailable' } });
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(tenant.statistics().apiCalls).toEqual({});
  });

  it('of version 0.1.0 is refused at the start: its notes would be lost silently', async () => {
    const DATA_DIR = mkdtempSync(join(dataDir, 'old-'));
    for (const file of ['CURRENT', 'LOCK', '000005.log']) writeFileSync(join(DATA_DIR, file), '');
    await expect(start({ DATA_DIR })).rejects.toThrow(
      /old-\w+ has notes of version 0\.1\.0.*Set DATA_DIR to another folder/,
    );
  });
});

describe('a request with a time of its own', () => {
  const at = (ms: number) => new Date(ms).toISOString();
  const createdAt = (name: string) => usersNamed(name)[0]!.createdAt;

  it('app-3: deletes no user who was created after it', async () => {
    const { call } = await start();
    const { name } = newUser();
    await call('POST', '/users', { name, mail: 'a@example.org' });
    const late = await call('DELETE', `/users/${name}`, undefined, { 'request-time': at(createdAt(name) - 1) });
    expect(late).toMatchObject({ status: 412, body: { error: 'request_time' } });
    expect(usersNamed(name)).toHaveLength(1);
    // The answer has the time that this request would have to have.
    const again = await call('DELETE', `/users/${name}`, undefined, { 'request-time': String(late.body.tenantTime) });
    expect(again.status).toBe(204);
    expect(usersNamed(name)).toEqual([]);
  });

  it('app-3: is refused after it has expired, and from a clock that is ahead, with the right time', async () => {
    const { call } = await start();
    const body = newUser();
    await call('GET', '/users/svc-cli');
    const expired = { 'request-expires': at(Date.now() - 3000) };
    expect(await call('POST', '/users', body, expired)).toMatchObject({ status: 412, body: { error: 'request_time' } });
    const keyed = { ...expired, 'idempotency-key': `key-${body.name}` };
    expect((await call('POST', '/users', body, keyed)).status).toBe(412);
    expect(usersNamed(body.name)).toEqual([]);
    // Nothing was carried out, and that is known: the key may be used again.
    expect((await call('POST', '/users', body, { 'idempotency-key': `key-${body.name}` })).status).toBe(201);
    for (const headers of [expired, { 'request-time': at(Date.now() + 60_000) }]) {
      const { status, body: problem } = await call('DELETE', `/users/${body.name}`, undefined, headers);
      expect(status).toBe(412);
      expect(Math.abs(Date.parse(String(problem.tenantTime)) - Date.now())).toBeLessThan(5000);
    }
    expect(usersNamed(body.name)).toHaveLength(1);
  });

  it('app-3: is refused with 400 if the time is invalid', async () => {
    const { call } = await start();
    expect((await call('DELETE', '/users/a', undefined, { 'request-time': 'soon' })).status).toBe(400);
    expect((await call('POST', '/users', newUser(), { 'request-expires': '2026' })).status).toBe(400);
  });
});

describe('the API documentation', () => {
  interface Operation {
    readonly responses: Readonly<Record<string, unknown>>;
    readonly security?: unknown;
  }
  interface Document {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  }
  const document = async () => {
    const { url } = await start();
    return (await (await fetch(`${url}/docs-json`)).json()) as Document;
  };

  it('app-8: has the errors of every operation, 401 and 403 among them', async () => {
    const { paths } = await document();
    const statuses = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(
        ([method, { responses }]) => `${method} ${path} ${Object.keys(responses).join(' ')}`,
      ),
    );
    expect(statuses.toSorted()).toEqual([
      'delete /users/{name} 204 400 401 403 404 412 422 502 503',
      'get /status 200',
      'get /users/{name} 200 400 401 403 404 502 503',
      'patch /users/{name} 200 400 401 403 404 413 415 422 502 503',
      'post /users 201 400 401 403 409 412 413 415 422 502 503',
      'post /users/batch 200 401 403 413 415 429 502 503',
    ]);
  });

  it('app-6: has patterns that mean the same with the flag u and without it, as Swagger UI compiles them', async () => {
    const patterns = [...JSON.stringify(await document()).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(
      ([, text]) => JSON.parse(text!) as string,
    );
    expect(patterns.length).toBeGreaterThan(3);
    const names = [
      'p',
      'C',
      'peter',
      'Claire.Cole',
      '{brace}',
      'p{C}',
      'jörg',
      '吉野',
      '\u{20bb7}野',
      '\u{1f600}',
      'a@b',
      'a@b@c',
    ];
    const unfit = [
      '',
      '.',
      '..',
      'a b',
      'a/b',
      'a"b',
      'a\u0000',
      'a\u200b',
      'a\u202eb',
      '\ue000',
      '\ud800',
      '\udc00',
      'a\u{e0041}',
    ];
    const everyCharacter = Array.from({ length: 0x11_0000 / 7 }, (_, i) => `x${String.fromCodePoint(i * 7)}`);
    const samples = [...names, ...unfit, '+49 30 1234', 'mary@example.org', ...everyCharacter];
    for (const pattern of new Set(patterns)) {
      const [bare, unicode] = [new RegExp(pattern), new RegExp(pattern, 'u')];
      expect(samples.filter((text) => bare.test(text) !== unicode.test(text))).toEqual([]);
    }
    const { pattern } = userName.toJSONSchema() as { pattern: string };
    expect(patterns).toContain(pattern);
    expect(names.filter((name) => new RegExp(pattern).test(name))).toEqual(names.filter((name) => name !== 'a@b@c'));
    expect(unfit.filter((name) => new RegExp(pattern).test(name) || userName.safeParse(name).success)).toEqual([]);
  });
});

describe('a caller', () => {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  it('without a token gets 401', async () => {
    const { call } = await start();
    const response = await call('GET', '/users/a', undefined, { authorization: '' });
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
  });

  it('without the scope gets 403, which names it', async () => {
    const { call } = await start();
    const response = await call('POST', '/users', newUser(), bearer(await tokenOf('reporting')));
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toBe('Bearer error="insufficient_scope", scope="users.write"');
    expect((await call('GET', '/users/svc-cli', undefined, bearer(await tokenOf('reporting')))).status).toBe(200);
  });

  it('that is not on the list gets 403 even with a valid token', async () => {
    const { call } = await start();
    expect((await call('GET', '/users/svc-cli', undefined, bearer(await tokenOf('intruder')))).status).toBe(403);
  });

  it('with a token that has expired gets 401', async () => {
    const { call, clock } = await start();
    tenant.switches.change({ tokenLifetimeSeconds: 60 });
    const token = await tokenOf('cli');
    expect((await call('GET', '/users/svc-cli', undefined, bearer(token))).status).toBe(200);
    // The clocks of tenant and service may differ by 30 s.
    clock.aheadMs = 90_000;
    const response = await call('GET', '/users/svc-cli', undefined, bearer(token));
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"');
  });

  it('with a token for the tenant’s own API gets 401', async () => {
    const { call, tokens } = await start();
    expect((await call('GET', '/users/a', undefined, bearer((await tokens.getToken()).reveal()))).status).toBe(401);
  });

  it('is allowed with a token signed by the tenant’s new key after a rotation', async () => {
    const { call } = await start();
    await tenant.rotateKeys();
    expect((await call('GET', '/users/svc-cli', undefined, bearer(await tokenOf('cli')))).status).toBe(200);
  });

  it('may read the status without a token, and learns no secret', async () => {
    const { call, tokens } = await start();
    const token = await tokens.getToken();
    const { status, body } = await call('GET', '/status', undefined, { authorization: '' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ token: { freshness: 'fresh', fingerprint: token.fingerprint } });
    expect(JSON.stringify(body)).not.toContain(token.reveal());
  });
});

describe('the log', () => {
  it('shows messages of the tenant on one line, in which nothing acts on a terminal', async () => {
    @Controller()
    class Refused {
      @Get()
      get(): never {
        throw new TenantRefusalError('other', 'No.\nforged \u001b[2J\u202e');
      }
    }
    const providers = [{ provide: APP_FILTER, useClass: ProblemFilter }];
    const module = await Test.createTestingModule({ controllers: [Refused], providers }).compile();
    const app = module.createNestApplication();
    const lines: string[] = [];
    const line = (message: unknown) => void lines.push(String(message));
    app.useLogger({ log: line, warn: line, error: line });
    await app.listen(0, '127.0.0.1');
    closing.push(() => app.close());
    expect((await fetch(await app.getUrl())).status).toBe(502);
    expect(lines).toContain('other: No.?forged ?[2J?');
  });

  it('has a line for each request with its result, its client and the fingerprint of its token', async () => {
    const { app, url } = await start();
    const lines: string[] = [];
    const line = (message: unknown, context: string) => {
      if (context === 'UserProvisioning') lines.push(String(message));
    };
    app.useLogger({ log: line, warn: line, error: line });
    const tokens = { cli: await tokenOf('cli'), reporting: await tokenOf('reporting') };
    // One connection for all: who came first must not be taken for who comes next.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = async (path: string, token?: string) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const [response] = (await once(get(url + path, { agent, headers }), 'response')) as [IncomingMessage];
      await once(response.resume(), 'close');
    };
    await ask('/users/svc-cli', tokens.cli);
    await ask('/users/nobody?access_token=secret');
    await ask('/users/%0A%1B[31mnobody', tokens.reporting);
    await ask('/status', tokens.cli);
    agent.destroy();
    tenant.switches.change({ faults: { api: { outage: 'hang' } } });
    tenant.resetStatistics();
    const call = get(`${url}/users/somebody`, { headers: { authorization: `Bearer ${tokens.cli}` } });
    call.on('error', () => {});
    const soon = () => new Promise((resolve) => setTimeout(resolve, 5));
    while (Object.keys(tenant.statistics().apiCalls).length === 0) await soon();
    call.destroy();
    while (lines.length < 4) await soon();
    const name = (token: string) => createHash('sha256').update(token).digest('hex').slice(0, 12);
    expect(lines).toEqual([
      `200 GET /users/svc-cli client=svc-cli@acme.example token=${name(tokens.cli)}`,
      '401 GET /users/nobody',
      `400 GET /users/%0A%1B[31mnobody client=svc-reporting@acme.example token=${name(tokens.reporting)}`,
      `client gone GET /users/somebody client=svc-cli@acme.example token=${name(tokens.cli)}`,
    ]);
  });
});

describe('the settings', () => {
  it('default to the emulator if nothing is set, and have no such default once a tenant is set', () => {
    expect(readSettings({})).toMatchObject({
      TENANT_URL: 'http://127.0.0.1:4400',
      TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
    });
    expect(readSettings({ TENANT_URL: '' }).TENANT_URL).toBe('http://127.0.0.1:4400');
    expect(() => readSettings({ TENANT_URL: 'https://acme.id.cyberark.cloud', PORT: 'x' })).toThrow(
      /PORT[^]*TENANT_CLIENT_ID: is not set \(login name[^]*TENANT_CLIENT_SECRET: is not set \(password[^]*ALLOWED_CLIENTS/,
    );
  });

  it('use a secret unchanged, and accept a list of clients only if it is not empty', () => {
    const settings = {
      TENANT_URL: 'https://acme.id.cyberark.cloud',
      TENANT_CLIENT_ID: 'a',
      ALLOWED_CLIENTS: ' b , c ',
    };
    expect(readSettings({ ...settings, TENANT_CLIENT_SECRET: ' pass word ' })).toMatchObject({
      TENANT_CLIENT_SECRET: ' pass word ',
      ALLOWED_CLIENTS: ['b', 'c'],
    });
    expect(() => readSettings({ ...settings, TENANT_CLIENT_SECRET: 'x', ALLOWED_CLIENTS: ' , ' })).toThrow(
      'must name at least one client',
    );
  });
});
