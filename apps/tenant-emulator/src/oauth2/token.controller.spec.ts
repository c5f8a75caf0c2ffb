import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeProtectedHeader } from 'jose';
import { basic, SECRETS } from '../testing/tenant-client.js';
import { startTestTenant } from '../testing/test-tenant.js';
import { clientCredentialsOf } from './request-parameters.js';
import { grantedScopes } from './token.controller.js';

const CLI = 'svc-cli@acme.example';
const PROVISIONING = 'svc-provisioning@acme.example';
const REPORTING = 'svc-reporting@acme.example';
const GRANT = { grant_type: 'client_credentials' };

const { tenant, client, clock, verified } = await startTestTenant();

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

  it('of an application with opaque tokens has no content', async () => {
    expect(await client.token('opaque-api', CLI)).toMatch(/^[\w-]{43}$/);
  });

  it('is not the same string twice, not even within a second', async () => {
    const tokens = await Promise.all(Array.from({ length: 5 }, () => client.token('internal-api', CLI)));
    expect(new Set(tokens).size).toBe(5);
    for (const token of tokens) await verified(token, 'internal-api');
  });

  it('is issued under a path in any case', async () => {
    const { status } = await client.postForm('/oauth2/TOKEN/internal-api', GRANT, basic(CLI, SECRETS[CLI]));
    expect(status).toBe(200);
  });

  it('is issued to a login name in any case, and carries the stored name', async () => {
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

  it('reads Basic raw: a secret with colons, plus, percent and letters beyond ASCII', async () => {
    const { status } = await client.postForm(
      '/OAuth2/Token/provisioning',
      GRANT,
      basic(PROVISIONING, SECRETS[PROVISIONING]),
    );
    expect(status).toBe(200);
  });

  it('reads id and secret from the form', async () => {
    const { status } = await client.postForm('/OAuth2/Token/provisioning', withSecretInBody);
    expect(status).toBe(200);
  });

  it('rejects a form-encoded Basic header as a wrong secret', async () => {
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

  it('splits Basic at the first colon and decodes nothing, for any secret', () => {
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

describe('a token request is rejected', () => {
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

  it('with JSON, like one without grant type', async () => {
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
  it('are all that the client may get if the request names none', async () => {
    expect((await client.requestToken('internal-api', REPORTING)).json?.scope).toBe('users.read');
    expect((await client.requestToken('internal-api', CLI, { scope: ' ' })).json?.scope).toBe('users.read users.write');
  });

  it('are the requested ones, once each and in their order', async () => {
    const { json } = await client.requestToken('internal-api', CLI, { scope: 'users.write  users.read users.write' });
    expect(json?.scope).toBe('users.write users.read');
  });

  it('never exceed those of the application and the client', () => {
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
