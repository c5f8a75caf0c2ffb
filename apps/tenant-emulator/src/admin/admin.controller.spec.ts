import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { SwitchesError } from '../faults/switch-board.js';
import { startTestTenant } from '../testing/test-tenant.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';

const { tenant, client, admin } = await startTestTenant();

const patch = (body: unknown) =>
  admin.send('/switches', { method: 'PATCH', body: typeof body === 'string' ? body : JSON.stringify(body) });

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
    expect((await admin.postJson('/switches/reset')).json).toEqual(initial);
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
  ])('rejects %j', async (body, detail) => {
    const before = tenant.switches.current;
    const { status, json } = await patch(body);
    expect(status).toBe(400);
    expect(json).toEqual({ error: 'The body is invalid.', details: [expect.stringMatching(detail)] });
    expect(tenant.switches.current).toEqual(before);
  });

  it('lists every fault of a change, also in process', async () => {
    const wrong = { tokenLifetimeSeconds: -1, expiresIn: 'never', faults: { keys: { outage: 'x' } } };
    expect((await patch(wrong)).json?.details).toHaveLength(3);
    expect(() => tenant.switches.change(wrong as never)).toThrow(SwitchesError);
    expect(() => tenant.switches.startOutage({ part: 'token', outage: 'none' as never, forMs: 0 })).toThrow(
      /outage: .*\n.*forMs: /,
    );
  });

  it('reports an unknown client, not an unknown path', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const body = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: '1' }] });
    const register = (name: string) => admin.send(`/clients/${name}/jwks`, { method: 'PUT', body });
    expect((await register(CLI)).status).toBe(200);
    expect(await register('nobody')).toMatchObject({ status: 404, json: { error: 'Unknown client.' } });
  });

  it('rejects bodies that are not JSON and unknown paths', async () => {
    expect(await patch('{')).toMatchObject({ status: 400, json: { error: 'The body is not JSON.' } });
    expect(await admin.send('/nope')).toMatchObject({
      status: 404,
      json: {
        error: 'The admin API has no GET /nope.',
        endpoints: expect.arrayContaining(['PATCH /switches', 'GET /sessions']),
      },
    });
    expect((await admin.postJson('/faults/outage', {})).json?.details).toHaveLength(3);
  });

  it('lists users with their invitations and without passwords', async () => {
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

  it('rejects web pages', async () => {
    const page = await admin.send('/switches', { headers: { origin: 'https://example.com' } });
    expect(page).toMatchObject({ status: 403, json: { error: 'Web pages are not allowed to use the admin API.' } });
    const { hostname, port } = new URL(tenant.adminUrl);
    const rebound = httpRequest({ hostname, port, path: '/switches', headers: { host: 'example.com' } }).end();
    const [response] = (await once(rebound, 'response')) as [{ statusCode: number; resume(): void }];
    response.resume();
    expect(response.statusCode).toBe(403);
  });
});
