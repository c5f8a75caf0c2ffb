import { describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { basic, TenantClient } from '../testing/tenant-client.js';
import { startTestTenant } from '../testing/test-tenant.js';

const CLI = 'svc-cli@acme.example';
const GRANT = { grant_type: 'client_credentials' };

const { tenant, client, clock, verified } = await startTestTenant();

describe('private key JWT, which CyberArk Identity is not known to have,', () => {
  const SOUTH = 'svc-device-south@acme.example';
  const PATH = '/oauth2/token/device-north';

  async function keyPair() {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    return { privateKey, jwk: await exportJWK(publicKey) };
  }
  const register = (loginName: string, keys: object[]) =>
    new TenantClient(tenant.adminUrl).send(`/clients/${loginName}/jwks`, {
      method: 'PUT',
      body: JSON.stringify({ keys }),
    });

  let number = 0;
  const assertion = (key: Awaited<ReturnType<typeof keyPair>>['privateKey'], claims: JWTPayload = {}) => {
    const now = Math.floor(clock.now() / 1000);
    const aud = `${tenant.url}/device-north/`;
    return new SignJWT({ iss: SOUTH, sub: SOUTH, aud, iat: now, exp: now + 60, jti: String(++number), ...claims })
      .setProtectedHeader({ alg: 'ES256' })
      .sign(key);
  };
  const request = (text: string, more: Record<string, string> = {}, authorization?: string) =>
    client.postForm(
      PATH,
      {
        ...GRANT,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: text,
        ...more,
      },
      authorization,
    );

  it('authenticates a client whose public key was registered through the admin API', async () => {
    const { privateKey, jwk } = await keyPair();
    expect((await request(await assertion(privateKey))).json?.error).toBe('access_denied');
    const registered = await register(SOUTH, [jwk]);
    expect([registered.status, registered.json]).toEqual([200, { client: SOUTH, keys: 1 }]);
    const { status, json } = await request(await assertion(privateKey), { client_id: SOUTH });
    expect([status, json?.token_type]).toEqual([200, 'Bearer']);
    const { payload } = await verified(String(json?.access_token), 'device-north');
    expect(payload).toMatchObject({ unique_name: SOUTH, aud: 'device-north' });
    const aud = `${tenant.url}${PATH}`;
    expect((await request(await assertion(privateKey, { aud }))).status).toBe(200);
  });

  it('rejects every invalid assertion with the response to a wrong secret', async () => {
    const [{ privateKey, jwk }, stranger] = [await keyPair(), await keyPair()];
    await register(SOUTH, [jwk]);
    const now = Math.floor(clock.now() / 1000);
    const good = await assertion(privateKey);
    expect((await request(good)).status).toBe(200);
    const answers = [
      await request(good),
      await request(await assertion(stranger.privateKey)),
      await request(await assertion(privateKey, { aud: `${tenant.url}/device-south/` })),
      await request(await assertion(privateKey, { exp: now })),
      await request(await assertion(privateKey, { exp: now + 3600 })),
      await request(await assertion(privateKey, { exp: undefined })),
      await request(await assertion(privateKey, { jti: undefined })),
      await request(await assertion(privateKey, { sub: CLI })),
      await request(await assertion(privateKey, { iss: CLI, sub: CLI })),
      await request(await assertion(privateKey), { client_id: CLI }),
      await request(await assertion(privateKey), { client_assertion_type: 'other' }),
      await request(await assertion(privateKey), { client_id: SOUTH, client_secret: 'also' }),
      await request('none'),
    ];
    for (const { status, json } of answers) {
      expect([status, json?.error_description]).toEqual([400, 'invalid client creds or client not allowed']);
    }
    expect((await client.postForm(PATH, GRANT, basic(SOUTH, ''))).json?.error).toBe('access_denied');
  });

  it('accepts public keys only, and of clients only', async () => {
    const { jwk } = await keyPair();
    expect((await register(SOUTH, [{ ...jwk, d: 'AA' }])).status).toBe(400);
    expect((await register(SOUTH, [{ kty: 'oct', k: 'AA' }])).status).toBe(400);
    expect((await register('nobody@acme.example', [jwk])).status).toBe(404);
  });

  it('forgets an assertion after its expiry', async () => {
    const { privateKey, jwk } = await keyPair();
    await register(SOUTH, [jwk]);
    expect((await request(await assertion(privateKey, { jti: 'again' }))).status).toBe(200);
    clock.advance({ seconds: 299 });
    expect((await request(await assertion(privateKey, { jti: 'again' }))).status).toBe(400);
    clock.advance({ seconds: 1 });
    expect((await request(await assertion(privateKey, { jti: 'again' }))).status).toBe(200);
  });
});
