import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { startTenant } from '../start-tenant.js';
import { basic, SECRETS, TenantClient } from '../testing/tenant-client.js';
import { successOf } from '../testing/envelope.js';
import { startTestTenant } from '../testing/test-tenant.js';
import { fingerprintOf } from '../tokens/issued-tokens.js';
import type { RequestEvent } from './request-recorder.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';
const PATHS = { token: '/OAuth2/Token/internal-api', api: '/Security/whoami', keys: '/OAuth2/Keys/internal-api' };

const { tenant, client, admin, events, logged } = await startTestTenant();

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

  it('start at zero after a reset', async () => {
    await client.token('internal-api', CLI);
    const { json } = await admin.postJson('/statistics/reset');
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
  it('has an entry for each request, with fingerprints, without secrets and tokens', async () => {
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

  it('has an entry for a client that disconnects', async () => {
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

describe('any other path', () => {
  it.each(['/', '/nope', '/OAuth2', '/OAuth2/Authorize/internal-api', '/%zz'])('%s is a web page', async (path) => {
    const { status, headers, text } = await client.send(path);
    expect(status).toBe(path === '/%zz' ? 400 : 404);
    expect(headers.get('content-type')).toMatch(/^text\/html/);
    expect(text).toMatch(/^<!DOCTYPE html>/);
  });
});

describe('limits', () => {
  it('a body over 1 MiB is rejected', async () => {
    const token = await client.token('provisioning', PROVISIONING);
    const create = (user: object) => client.call('/CDirectoryService/CreateUser', token, user);
    const { status, text } = await create({ Name: 'a', Description: 'x'.repeat(1024 * 1024) });
    expect(status).toBe(413);
    expect(text).toMatch(/1 MiB/);
    successOf(await create({ Name: 'large', SendEmailInvite: false, Description: 'x'.repeat(1024 * 1000) }));
  });
});

describe('closing', () => {
  it('ends immediately, with hanging and slow requests', async () => {
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
