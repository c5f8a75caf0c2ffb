import { describe, expect, it } from '@jest/globals';
import { basic, SECRETS } from '../testing/tenant-client.js';
import { startTestTenant } from '../testing/test-tenant.js';

const CLI = 'svc-cli@acme.example';
const REPORTING = 'svc-reporting@acme.example';

const { tenant, client, clock, verified } = await startTestTenant();

describe('discovery', () => {
  const members = [
    'authorization_endpoint',
    'code_challenge_methods_supported',
    'id_token_signing_alg_values_supported',
    'issuer',
    'jwks_uri',
    'response_types_supported',
    'scopes_supported',
    'subject_types_supported',
    'token_endpoint',
    'userinfo_endpoint',
  ];

  it('of an application has its issuer with a trailing slash, and its endpoints', async () => {
    const { status, json } = await client.send('/internal-api/.well-known/openid-configuration');
    expect(status).toBe(200);
    expect(Object.keys(json ?? {}).toSorted()).toEqual(members);
    expect(json).toMatchObject({
      issuer: `${tenant.url}/internal-api/`,
      token_endpoint: `${tenant.url}/OAuth2/Token/internal-api`,
      jwks_uri: `${tenant.url}/OAuth2/Keys/internal-api`,
      scopes_supported: ['users.read', 'users.write'],
    });
  });

  it('of an application is the same through GetMeta', async () => {
    const get = await client.send('/internal-api/.well-known/openid-configuration');
    const post = await client.send('/OAuth2/GetMeta?serviceName=internal-api', { method: 'POST' });
    expect(post.status).toBe(200);
    expect(post.json).toEqual(get.json);
    const lowerCase = await client.send('/oauth2/getmeta?servicename=internal-api', { method: 'POST' });
    expect(lowerCase.json).toEqual(get.json);
  });

  it('of the tenant has an issuer of its own', async () => {
    const { json } = await client.send('/.well-known/openid-configuration');
    expect(json?.issuer).toBe(`${tenant.url}/`);
  });

  it('rejects unknown applications', async () => {
    const refused = (error_description: string) => ({
      status: 400,
      json: { error: 'invalid_request', error_description },
    });
    expect(await client.send('/nope/.well-known/openid-configuration')).toMatchObject(refused('unknown app nope'));
    expect(await client.send('/OAuth2/GetMeta?serviceName=nope', { method: 'POST' })).toMatchObject(
      refused('unknown app'),
    );
    expect(await client.send('/OAuth2/GetMeta', { method: 'POST' })).toMatchObject(refused('bad URL'));
  });
});

describe('the key set', () => {
  it('responds to GET and POST, without private members', async () => {
    const get = await client.send('/OAuth2/Keys/internal-api');
    const post = await client.send('/OAuth2/Keys/internal-api', { method: 'POST' });
    expect(get.status).toBe(200);
    expect(post.status).toBe(200);
    expect(post.json).toEqual(get.json);
    expect(get.json).toEqual({
      keys: [
        { kty: 'RSA', alg: 'RS256', use: 'sig', kid: expect.any(String), n: expect.any(String), e: expect.any(String) },
      ],
    });
  });

  it('of an unknown application, or none, is rejected', async () => {
    expect((await client.send('/OAuth2/Keys/nope')).json).toEqual({
      error: 'invalid_request',
      error_description: 'unknown app nope',
    });
    for (const method of ['GET', 'POST']) {
      const { status, json } = await client.send('/OAuth2/Keys/', { method });
      expect({ status, json }).toEqual({
        status: 400,
        json: { error: 'invalid_request', error_description: 'bad URL' },
      });
    }
  });
});

describe('introspection', () => {
  const introspect = (token: string | undefined, applicationId = 'internal-api', authorization?: string) =>
    client.postForm(
      `/OAuth2/Introspect/${applicationId}`,
      token === undefined ? {} : { token },
      authorization ?? basic(CLI, SECRETS[CLI]),
    );

  it('returns the claims of an active token', async () => {
    const token = await client.token('internal-api', CLI, { scope: 'users.read' });
    const { payload } = await verified(token, 'internal-api');
    const { status, json } = await introspect(token);
    expect(status).toBe(200);
    const { scope, exp, iat, sub, aud, iss, auth_time, app_id, unique_name } = payload;
    expect(json).toEqual({ active: true, scope, exp, iat, sub, aud, iss, auth_time, app_id, unique_name });
  });

  it('checks opaque tokens', async () => {
    const token = await client.token('opaque-api', CLI);
    expect((await introspect(token, 'opaque-api')).json).toMatchObject({
      active: true,
      aud: 'user-provisioning',
      unique_name: CLI,
    });
  });

  it('accepts a bearer token, Basic, and credentials in the form', async () => {
    const token = await client.token('internal-api', CLI);
    const bearer = `Bearer ${await client.token('internal-api', REPORTING)}`;
    expect((await introspect(token, 'internal-api', bearer)).json?.active).toBe(true);
    const form = { token, client_id: CLI, client_secret: SECRETS[CLI] };
    expect((await client.postForm('/OAuth2/Introspect/internal-api', form)).json?.active).toBe(true);
  });

  it('returns only `active: false` for an unknown or expired token, or one of another application', async () => {
    const token = await client.token('internal-api', CLI);
    const ofAnother = await client.token('opaque-api', CLI);
    expect((await introspect('forged')).json).toEqual({ active: false });
    expect((await introspect(ofAnother)).json).toEqual({ active: false });
    clock.advance({ seconds: 18_000 });
    expect((await introspect(token)).json).toEqual({ active: false });
  });

  it('writes times as strings on demand', async () => {
    tenant.switches.change({ introspectionTimes: 'string' });
    const { json } = await introspect(await client.token('internal-api', CLI));
    expect(json).toMatchObject({
      exp: String(clock.now() / 1000 + 18_000),
      iat: expect.any(String),
      auth_time: expect.any(String),
    });
  });

  it.each([
    ['an unknown application', 'nope', 'x', basic(CLI, SECRETS[CLI]), 'invalid_request', 'unknown app nope'],
    ['no application', '', 'x', basic(CLI, SECRETS[CLI]), 'invalid_request', 'bad URL'],
    [
      'wrong credentials',
      'internal-api',
      'x',
      basic(CLI, 'wrong'),
      'access_denied',
      'requesting user not authenticated',
    ],
    ['a dead bearer', 'internal-api', 'x', 'Bearer dead', 'access_denied', 'requesting user not authenticated'],
    ['no token', 'internal-api', undefined, basic(CLI, SECRETS[CLI]), 'invalid_request', 'missing token in request'],
  ])('refuses %s', async (_, applicationId, token, authorization, error, description) => {
    const { status, json } = await introspect(token, applicationId, authorization);
    expect({ status, json }).toEqual({ status: 400, json: { error, error_description: description } });
  });

  it('rejects a request without authentication', async () => {
    const { json } = await client.postForm('/OAuth2/Introspect/internal-api', { token: 'x' });
    expect(json?.error_description).toBe('requesting user not authenticated');
  });
});

describe('revocation', () => {
  const revoke = (parameters: Record<string, string>, authorization?: string, applicationId = 'internal-api') =>
    client.postForm(`/OAuth2/Revoke/${applicationId}`, parameters, authorization);
  const isActive = async (token: string) => {
    const { json } = await client.postForm('/OAuth2/Introspect/internal-api', { token }, basic(CLI, SECRETS[CLI]));
    return json?.active;
  };

  it('ends a token immediately', async () => {
    const token = await client.token('internal-api', CLI);
    expect(await isActive(token)).toBe(true);
    expect((await revoke({ token }, basic(CLI, SECRETS[CLI]))).status).toBe(200);
    expect(await isActive(token)).toBe(false);
  });

  it('accepts credentials in the form', async () => {
    const token = await client.token('internal-api', CLI);
    await revoke({ token, client_id: CLI, client_secret: SECRETS[CLI] });
    expect(await isActive(token)).toBe(false);
  });

  it('responds with 200 to unknown tokens, and to those of other clients, which stay active', async () => {
    const token = await client.token('internal-api', CLI);
    expect((await revoke({ token: 'forged' }, basic(CLI, SECRETS[CLI]))).status).toBe(200);
    expect((await revoke({ token }, basic(REPORTING, SECRETS[REPORTING]))).status).toBe(200);
    expect(await isActive(token)).toBe(true);
  });

  it('rejects missing and wrong parameters', async () => {
    const right = basic(CLI, SECRETS[CLI]);
    expect((await revoke({}, right)).json).toEqual({ error: 'invalid_request', error_description: 'missing token' });
    expect((await revoke({ token: 'x' }, right, 'nope')).json?.error_description).toBe('unknown app nope');
    expect((await revoke({ token: 'x' }, right, '')).json?.error_description).toBe('bad URL');
    expect((await revoke({ token: 'x' })).json?.error_description).toBe('wrong clientid');
    expect((await revoke({ token: 'x' }, basic(CLI, 'wrong'))).json).toEqual({
      error: 'access_denied',
      error_description: 'invalid client creds or client not allowed',
    });
  });
});

describe('user info', () => {
  it('returns the user of the token, with GET and POST', async () => {
    const token = await client.token('internal-api', CLI);
    for (const method of ['GET', 'POST']) {
      const { status, json } = await client.send('/OAuth2/UserInfo/internal-api', {
        method,
        headers: { authorization: `Bearer ${token}` },
      });
      expect(status).toBe(200);
      expect(json).toMatchObject({ unique_name: CLI, sub: tenant.users.byName(CLI)?.uuid });
    }
  });

  it('rejects a request without an active token of the application', async () => {
    const ofAnother = await client.token('opaque-api', CLI);
    for (const authorization of [undefined, 'Bearer dead', `Bearer ${ofAnother}`]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const { status, json } = await client.send('/OAuth2/UserInfo/internal-api', { headers });
      expect(status).toBe(401);
      expect(json?.error_message).toBe(
        'You do not have access to this content. Please contact your system administrator for assistance.',
      );
    }
  });

  it('rejects unknown applications, and none', async () => {
    expect((await client.send('/OAuth2/UserInfo/nope')).json?.error_description).toBe('unknown app nope');
    for (const method of ['GET', 'POST']) {
      const { status, json } = await client.send('/OAuth2/UserInfo', { method });
      expect(status).toBe(400);
      expect(json?.error_description).toBe('bad url');
    }
  });
});
