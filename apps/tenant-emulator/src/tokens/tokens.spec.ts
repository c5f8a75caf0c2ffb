import { describe, expect, it } from '@jest/globals';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { startTenant } from '../start-tenant.js';
import { TenantClient } from '../testing/tenant-client.js';
import { startTestTenant } from '../testing/test-tenant.js';
import { fingerprintOf } from './issued-tokens.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';

const { tenant, client, admin, clock } = await startTestTenant();

describe('keys', () => {
  const keySet = async () =>
    (await client.send('/OAuth2/Keys/internal-api')).json as unknown as JSONWebKeySet & { keys: { kid: string }[] };

  it('rotate: the new key signs, and the old ones stay published', async () => {
    const before = await client.token('internal-api', CLI);
    const old = (await keySet()).keys.map(({ kid }) => kid);
    const { json } = await admin.postJson('/keys/rotate');
    expect(json).toEqual({ kid: expect.any(String), published: [json?.kid, ...old] });
    const after = await client.token('internal-api', CLI);
    expect(decodeProtectedHeader(after).kid).toBe(json?.kid);

    const verify = createLocalJWKSet(await keySet());
    const currentDate = new Date(clock.now());
    await jwtVerify(before, verify, { currentDate });
    await jwtVerify(after, verify, { currentDate });
  });

  it('rotate without the old ones, whose tokens cannot be verified any more', async () => {
    const before = await client.token('internal-api', CLI);
    const { kid } = await tenant.rotateKeys({ dropOld: true });
    const keys = await keySet();
    expect(keys.keys.map((key) => key.kid)).toEqual([kid]);
    await expect(jwtVerify(before, createLocalJWKSet(keys), { currentDate: new Date(clock.now()) })).rejects.toThrow(
      /no applicable key/,
    );
  });

  it('do not rotate on an invalid request', async () => {
    const { status, json } = await admin.postJson('/keys/rotate', { drop: true });
    expect(status).toBe(400);
    expect(json).toEqual({ error: 'The body is invalid.', details: [expect.stringMatching(/drop/)] });
  });
});

describe('sessions', () => {
  const alive = async (token: string) => (await client.call('/Security/whoami', token)).status === 200;

  it('end before their tokens expire, those of one client or all', async () => {
    tenant.revokeSessions();
    const reader = await client.token('provisioning', 'svc-directory-reader@acme.example');
    const writer = await client.token('provisioning', PROVISIONING);
    expect((await admin.postJson('/sessions/revoke', { client: 'SVC-provisioning@acme.example' })).json?.revoked).toBe(
      1,
    );
    expect([await alive(reader), await alive(writer)]).toEqual([true, false]);
    const renewed = await client.token('provisioning', PROVISIONING);
    expect(renewed).not.toBe(writer);
    expect([await alive(writer), await alive(renewed)]).toEqual([false, true]);
    expect(tenant.revokeSessions()).toBe(2);
    expect([await alive(reader), await alive(renewed)]).toEqual([false, false]);
  });

  it('are listed with client, fingerprint, scope and times', async () => {
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

  it('of the oldest tokens are evicted at the limit', async () => {
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
