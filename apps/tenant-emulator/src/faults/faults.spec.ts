import { connect } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { type Outage, TENANT_PARTS } from '../config/switches.js';
import { basic, SECRETS } from '../testing/tenant-client.js';
import { startTestTenant } from '../testing/test-tenant.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';
const PATHS = { token: '/OAuth2/Token/internal-api', api: '/Security/whoami', keys: '/OAuth2/Keys/internal-api' };

const { tenant, client, admin, clock, logged } = await startTestTenant();

/** Sends a request over its own socket. Returns the text and the error with which the connection ends. */
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

  it('write expires_in as a string, or omit it', async () => {
    tenant.switches.change({ expiresIn: 'string' });
    expect((await client.requestToken('internal-api', CLI)).json?.expires_in).toBe('18000');
    tenant.switches.change({ expiresIn: 'missing' });
    expect((await client.requestToken('internal-api', CLI)).json).not.toHaveProperty('expires_in');
  });

  it('reject valid credentials, of all clients or of some', async () => {
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

  it('respond to wrong credentials with 401, and to other errors with 400 as before', async () => {
    tenant.switches.change({ badCredentialsStatus: 401 });
    const grant = { grant_type: 'client_credentials' };
    const { status, json } = await client.postForm(PATHS.token, grant, basic(CLI, 'wrong'));
    expect({ status, error: json?.error }).toEqual({ status: 401, error: 'access_denied' });
    expect((await client.postForm(PATHS.token, grant)).status).toBe(400);
  });

  it('accept JSON', async () => {
    tenant.switches.change({ acceptJsonTokenRequests: true });
    const send = (body: string) =>
      client.send(PATHS.token, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    const right = { grant_type: 'client_credentials', client_id: CLI, client_secret: SECRETS[CLI] };
    expect((await send(JSON.stringify(right))).status).toBe(200);
    expect((await send('{')).json?.error_description).toBe('invalid grant type');
    expect((await send('null')).json?.error_description).toBe('invalid grant type');
  });

  it('end sessions before their tokens expire', async () => {
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

  it('can be a connection that is closed without a response', async () => {
    tenant.switches.change({ faults: { token: { outage: 'refuse' } } });
    expect(await ending(PATHS.token)).toEqual({ text: '', error: undefined });
  });

  it('can be a connection that is reset', async () => {
    tenant.switches.change({ faults: { token: { outage: 'reset' } } });
    expect(await ending(PATHS.token)).toEqual({ text: '', error: 'ECONNRESET' });
  });

  it('can lose the response to a request that was executed', async () => {
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

  it('can be a request that hangs, which is logged immediately', async () => {
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

  it('can end after a time', async () => {
    const { status, json } = await admin.postJson('/faults/outage', { part: 'token', outage: '500', forMs: 10_000 });
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

  it('with an end time ends at a change or a reset too', () => {
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
  it('slow waits before the response', async () => {
    tenant.switches.change({ faults: { api: { slowMs: 2000 } } });
    expect((await client.call('/Security/whoami', undefined)).status).toBe(401);
    expect((await client.requestToken('internal-api', CLI)).status).toBe(200);
    expect(clock.waits).toEqual([2000]);
  });

  it('rate limit responds with 429, with Retry-After and without', async () => {
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
