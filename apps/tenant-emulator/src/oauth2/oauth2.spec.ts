import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  createLocalJWKSet,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  type JSONWebKeySet,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose';
import { type RunningTenant, startTenant } from '../start-tenant.js';
import { basic, SECRETS, TenantClient } from '../testing/tenant-client.js';
import { TestClock } from '../testing/test-clock.js';
import { clientCredentialsOf } from './request-parameters.js';
import { grantedScopes } from './token.controller.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';
const REPORTING = 'svc-reporting@acme.example';
const GRANT = { grant_type: 'client_credentials' };

const clock = new TestClock();
let tenant: RunningTenant;
let client: TenantClient;

beforeAll(async () => {
  tenant = await startTenant({ now: clock.now, wait: clock.wait });
  client = new TenantClient(tenant.url);
});

beforeEach(() => {
  tenant.switches.reset();
});

afterAll(() => tenant.close());

/** Verifies a token with the keys of an application. */
async function verified(token: string, applicationId: string) {
  const { json } = await client.send(`/OAuth2/Keys/${applicationId}`);
  const keys = createLocalJWKSet(json as unknown as JSONWebKeySet);
  return jwtVerify(token, keys, { currentDate: new Date(clock.now()) });
}

describe('a token', () => {
  it('comes with its type, its lifetime as a number and its scopes', async () => {
    const { status, headers, json } = await client.requestToken('internal-api', CLI);
    expect(status).toBe(200);
    expect(json).toEqual({
      access_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 18_000,
      scope: 'users.read users.write',
    });
    expect(headers.get('cache-control')).toBe('no-cache, no-store');
    expect(headers.get('x-cfy-tx-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(headers.get('x-powered-by')).toBeNull();
  });

  it('of an OAuth2 Server application is a JWT for its Audience, with the documented claims and no others', async () => {
    const token = await client.token('internal-api', CLI, { scope: 'users.read' });
    const { payload } = await verified(token, 'internal-api');
    const iat = clock.now() / 1000;
    expect(payload).toEqual({
      iss: `${tenant.url}/internal-api/`,
      aud: 'user-provisioning',
      sub: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      unique_name: CLI,
      scope: 'users.read',
      app_id: 'internal-api',
      auth_time: iat,
      iat,
      exp: iat + 18_000,
    });
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', kid: expect.any(String), typ: 'JWT' });
  });

  it('of an OAuth2 Client application is for the login name of the client', async () => {
    const { payload } = await verified(await client.token('provisioning', PROVISIONING), 'provisioning');
    expect(payload).toMatchObject({ aud: PROVISIONING, scope: 'users read-only', iss: `${tenant.url}/provisioning/` });
  });

  it('for the platform has the built-in application and the claims of the platform', async () => {
    for (const path of ['/oauth2/platformtoken', '/OAuth2/PlatformToken/']) {
      const { json } = await client.postForm(path, GRANT, basic(PROVISIONING, SECRETS[PROVISIONING]));
      expect(json).toMatchObject({ expires_in: 900, scope: 'api' });
      const { payload } = await verified(String(json?.access_token), '__idaptive_cybr_user_oidc');
      expect(payload).toMatchObject({
        iss: `${tenant.url}/__idaptive_cybr_user_oidc/`,
        aud: '__idaptive_cybr_user_oidc',
        unique_name: PROVISIONING,
        tenant_id: 'acme',
        subdomain: 'acme',
        platform_domain: 'cyberark.cloud',
      });
    }
  });

  it('of an application with opaque tokens says nothing', async () => {
    expect(await client.token('opaque-api', CLI)).toMatch(/^[\w-]{43}$/);
  });

  it('is not the same text twice, not even within a second', async () => {
    const tokens = await Promise.all(Array.from({ length: 5 }, () => client.token('internal-api', CLI)));
    expect(new Set(tokens).size).toBe(5);
    for (const token of tokens) await verified(token, 'internal-api');
  });

  it('is had under a path in any case', async () => {
    const { status } = await client.postForm('/oauth2/TOKEN/internal-api', GRANT, basic(CLI, SECRETS[CLI]));
    expect(status).toBe(200);
  });

  it('is had by a login name in any case, and stands in the name of the stored one', async () => {
    const { json } = await client.postForm(
      '/OAuth2/Token/internal-api',
      GRANT,
      basic('SVC-Cli@ACME.example', SECRETS[CLI]),
    );
    const { payload } = await verified(String(json?.access_token), 'internal-api');
    expect(payload.unique_name).toBe(CLI);
  });
});

describe('client authentication', () => {
  const withSecretInBody = { ...GRANT, client_id: PROVISIONING, client_secret: SECRETS[PROVISIONING] };

  it('takes Basic raw: a secret with colons, plus, percent and letters beyond ASCII', async () => {
    const { status } = await client.postForm(
      '/OAuth2/Token/provisioning',
      GRANT,
      basic(PROVISIONING, SECRETS[PROVISIONING]),
    );
    expect(status).toBe(200);
  });

  it('takes id and secret from the form', async () => {
    const { status } = await client.postForm('/OAuth2/Token/provisioning', withSecretInBody);
    expect(status).toBe(200);
  });

  it('takes a form-encoded Basic header for a wrong secret', async () => {
    const encoded = [PROVISIONING, SECRETS[PROVISIONING]].map((half) =>
      new URLSearchParams({ half }).toString().slice('half='.length),
    );
    const { status, json } = await client.postForm(
      '/OAuth2/Token/provisioning',
      GRANT,
      basic(encoded[0] ?? '', encoded[1] ?? ''),
    );
    expect(status).toBe(400);
    expect(json?.error_description).toBe('invalid client creds or client not allowed');
  });

  it('prefers the header to the form', async () => {
    const { status } = await client.postForm('/OAuth2/Token/provisioning', withSecretInBody, basic(PROVISIONING, 'no'));
    expect(status).toBe(400);
  });

  it('splits Basic at the first colon and undoes no encoding, whatever the secret', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1 }).filter((id) => !id.includes(':')),
        fc.string({ unit: 'grapheme' }),
        (clientId, clientSecret) => {
          expect(clientCredentialsOf(basic(clientId, clientSecret), new Map())).toEqual({ clientId, clientSecret });
        },
      ),
    );
  });
});

describe('a token request is refused', () => {
  const token = '/OAuth2/Token/internal-api';
  const right = basic(CLI, SECRETS[CLI]);
  const refusals: [string, string, Record<string, string>, string | undefined, string, string][] = [
    [
      'with a wrong secret',
      token,
      GRANT,
      basic(CLI, 'wrong'),
      'access_denied',
      'invalid client creds or client not allowed',
    ],
    [
      'of an unknown client',
      token,
      GRANT,
      basic('nobody@acme.example', 'x'),
      'access_denied',
      'invalid client creds or client not allowed',
    ],
    [
      'of a client that is not on the list of the application',
      token,
      GRANT,
      basic(PROVISIONING, SECRETS[PROVISIONING]),
      'access_denied',
      'invalid client creds or client not allowed',
    ],
    [
      'of a service user without the Run permission',
      '/OAuth2/Token/opaque-api',
      GRANT,
      basic(REPORTING, SECRETS[REPORTING]),
      'access_denied',
      'user not allowed access to app',
    ],
    ['without a client id', token, GRANT, undefined, 'invalid_client', 'wrong clientid'],
    ['with an empty client id', token, { ...GRANT, client_id: '' }, undefined, 'invalid_client', 'wrong clientid'],
    ['at an unknown application', '/OAuth2/Token/nope', GRANT, right, 'invalid_request', 'unknown app nope'],
    [
      'at an application in another case',
      '/OAuth2/Token/Internal-API',
      GRANT,
      right,
      'invalid_request',
      'unknown app Internal-API',
    ],
    ['at no application', '/OAuth2/Token', GRANT, right, 'invalid_request', 'bad URL'],
    ['at no application, with a slash', '/OAuth2/Token/', GRANT, right, 'invalid_request', 'bad URL'],
    [
      'with an unknown scope',
      token,
      { ...GRANT, scope: 'users.read nope' },
      right,
      'invalid_scope',
      'unknown scope requested',
    ],
    [
      'with a scope that is not for the client',
      token,
      { ...GRANT, scope: 'users.write' },
      basic(REPORTING, SECRETS[REPORTING]),
      'invalid_scope',
      'unknown scope requested',
    ],
    ['without a grant type', token, {}, right, 'invalid_grant', 'invalid grant type'],
    [
      'with another grant type',
      token,
      { grant_type: 'authorization_code' },
      right,
      'invalid_grant',
      'invalid grant type',
    ],
    [
      'at an application without Client Creds',
      '/OAuth2/Token/unticked',
      GRANT,
      right,
      'access_denied',
      'auth mode not allowed',
    ],
  ];

  it.each(refusals)('%s', async (_, path, parameters, authorization, error, description) => {
    const { status, headers, json } = await client.postForm(path, parameters, authorization);
    expect({ status, json }).toEqual({ status: 400, json: { error, error_description: description } });
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(headers.get('cache-control')).toBe('no-cache, no-store');
    expect(headers.get('x-cfy-tx-id')).toEqual(expect.any(String));
  });

  it.each(['Locked', 'Disabled', 'Expired'])('of a service user that is %s', async (state) => {
    const user = tenant.users.byName(CLI);
    if (!user) throw new Error('no such user');
    user.state = state;
    const { status, json } = await client.requestToken('internal-api', CLI);
    user.state = 'None';
    expect(status).toBe(400);
    expect(json?.error_description).toBe('invalid client creds or client not allowed');
  });

  it('with JSON, as if there were no grant type', async () => {
    const { status, json } = await client.send(token, {
      method: 'POST',
      body: JSON.stringify({ ...GRANT, client_id: CLI, client_secret: SECRETS[CLI] }),
      headers: { 'content-type': 'application/json' },
    });
    expect({ status, json }).toEqual({
      status: 400,
      json: { error: 'invalid_grant', error_description: 'invalid grant type' },
    });
  });

  it('after the secret has been changed, until the new one is used', async () => {
    tenant.users.setPassword(CLI, 'another');
    expect((await client.requestToken('internal-api', CLI)).status).toBe(400);
    expect((await client.postForm(token, GRANT, basic(CLI, 'another'))).status).toBe(200);
    tenant.users.setPassword(CLI, SECRETS[CLI]);
  });
});

describe('the scopes of a token', () => {
  it('are all that the client may have if none is asked for', async () => {
    expect((await client.requestToken('internal-api', REPORTING)).json?.scope).toBe('users.read');
    expect((await client.requestToken('internal-api', CLI, { scope: ' ' })).json?.scope).toBe('users.read users.write');
  });

  it('are those that were asked for, once each and in their order', async () => {
    const { json } = await client.requestToken('internal-api', CLI, { scope: 'users.write  users.read users.write' });
    expect(json?.scope).toBe('users.write users.read');
  });

  it('never go beyond what the application knows and the client may have', () => {
    const names = fc.array(fc.constantFrom('a', 'b', 'c', 'd'));
    fc.assert(
      fc.property(names, names, fc.option(names, { nil: undefined }), (requested, known, allowed) => {
        for (const scope of grantedScopes(requested.join(' '), known, allowed) ?? []) {
          expect(known).toContain(scope);
          if (allowed) expect(allowed).toContain(scope);
        }
      }),
    );
  });
});

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

  it('of an application names its issuer with a slash at its end, and its endpoints', async () => {
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

  it('of the tenant names an issuer that is no application’s', async () => {
    const { json } = await client.send('/.well-known/openid-configuration');
    expect(json?.issuer).toBe(`${tenant.url}/`);
  });

  it('refuses unknown applications', async () => {
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
  it('is had with GET and POST, and shows no private part', async () => {
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

  it('of an unknown application, or none, is refused', async () => {
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

  it('tells of a live token what it says', async () => {
    const token = await client.token('internal-api', CLI, { scope: 'users.read' });
    const { payload } = await verified(token, 'internal-api');
    const { status, json } = await introspect(token);
    expect(status).toBe(200);
    const { scope, exp, iat, sub, aud, iss, auth_time, app_id, unique_name } = payload;
    expect(json).toEqual({ active: true, scope, exp, iat, sub, aud, iss, auth_time, app_id, unique_name });
  });

  it('judges opaque tokens', async () => {
    const token = await client.token('opaque-api', CLI);
    expect((await introspect(token, 'opaque-api')).json).toMatchObject({
      active: true,
      aud: 'user-provisioning',
      unique_name: CLI,
    });
  });

  it('takes a bearer token, Basic, and credentials in the form', async () => {
    const token = await client.token('internal-api', CLI);
    const bearer = `Bearer ${await client.token('internal-api', REPORTING)}`;
    expect((await introspect(token, 'internal-api', bearer)).json?.active).toBe(true);
    const form = { token, client_id: CLI, client_secret: SECRETS[CLI] };
    expect((await client.postForm('/OAuth2/Introspect/internal-api', form)).json?.active).toBe(true);
  });

  it('says only that a token is not active if it is unknown, expired, or of another application', async () => {
    const token = await client.token('internal-api', CLI);
    const ofAnother = await client.token('opaque-api', CLI);
    expect((await introspect('forged')).json).toEqual({ active: false });
    expect((await introspect(ofAnother)).json).toEqual({ active: false });
    clock.advance({ seconds: 18_000 });
    expect((await introspect(token)).json).toEqual({ active: false });
  });

  it('writes times as texts when told to', async () => {
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

  it('refuses who does not authenticate', async () => {
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

  it('ends a token at once', async () => {
    const token = await client.token('internal-api', CLI);
    expect(await isActive(token)).toBe(true);
    expect((await revoke({ token }, basic(CLI, SECRETS[CLI]))).status).toBe(200);
    expect(await isActive(token)).toBe(false);
  });

  it('takes credentials in the form', async () => {
    const token = await client.token('internal-api', CLI);
    await revoke({ token, client_id: CLI, client_secret: SECRETS[CLI] });
    expect(await isActive(token)).toBe(false);
  });

  it('answers 200 for tokens that do not exist, and for those of others, which live on', async () => {
    const token = await client.token('internal-api', CLI);
    expect((await revoke({ token: 'forged' }, basic(CLI, SECRETS[CLI]))).status).toBe(200);
    expect((await revoke({ token }, basic(REPORTING, SECRETS[REPORTING]))).status).toBe(200);
    expect(await isActive(token)).toBe(true);
  });

  it('refuses what is missing or wrong', async () => {
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
  it('tells who the bearer is, with GET and POST', async () => {
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

  it('refuses who has no live token of the application', async () => {
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

  it('refuses unknown applications, and none', async () => {
    expect((await client.send('/OAuth2/UserInfo/nope')).json?.error_description).toBe('unknown app nope');
    for (const method of ['GET', 'POST']) {
      const { status, json } = await client.send('/OAuth2/UserInfo', { method });
      expect(status).toBe(400);
      expect(json?.error_description).toBe('bad url');
    }
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

  it('lets in a client whose public key was handed over through the admin API', async () => {
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

  it('refuses every assertion that proves nothing, and says no more than of a wrong secret', async () => {
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

  it('takes public keys alone, and of clients alone', async () => {
    const { jwk } = await keyPair();
    expect((await register(SOUTH, [{ ...jwk, d: 'AA' }])).status).toBe(400);
    expect((await register(SOUTH, [{ kty: 'oct', k: 'AA' }])).status).toBe(400);
    expect((await register('nobody@acme.example', [jwk])).status).toBe(404);
  });

  it('forgets an assertion when it could not be used any more', async () => {
    const { privateKey, jwk } = await keyPair();
    await register(SOUTH, [jwk]);
    expect((await request(await assertion(privateKey, { jti: 'again' }))).status).toBe(200);
    clock.advance({ seconds: 299 });
    expect((await request(await assertion(privateKey, { jti: 'again' }))).status).toBe(400);
    clock.advance({ seconds: 1 });
    expect((await request(await assertion(privateKey, { jti: 'again' }))).status).toBe(200);
  });
});
