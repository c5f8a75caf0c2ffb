import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { type Outage, TENANT_PARTS } from '../config/switches.js';
import { SwitchesError } from '../faults/switch-board.js';
import type { RequestEvent } from '../http/request-recorder.js';
import { type RunningTenant, startTenant } from '../start-tenant.js';
import { basic, SECRETS, TenantClient } from '../testing/tenant-client.js';
import { TestClock } from '../testing/test-clock.js';
import { fingerprintOf } from '../tokens/issued-tokens.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';

const clock = new TestClock();
const events: RequestEvent[] = [];
let tenant: RunningTenant;
let client: TenantClient;
let admin: TenantClient;

beforeAll(async () => {
  tenant = await startTenant({ now: clock.now, wait: clock.wait, log: (event) => events.push(event) });
  client = new TenantClient(tenant.url);
  admin = new TenantClient(tenant.adminUrl);
});

beforeEach(() => {
  tenant.switches.reset();
  tenant.resetStatistics();
  events.length = 0;
  clock.waits.length = 0;
});

afterAll(() => tenant.close());

const patch = (body: unknown) =>
  admin.send('/switches', { method: 'PATCH', body: typeof body === 'string' ? body : JSON.stringify(body) });
const post = (path: string, body?: object) =>
  admin.send(path, { method: 'POST', body: body === undefined ? null : JSON.stringify(body) });

/** Sends a request over a socket of its own, and tells how the connection ends: with what text, and what error. */
async function ending(path: string): Promise<{ text: string; error: string | undefined }> {
  const { hostname, port } = new URL(tenant.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  let error: string | undefined;
  socket.on('data', (chunk) => (text += chunk.toString()));
  socket.on('error', (reason: NodeJS.ErrnoException) => (error = reason.code));
  socket.write(`POST ${path} HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: 0\r\n\r\n`);
  await new Promise((resolve) => socket.once('close', resolve));
  return { text, error };
}

/** Resolves when the log tells of a request. */
async function logged(path: string): Promise<RequestEvent> {
  for (;;) {
    const event = events.find((candidate) => candidate.path === path);
    if (event) return event;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const PATHS = { token: '/OAuth2/Token/internal-api', api: '/Security/whoami', keys: '/OAuth2/Keys/internal-api' };

describe('token switches', () => {
  it('set the lifetime of new tokens', async () => {
    tenant.switches.change({ tokenLifetimeSeconds: 30 });
    const { json } = await client.requestToken('provisioning', PROVISIONING);
    expect(json?.expires_in).toBe(30);
    const token = String(json?.access_token);
    clock.advance({ seconds: 29 });
    expect((await client.call('/Security/whoami', token)).status).toBe(200);
    clock.advance({ seconds: 1 });
    expect((await client.call('/Security/whoami', token)).status).toBe(401);
  });

  it('write expires_in as a text, or leave it out', async () => {
    tenant.switches.change({ expiresIn: 'string' });
    expect((await client.requestToken('internal-api', CLI)).json?.expires_in).toBe('18000');
    tenant.switches.change({ expiresIn: 'missing' });
    expect((await client.requestToken('internal-api', CLI)).json).not.toHaveProperty('expires_in');
  });

  it('refuse right credentials, of everybody or of some', async () => {
    tenant.switches.change({ refuseCredentials: true });
    const { status, json } = await client.requestToken('internal-api', CLI);
    expect({ status, json }).toEqual({
      status: 400,
      json: { error: 'access_denied', error_description: 'invalid client creds or client not allowed' },
    });
    tenant.switches.change({ refuseCredentials: ['SVC-cli@acme.example'] });
    expect((await client.requestToken('internal-api', CLI)).status).toBe(400);
    expect((await client.requestToken('internal-api', 'svc-reporting@acme.example')).status).toBe(200);
  });

  it('answer wrong credentials with 401, and other mistakes with 400 as before', async () => {
    tenant.switches.change({ badCredentialsStatus: 401 });
    const grant = { grant_type: 'client_credentials' };
    const { status, json } = await client.postForm(PATHS.token, grant, basic(CLI, 'wrong'));
    expect({ status, error: json?.error }).toEqual({ status: 401, error: 'access_denied' });
    expect((await client.postForm(PATHS.token, grant)).status).toBe(400);
  });

  it('take JSON', async () => {
    tenant.switches.change({ acceptJsonTokenRequests: true });
    const send = (body: string) =>
      client.send(PATHS.token, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    const right = { grant_type: 'client_credentials', client_id: CLI, client_secret: SECRETS[CLI] };
    expect((await send(JSON.stringify(right))).status).toBe(200);
    expect((await send('{')).json?.error_description).toBe('invalid grant type');
    expect((await send('null')).json?.error_description).toBe('invalid grant type');
  });

  it('let sessions die before their tokens expire', async () => {
    tenant.switches.change({ sessionLifetimeSeconds: 60 });
    const { json } = await client.requestToken('provisioning', PROVISIONING);
    expect(json?.expires_in).toBe(18_000);
    clock.advance({ seconds: 59 });
    expect((await client.call('/Security/whoami', String(json?.access_token))).status).toBe(200);
    clock.advance({ seconds: 1 });
    expect((await client.call('/Security/whoami', String(json?.access_token))).status).toBe(401);
  });
});

describe('an outage', () => {
  const statusOf = async (path: string) => (await client.send(path, { method: 'POST' })).status;

  it.each(TENANT_PARTS)('of %s leaves the other parts alone', async (part) => {
    tenant.switches.change({ faults: { [part]: { outage: '500' } } });
    for (const other of TENANT_PARTS) {
      const status = await statusOf(PATHS[other]);
      if (other === part) expect(status).toBe(500);
      else expect(status).not.toBe(500);
    }
  });

  it.each([
    ['token', '/oauth2/platformtoken'],
    ['token', '/OAuth2/Revoke/internal-api'],
    ['keys', '/internal-api/.well-known/openid-configuration'],
    ['keys', '/.WELL-KNOWN/openid-configuration'],
    ['keys', '/OAuth2/GetMeta'],
    ['keys', '/OAuth2/Introspect/internal-api'],
    ['keys', '/OAuth2/UserInfo/internal-api'],
    ['api', '/CDirectoryService/CreateUser'],
    ['api', '/redrock/query'],
  ])('of %s covers %s', async (part, path) => {
    tenant.switches.change({ faults: { [part]: { outage: '500' } } });
    expect(await statusOf(path)).toBe(500);
  });

  it('can be a server error, which the REST API puts into its envelope', async () => {
    tenant.switches.change({ faults: { token: { outage: '500' }, api: { outage: '500' } } });
    expect((await client.requestToken('internal-api', CLI)).json).toEqual({
      error: '500',
      error_description: expect.stringMatching(/^System\./),
    });
    const { json } = await client.call('/Security/whoami', 'x');
    expect(json).toMatchObject({ success: false, Exception: expect.stringMatching(/^System\./), IsSoftError: false });
    expect(Object.keys(json ?? {})).toHaveLength(9);
  });

  it('can be a web page with status 200', async () => {
    tenant.switches.change({ faults: { token: { outage: 'html' } } });
    const { status, headers, text } = await client.requestToken('internal-api', CLI);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toMatch(/^text\/html/);
    expect(text).toMatch(/<title>Sign in/);
  });

  it('can be a connection that is closed without an answer', async () => {
    tenant.switches.change({ faults: { token: { outage: 'refuse' } } });
    expect(await ending(PATHS.token)).toEqual({ text: '', error: undefined });
  });

  it('can be a connection that is reset', async () => {
    tenant.switches.change({ faults: { token: { outage: 'reset' } } });
    expect(await ending(PATHS.token)).toEqual({ text: '', error: 'ECONNRESET' });
  });

  it('can lose the answer to a request that was carried out', async () => {
    const token = await client.token('provisioning', PROVISIONING);
    tenant.switches.change({ faults: { api: { outage: 'lose-answer' } } });
    const lost = client.call('/CDirectoryService/CreateUser', token, { Name: 'lost', SendEmailInvite: false });
    await expect(lost).rejects.toThrow(/fetch failed/);
    const user = tenant.users.byName('lost');
    expect(user).toBeDefined();
    expect(await logged('/CDirectoryService/CreateUser')).toMatchObject({
      status: undefined,
      outcome: 'outage: lose-answer',
    });
    if (user) tenant.users.remove(user);
  });

  it('can be a request that hangs, which the log tells of at once', async () => {
    tenant.switches.change({ faults: { token: { outage: 'hang' } } });
    const impatient = new AbortController();
    const hanging = client.send(PATHS.token, { method: 'POST', signal: impatient.signal });
    const event = await logged(PATHS.token);
    expect(event).toMatchObject({ outcome: 'outage: hang', status: undefined });
    impatient.abort();
    await expect(hanging).rejects.toThrow(/abort/);
  });

  it.each<Outage>(['hang', 'refuse', 'reset', 'lose-answer', '500', 'html'])(
    '(%s) is counted for the client',
    async (outage) => {
      tenant.switches.change({ faults: { token: { outage } } });
      const impatient = new AbortController();
      const answer = client.send(PATHS.token, {
        method: 'POST',
        signal: impatient.signal,
        headers: { authorization: basic(CLI, SECRETS[CLI]) },
      });
      const settled = Promise.allSettled([answer]);
      await logged(PATHS.token);
      impatient.abort();
      await settled;
      const { tokenRequestsReceived, tokenRequests } = tenant.statistics();
      expect(tokenRequestsReceived).toBeGreaterThanOrEqual(1);
      expect(tokenRequests).toEqual({ [CLI]: { [`outage: ${outage}`]: tokenRequestsReceived } });
    },
  );

  it('can end by itself', async () => {
    const { status, json } = await post('/faults/outage', { part: 'token', outage: '500', forMs: 10_000 });
    expect({ status, json }).toEqual({
      status: 200,
      json: { part: 'token', outage: '500', endsAt: new Date(clock.now() + 10_000).toISOString() },
    });
    expect((await client.requestToken('internal-api', CLI)).status).toBe(500);
    expect(tenant.switches.current.faults.token.outage).toBe('500');
    clock.advance({ seconds: 10 });
    expect((await client.requestToken('internal-api', CLI)).status).toBe(200);
    expect(tenant.switches.current.faults.token.outage).toBe('none');
  });

  it('that would end by itself ends with a change or a reset as well', () => {
    const outageNow = () => tenant.switches.current.faults.keys.outage;
    tenant.switches.startOutage({ part: 'keys', outage: 'html', forMs: 10_000 });
    tenant.switches.change({ faults: { keys: { slowMs: 1 }, token: { outage: 'none' } } });
    expect(outageNow()).toBe('html');
    tenant.switches.change({ faults: { keys: { outage: 'none' } } });
    expect(outageNow()).toBe('none');
    tenant.switches.startOutage({ part: 'keys', outage: 'html', forMs: 10_000 });
    tenant.switches.reset();
    expect(outageNow()).toBe('none');
  });
});

describe('other faults', () => {
  it('slow waits before the answer', async () => {
    tenant.switches.change({ faults: { api: { slowMs: 2000 } } });
    expect((await client.call('/Security/whoami', undefined)).status).toBe(401);
    expect((await client.requestToken('internal-api', CLI)).status).toBe(200);
    expect(clock.waits).toEqual([2000]);
  });

  it('rate limit answers 429, with Retry-After and without', async () => {
    tenant.switches.change({ faults: { token: { rateLimit: {} }, api: { rateLimit: { retryAfter: 7 } } } });
    const token = await client.requestToken('internal-api', CLI);
    expect({ status: token.status, retryAfter: token.headers.get('retry-after') }).toEqual({
      status: 429,
      retryAfter: null,
    });
    const api = await client.call('/Security/whoami', 'x');
    expect({ status: api.status, retryAfter: api.headers.get('retry-after') }).toEqual({
      status: 429,
      retryAfter: '7',
    });
    expect(api.json).toMatchObject({ success: false });

    const date = 'Tue, 01 Jan 2030 00:01:00 GMT';
    tenant.switches.change({ faults: { token: { rateLimit: { retryAfter: date } } } });
    expect((await client.requestToken('internal-api', CLI)).headers.get('retry-after')).toBe(date);
  });
});

describe('keys', () => {
  const keySet = async () =>
    (await client.send('/OAuth2/Keys/internal-api')).json as unknown as JSONWebKeySet & { keys: { kid: string }[] };

  it('rotate: the new one in front signs, and the old ones stay published', async () => {
    const before = await client.token('internal-api', CLI);
    const old = (await keySet()).keys.map(({ kid }) => kid);
    const { json } = await post('/keys/rotate');
    expect(json).toEqual({ kid: expect.any(String), published: [json?.kid, ...old] });
    const after = await client.token('internal-api', CLI);
    expect(decodeProtectedHeader(after).kid).toBe(json?.kid);

    const verify = createLocalJWKSet(await keySet());
    const currentDate = new Date(clock.now());
    await jwtVerify(before, verify, { currentDate });
    await jwtVerify(after, verify, { currentDate });
  });

  it('rotate without the old ones, whose tokens nobody can verify any more', async () => {
    const before = await client.token('internal-api', CLI);
    const { kid } = await tenant.rotateKeys({ dropOld: true });
    const keys = await keySet();
    expect(keys.keys.map((key) => key.kid)).toEqual([kid]);
    await expect(jwtVerify(before, createLocalJWKSet(keys), { currentDate: new Date(clock.now()) })).rejects.toThrow(
      /no applicable key/,
    );
  });

  it('do not rotate on a wrong request', async () => {
    const { status, json } = await post('/keys/rotate', { drop: true });
    expect(status).toBe(400);
    expect(json).toEqual({ error: 'The body is wrong.', details: [expect.stringMatching(/drop/)] });
  });
});

describe('sessions', () => {
  const alive = async (token: string) => (await client.call('/Security/whoami', token)).status === 200;

  it('die before their tokens expire, those of one client or all', async () => {
    tenant.revokeSessions();
    const reader = await client.token('provisioning', 'svc-directory-reader@acme.example');
    const writer = await client.token('provisioning', PROVISIONING);
    expect((await post('/sessions/revoke', { client: 'SVC-provisioning@acme.example' })).json?.revoked).toBe(1);
    expect([await alive(reader), await alive(writer)]).toEqual([true, false]);
    const renewed = await client.token('provisioning', PROVISIONING);
    expect(renewed).not.toBe(writer);
    expect([await alive(writer), await alive(renewed)]).toEqual([false, true]);
    expect(tenant.revokeSessions()).toBe(2);
    expect([await alive(reader), await alive(renewed)]).toEqual([false, false]);
  });

  it('are shown by fingerprint: who holds which token, with what scope, for how long', async () => {
    tenant.revokeSessions();
    const token = await client.token('internal-api', CLI);
    await client.token('provisioning', PROVISIONING);
    tenant.revokeSessions({ client: PROVISIONING });
    const { json, text } = await admin.send('/sessions');
    const [session] = (json as { sessions: [{ issuedAt: string; expiresAt: string }] }).sessions;
    expect(Date.parse(session.expiresAt) - Date.parse(session.issuedAt)).toBe(5 * 3600_000);
    expect(json).toEqual({
      total: 1,
      sessions: [
        {
          client: CLI,
          application: 'internal-api',
          token: fingerprintOf(token),
          scope: 'users.read users.write',
          issuedAt: expect.any(String),
          expiresAt: expect.any(String),
        },
      ],
    });
    expect(text).not.toContain(token.slice(0, 20));
    expect((await admin.send('/sessions?offset=1')).json).toEqual({ total: 1, sessions: [] });
    expect((await admin.send('/sessions?limit=many')).status).toBe(400);
  });

  it('of the oldest tokens are forgotten when there are too many', async () => {
    const other = await startTenant({
      config: { ...tenant.configuration, limits: { tokens: 2 } },
      now: clock.now,
    });
    try {
      const otherClient = new TenantClient(other.url);
      const tokens: string[] = [];
      for (let i = 0; i < 3; i++) tokens.push(await otherClient.token('provisioning', PROVISIONING));
      const statuses = tokens.map(async (token) => (await otherClient.call('/Security/whoami', token)).status);
      expect(await Promise.all(statuses)).toEqual([401, 200, 200]);
    } finally {
      await other.close();
    }
  });
});

describe('statistics', () => {
  it('count token requests by client and outcome, calls by path and outcome, and fetches of keys', async () => {
    const token = await client.token('provisioning', PROVISIONING);
    await client.requestToken('internal-api', PROVISIONING);
    await client.postForm(PATHS.token, { grant_type: 'client_credentials' }, basic('a-secret-by-mistake', 'x'));
    await client.requestToken('nope', PROVISIONING);
    await client.call('/cdirectoryservice/GETUSERBYNAME/', token);
    await client.call('/CDirectoryService/GetUserByName', undefined);
    await client.call('/CDirectoryService/Nonsense', token);
    await client.call('/CDirectoryService/GetUser', token);
    await client.send('/OAuth2/Keys/internal-api');
    await client.send('/internal-api/.well-known/openid-configuration');
    await client.postForm('/OAuth2/Introspect/internal-api', { token });

    const expected = {
      tokenRequestsReceived: 4,
      tokenRequests: {
        [PROVISIONING]: { issued: 1, 'invalid client creds or client not allowed': 1, 'unknown app': 1 },
        '(unknown client)': { 'invalid client creds or client not allowed': 1 },
      },
      apiCalls: {
        '/cdirectoryservice/getuserbyname': 2,
        '/cdirectoryservice/getuser': 1,
        '(unknown path)': 1,
      },
      apiOutcomes: {
        '/cdirectoryservice/getuserbyname': { success: 1, 'HTTP 401': 1 },
        '/cdirectoryservice/getuser': { _I18N_RequiredParameter: 1 },
        '(unknown path)': { 'HTTP 404': 1 },
      },
      keyFetches: 1,
      discoveryFetches: 1,
      introspections: 1,
    };
    expect(tenant.statistics()).toEqual(expected);
    expect((await admin.send('/statistics')).json).toEqual(expected);
  });

  it('start again after a reset', async () => {
    await client.token('internal-api', CLI);
    const { json } = await post('/statistics/reset');
    expect(json).toEqual({
      tokenRequestsReceived: 0,
      tokenRequests: {},
      apiCalls: {},
      apiOutcomes: {},
      keyFetches: 0,
      discoveryFetches: 0,
      introspections: 0,
    });
  });
});

describe('the log', () => {
  it('has an event for each request, with fingerprints, and without secrets and tokens', async () => {
    const token = await client.token('provisioning', PROVISIONING);
    await client.call('/Security/whoami?token=in-the-query', token);
    await client.postForm(PATHS.token, {
      grant_type: 'client_credentials',
      client_id: 'typo',
      client_secret: 'S3cret',
    });
    await logged(PATHS.token);
    expect(events).toMatchObject([
      {
        method: 'POST',
        path: '/OAuth2/Token/provisioning',
        status: 200,
        outcome: 'issued',
        client: PROVISIONING,
        tokenFingerprint: fingerprintOf(token),
        error: undefined,
      },
      {
        path: '/Security/whoami',
        status: 200,
        outcome: 'success',
        client: PROVISIONING,
        tokenFingerprint: fingerprintOf(token),
      },
      { path: PATHS.token, status: 400, client: undefined, tokenFingerprint: undefined },
    ]);
    const text = JSON.stringify(events);
    for (const secret of [token, 'in-the-query', 'S3cret', SECRETS[PROVISIONING]]) expect(text).not.toContain(secret);
  });

  it('tells of a client that went away', async () => {
    tenant.switches.change({ faults: { api: { slowMs: 1 } } });
    const { hostname, port } = new URL(tenant.url);
    const socket = connect(Number(port), hostname);
    // Announces a body that never comes.
    socket.write(`POST /Security/whoami HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: 10\r\n\r\n`);
    await once(socket, 'connect');
    while (Object.keys(tenant.statistics().apiCalls).length === 0)
      await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    expect(await logged('/Security/whoami')).toMatchObject({ status: undefined, outcome: 'connection lost' });
  });
});

describe('the admin API', () => {
  it('shows, changes and resets switches', async () => {
    const initial = (await admin.send('/switches')).json;
    expect(initial).toEqual(JSON.parse(JSON.stringify(tenant.switches.current)));
    const changed = await patch({ expiresIn: 'missing', faults: { api: { slowMs: 5 } } });
    expect(changed.status).toBe(200);
    expect(changed.json).toMatchObject({
      expiresIn: 'missing',
      badCredentialsStatus: 400,
      faults: { token: { slowMs: 0 }, api: { outage: 'none', slowMs: 5 } },
    });
    expect(tenant.switches.current).toEqual(changed.json);
    expect((await post('/switches/reset')).json).toEqual(initial);
  });

  it('replaces a rate limit as a whole', async () => {
    await patch({ faults: { api: { rateLimit: { retryAfter: 3 } } } });
    const { json } = await patch({ faults: { api: { rateLimit: {} } } });
    expect(json).toMatchObject({ faults: { api: { rateLimit: {} } } });
    expect(tenant.switches.current.faults.api.rateLimit).toEqual({});
  });

  it.each([
    [{ nonsense: 1 }, /^\(the whole\): .*nonsense/],
    [{ faults: { token: { outage: 'maybe' } } }, /^faults\.token\.outage: .*"hang"/],
    [{ faults: { nowhere: {} } }, /^faults: .*nowhere/],
    [{ faults: { api: { slowMs: -1 } } }, /^faults\.api\.slowMs: /],
    [{ faults: { api: { rateLimit: 'some' } } }, /^faults\.api\.rateLimit: expected "none" or/],
    [
      { faults: { api: { rateLimit: { retryAfter: 'a\r\nb' } } } },
      /^faults\.api\.rateLimit\.retryAfter: must be printable/,
    ],
    [{ tokenLifetimeSeconds: 0 }, /^tokenLifetimeSeconds: /],
    [{ badCredentialsStatus: 403 }, /^badCredentialsStatus: expected 400 or 401/],
    [{ scopeViolation: 400 }, /^scopeViolation: expected "envelope", 401 or 403/],
    [{ refuseCredentials: 'all' }, /^refuseCredentials: expected true, false or a list/],
  ])('refuses %j', async (body, detail) => {
    const before = tenant.switches.current;
    const { status, json } = await patch(body);
    expect(status).toBe(400);
    expect(json).toEqual({ error: 'The body is wrong.', details: [expect.stringMatching(detail)] });
    expect(tenant.switches.current).toEqual(before);
  });

  it('names every fault of a change at once, in process as well', async () => {
    const wrong = { tokenLifetimeSeconds: -1, expiresIn: 'never', faults: { keys: { outage: 'x' } } };
    expect((await patch(wrong)).json?.details).toHaveLength(3);
    expect(() => tenant.switches.change(wrong as never)).toThrow(SwitchesError);
    expect(() => tenant.switches.startOutage({ part: 'token', outage: 'none' as never, forMs: 0 })).toThrow(
      /outage: .*\n.*forMs: /,
    );
  });

  it('says so of a client that it does not know, and does not deny its own path', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const body = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: '1' }] });
    const register = (name: string) => admin.send(`/clients/${name}/jwks`, { method: 'PUT', body });
    expect((await register(CLI)).status).toBe(200);
    expect(await register('nobody')).toMatchObject({ status: 404, json: { error: 'There is no such client.' } });
  });

  it('refuses what is no JSON, and paths that it does not have', async () => {
    expect(await patch('{')).toMatchObject({ status: 400, json: { error: 'The body is not JSON.' } });
    expect(await admin.send('/nope')).toMatchObject({
      status: 404,
      json: { error: 'The admin API has no GET /nope.', endpoints: expect.arrayContaining(['PATCH /switches']) },
    });
    expect((await post('/faults/outage', {})).json?.details).toHaveLength(3);
  });

  it('shows users with what was sent to them, and without passwords', async () => {
    const token = await client.token('provisioning', PROVISIONING);
    await client.call('/CDirectoryService/CreateUser', token, {
      Name: 'a',
      Mail: 'a@example.com',
      Password: 'Passw0rd-1',
    });
    await client.call('/CDirectoryService/CreateUser', token, { Name: 'b', SendEmailInvite: false });
    const { length: before } = tenant.configuration.serviceUsers;
    const { json, text } = await admin.send(`/users?offset=${before}&limit=2`);
    expect(json).toMatchObject({
      total: before + 2,
      users: [
        { name: 'a@acme.example', mailInvitations: 1, hasKnownPassword: true },
        { name: 'b@acme.example', mailInvitations: 0, hasKnownPassword: false },
      ],
    });
    expect(text).not.toMatch(/digest|Passw0rd/i);
    expect((await admin.send('/users?limit=many')).status).toBe(400);
  });

  it('is not for web pages', async () => {
    const page = await admin.send('/switches', { headers: { origin: 'https://example.com' } });
    expect(page).toMatchObject({ status: 403, json: { error: 'Web pages may not use the admin API.' } });
    const { hostname, port } = new URL(tenant.adminUrl);
    const rebound = httpRequest({ hostname, port, path: '/switches', headers: { host: 'example.com' } }).end();
    const [response] = (await once(rebound, 'response')) as [{ statusCode: number; resume(): void }];
    response.resume();
    expect(response.statusCode).toBe(403);
  });
});

describe('closing', () => {
  it('ends at once, hanging and slow requests included', async () => {
    const never = new Promise<void>(() => {});
    const seen: RequestEvent[] = [];
    const other = await startTenant({ wait: () => never, log: (event) => seen.push(event) });
    const otherClient = new TenantClient(other.url);
    other.switches.change({ faults: { token: { outage: 'hang' }, api: { slowMs: 60_000 } } });
    const requests = Promise.allSettled([
      otherClient.requestToken('internal-api', CLI),
      otherClient.call('/Security/whoami', 'x'),
    ]);
    while (Object.keys(other.statistics().apiCalls).length === 0 || seen.length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await other.close();
    expect((await requests).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(otherClient.send('/')).rejects.toThrow(/fetch failed/);
  });
});
