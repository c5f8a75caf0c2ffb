import { describe, expect, it, test } from '@jest/globals';
import { federatedAssertion } from '../credentials/signed-assertion.js';
import { jwtBearer } from '../credentials/token-grant.js';
import { privateKeyJwt } from '../credentials/private-key-jwt.js';
import { fromEnv, fromFile } from '../foundation/secret-source.js';
import { cyberArkIdentity } from '../identity-providers/cyberark-identity.js';
import { genericOAuth2 } from '../identity-providers/generic-oauth2.js';
import { checkOptions, type IdentityM2MOptions } from './module-options.js';
import { IdentityM2MConfigurationError } from './configuration-error.js';

const client = {
  identityProvider: cyberArkIdentity({ tenantUrl: 'https://acme.id.cyberark.cloud', applicationId: 'provisioning' }),
  clientId: 'svc@acme',
  clientSecret: 'a secret',
};
const guard = { issuers: [genericOAuth2({ issuer: 'https://id.example' })], audience: 'users-api' };

function faultsOf(options: unknown, production = false): Record<string, string> {
  try {
    checkOptions(options as IdentityM2MOptions, production);
    return {};
  } catch (error) {
    if (!(error instanceof IdentityM2MConfigurationError)) throw error;
    for (const { path, expected, found, line } of error.faults) {
      expect(error.message).toContain(line ?? `${path}: expected ${expected}; found ${found}`);
    }
    return Object.fromEntries(error.faults.map(({ path, found }) => [path, found]));
  }
}

describe('valid options', () => {
  it('become a configuration with every default', () => {
    const [configuration] = checkOptions({ client }, true).clients;
    expect(configuration).toMatchObject({
      name: 'default',
      allowedOrigins: ['https://acme.id.cyberark.cloud'],
      baseUrl: 'https://acme.id.cyberark.cloud',
      authentication: { method: 'client_secret_basic_raw' },
      parameters: {},
      grant: { grantType: 'client_credentials' },
      quarantinePolicy: { maxRefusals: 5, probeIntervalMs: 3600_000 },
      tokenRequestFormat: 'form',
      start: 'lazy',
      startTimeoutMs: 30_000,
      acquireTimeoutMs: 5000,
      tokenRequestTimeoutMs: 10_000,
      refreshPolicy: { skewMs: 30_000, outageBudgetMs: 300_000 },
      maxReplayBytes: 1_048_576,
      isTokenRejected: [401],
      unsafeExpiredTokenGraceMs: 0,
    });
  });

  test.each<[string, object]>([
    ['a client alone', { client }],
    ['several clients', { clients: { a: client, b: client, many: { perTenant: () => client, maxTenants: 5 } } }],
    [
      'a secret and the next',
      { client: { ...client, clientSecret: { current: 'a', next: fromEnv('NOT_SET_ANYWHERE') } } },
    ],
    ['a guard alone', { guard }],
    ['both', { client, guard }],
    [
      'every option of a client',
      {
        client: {
          ...client,
          clientAuthentication: 'client_secret_post',
          tokenRequestFormat: 'json',
          scope: ['a', 'b'],
          audience: 'billing',
          resource: ['https://billing.example/'],
          parameters: { tenant: 'acme' },
          grant: jwtBearer(fromFile('/run/secrets/token')),
          dpop: { algorithm: 'EdDSA' },
          allowedOrigins: ['https://billing.example/v2', 'https://*.audit.example:8443/'],
          http: { baseURL: 'https://billing.example/v2', timeout: 1000 },
          startSpreadMs: 1000,
          keepWarm: true,
          quarantine: { maxRefusals: 1, probeSeconds: 0 },
          readTokenResponse: () => undefined,
          tokenRequestHeaders: { 'x-api-key': 'k' },
          maxTokens: 2,
          revokeOnShutdown: true,
          start: 'require',
          startTimeoutMs: 1,
          acquireTimeoutMs: 1,
          tokenRequestTimeoutMs: 1,
          refresh: { skewSeconds: 0, outageBudgetSeconds: 0 },
          maxReplayBytes: 0,
          isTokenRejected: [401, 403],
          unsafeAllowHttp: false,
          unsafeExpiredTokenGraceSeconds: 600,
        },
      },
    ],
    [
      'every option of a guard',
      {
        guard: {
          ...guard,
          audience: ['a', 'b'],
          clients: ['x'],
          clockToleranceSeconds: 120,
          realm: 'users',
          unsafeAllowHttp: true,
        },
      },
    ],
  ])('%s', (_name, options) => expect(faultsOf(options, true)).toEqual({}));
});

describe('invalid options', () => {
  it('are all named at once, by path, with what was found', () => {
    expect(
      faultsOf({
        client: {
          identityProvider: cyberArkIdentity({ tenantUrl: 'acme', applicationId: 'a b' }),
          clientId: '',
          clientSecret: 42,
          scope: [],
          allowedOrigins: ['https://ok.example', 'billing', 'https://x.example/?path'],
          start: 'eager',
          acquireTimeoutMs: 0,
          refresh: { skewSeconds: -1, lead: 5 },
          retries: 3,
        },
        guard: { ...guard, audience: '', clockToleranceSeconds: 121, realm: 'a"b' },
        gaurd: {},
      }),
    ).toEqual({
      gaurd: 'an object',
      'client.identityProvider.tenantUrl': '"acme"',
      'client.identityProvider.applicationId': '"a b"',
      'client.clientId': 'an empty string',
      'client.clientSecret': 'a number',
      'client.scope': 'a list of 0',
      'client.allowedOrigins[1]': '"billing"',
      'client.allowedOrigins[2]': '"https://x.example/?path"',
      'client.start': '"eager"',
      'client.acquireTimeoutMs': '0',
      'client.refresh.skewSeconds': '-1',
      'client.refresh.lead': 'a number',
      'client.retries': 'a number',
      'guard.audience': 'an empty string',
      'guard.clockToleranceSeconds': '121',
      'guard.realm': 'a string',
    });
  });

  test.each<[string, unknown, Record<string, string>]>([
    ['neither client nor guard', {}, { client: 'neither' }],
    ['client null', { client: null }, { client: 'null' }],
    [
      'revocation at shutdown without an endpoint for it',
      {
        client: {
          ...client,
          identityProvider: genericOAuth2({ tokenEndpoint: 'https://idp.example/token' }),
          revokeOnShutdown: true,
        },
      },
      { 'client.revokeOnShutdown': 'true' },
    ],
    ['client a string', { client: 'x' }, { client: 'a string' }],
    ['clients null', { clients: null }, { clients: 'null' }],
    ['a client whose name is none', { clients: { 'billing service': client } }, { clients: 'an object' }],
    [
      'a secret that is too short to sign with',
      {
        client: {
          ...client,
          clientSecret: { current: 'x'.repeat(32), next: 'short' },
          clientAuthentication: 'client_secret_jwt',
        },
      },
      { 'client.clientSecret': 'a shorter string' },
    ],
    [
      'a grant and a proof of the client that are none',
      { client: { ...client, grant: { grantType: 'x' }, clientAuthentication: { method: 'x' } } },
      { 'client.grant': 'an object', 'client.clientAuthentication': 'an object' },
    ],
    ['NaN', { client: { ...client, acquireTimeoutMs: NaN } }, { 'client.acquireTimeoutMs': 'NaN' }],
    [
      'a secret that is not in the environment',
      { client: { ...client, clientSecret: fromEnv('NOT_SET_ANYWHERE') } },
      {
        'client.clientSecret': 'environment variable NOT_SET_ANYWHERE, which is not set',
      },
    ],
    [
      'a tenant that is not in the environment',
      {
        client: {
          ...client,
          identityProvider: cyberArkIdentity({ tenantUrl: undefined as unknown as string, applicationId: 'a' }),
        },
      },
      { 'client.identityProvider.tenantUrl': 'undefined' },
    ],
    [
      'a colon that raw Basic cannot carry',
      { client: { ...client, clientId: 'a:b' } },
      {
        'client.clientAuthentication': "'client_secret_basic_raw', and a clientId with a colon",
      },
    ],
    [
      'a base address that the token is not bound to',
      { client: { ...client, http: { baseURL: 'https://billing.example' } } },
      {
        'client.http.baseURL': '"https://billing.example"',
      },
    ],
    [
      'no secret if one is needed',
      { client: { ...client, clientSecret: undefined } },
      { 'client.clientSecret': 'nothing' },
    ],
    [
      'a secret if none is used',
      {
        client: { ...client, clientAuthentication: federatedAssertion(fromFile('/run/token')) },
      },
      { 'client.clientSecret': 'a secret' },
    ],
    [
      'a key that cannot sign',
      {
        client: { ...client, clientSecret: undefined, clientAuthentication: privateKeyJwt({ key: 'no PEM' }) },
      },
      { 'client.clientAuthentication': 'a key that cannot sign: not a private key, or an unsupported kind of key' },
    ],
    [
      'no client authentication with client credentials',
      {
        client: { ...client, clientSecret: undefined, clientAuthentication: 'none' },
      },
      { 'client.clientAuthentication': "'none'" },
    ],
    [
      'parameters that are not for callers',
      {
        client: {
          ...client,
          parameters: { grant_type: 'password' },
          resource: 'billing',
          dpop: { algorithm: 'HS256' },
        },
      },
      { 'client.parameters.grant_type': 'a string', 'client.resource': 'a string', 'client.dpop': 'an object' },
    ],
    [
      'wrong members beside misspelt options whose names begin alike',
      {
        client: { ...client, allowedOrigins: ['ftp://a.example'], allowedOriginsX: [] },
        guard: { ...guard, clients: [{ clientId: 'a', issuer: 'https://no.example' }], clientsX: [] },
      },
      {
        'client.allowedOriginsX': 'a list of 0',
        'client.allowedOrigins[0]': '"ftp://a.example"',
        'guard.clientsX': 'a list of 0',
        'guard.clients[0].issuer': '"https://no.example"',
      },
    ],
    ['the same name twice', { client, clients: { default: client } }, { 'clients.default': 'both' }],
    [
      'a client of many that is wrong',
      { clients: { billing: { ...client, clientId: '' }, tenants: { perTenant: 'x', max: 1 } } },
      {
        'clients.billing.clientId': 'an empty string',
        'clients.tenants.perTenant': 'a string',
        'clients.tenants.max': 'a number',
      },
    ],
    [
      'an identity provider without any address',
      { client: { ...client, identityProvider: genericOAuth2({}) } },
      {
        'client.identityProvider.issuer': 'neither',
      },
    ],
    [
      'an address with a password in it',
      {
        client: { ...client, identityProvider: genericOAuth2({ tokenEndpoint: 'https://u:hunter2@id.example/token' }) },
      },
      { 'client.identityProvider.tokenEndpoint': 'an address with user name or password' },
    ],
    [
      'an endpoint with a fragment',
      { client: { ...client, identityProvider: genericOAuth2({ tokenEndpoint: 'https://id.example/t?p=b2c#x' }) } },
      { 'client.identityProvider.tokenEndpoint': '"https://id.example/t?p=b2c#x"' },
    ],
    [
      'an issuer with a query',
      { client: { ...client, identityProvider: genericOAuth2({ issuer: 'https://id.example/?a=b' }) } },
      {
        'client.identityProvider.issuer': '"https://id.example/?a=b"',
      },
    ],
    ['no issuers', { guard: { ...guard, issuers: [] } }, { 'guard.issuers': 'a list of 0' }],
    [
      'an issuer twice',
      { guard: { ...guard, issuers: [guard.issuers[0], guard.issuers[0]] } },
      {
        'guard.issuers[1].issuer': 'a duplicate',
      },
    ],
    [
      'an issuer without a name',
      { guard: { ...guard, issuers: [genericOAuth2({ tokenEndpoint: 'https://id.example/t' })] } },
      {
        'guard.issuers[0].issuer': 'nothing',
      },
    ],
    [
      'a CyberArk issuer without naming the machines',
      { guard: { ...guard, issuers: [client.identityProvider] } },
      {
        'guard.clients': 'nothing',
      },
    ],
  ])('%s', (_name, options, faults) => expect(faultsOf(options)).toEqual(faults));

  test.each<[string, unknown, Record<string, string>]>([
    ['no object at all', undefined, { options: 'nothing' }],
    ['a list', [], { options: 'a list of 0' }],
    ['a scope that is none', { client: { ...client, scope: 'a"b  c' } }, { 'client.scope': '"a\\"b  c"' }],
    [
      'an order of interceptors that would drop the token',
      {
        client: { ...client, http: { transitional: { legacyInterceptorReqResOrdering: false } } },
      },
      { 'client.http.transitional': 'an object' },
    ],
    [
      'a tenant with a path',
      {
        client: {
          ...client,
          identityProvider: cyberArkIdentity({ tenantUrl: 'https://acme.id.cyberark.cloud/my', applicationId: 'a' }),
        },
      },
      { 'client.identityProvider.tenantUrl': '"https://acme.id.cyberark.cloud/my"' },
    ],
    [
      'a tenant without application',
      {
        client: {
          ...client,
          identityProvider: cyberArkIdentity({ tenantUrl: 'https://acme.id.cyberark.cloud' } as never),
        },
      },
      { 'client.identityProvider.applicationId': 'nothing' },
    ],
    [
      'wrong options of a preset',
      {
        client: {
          ...client,
          identityProvider: genericOAuth2({
            tokenEndpoint: 'https://id.example/t',
            clientSecretMethod: 'client_secret_bsic',
            jwks: 1,
          } as never),
        },
      },
      {
        'client.identityProvider.clientSecretMethod': '"client_secret_bsic"',
        'client.identityProvider.jwks': 'a number',
      },
    ],
    [
      'a profile that accepts shared secrets or none',
      {
        guard: {
          ...guard,
          issuers: [
            genericOAuth2({
              issuer: 'https://id.example',
              accessToken: {
                algorithms: ['HS256', 'none'],
                clientIdClaims: [],
                isMachine: true,
                tokenTypes: ['JWT'],
              } as never,
            }),
          ],
        },
      },
      {
        'guard.issuers[0].accessToken.algorithms': 'a list of 2',
        'guard.issuers[0].accessToken.clientIdClaims': 'a list of 0',
        'guard.issuers[0].accessToken.isMachine': 'true',
        'guard.issuers[0].accessToken.tokenTypes': 'a list of 1',
      },
    ],
    ['no clients in a list of clients', { guard: { ...guard, clients: [] } }, { 'guard.clients': 'a list of 0' }],
    ['a blank client', { guard: { ...guard, clients: [' '] } }, { 'guard.clients[0]': 'a string' }],
    ['a client in place of a list', { guard: { ...guard, clients: 'a' } }, { 'guard.clients': 'a string' }],
    [
      'a client that is listed twice, so that its end would be a matter of order',
      { guard: { ...guard, clients: [{ clientId: 'a', until: '2020-01-01' }, 'b', 'a'] } },
      { 'guard.clients[2]': 'a duplicate' },
    ],
    [
      'a day that is in no calendar',
      { guard: { ...guard, clients: [{ clientId: 'a', until: '2027-02-30T08:00:00+02:00' }] } },
      { 'guard.clients[0].until': 'a string' },
    ],
    [
      'keys over plain http, of a preset that was led elsewhere',
      { guard: { ...guard, issuers: [{ ...guard.issuers[0], jwksUri: 'http://keys.example' }] } },
      { 'guard.issuers[0].jwksUri': '"http://keys.example"' },
    ],
    [
      'a token endpoint over plain http, of a provider made by hand',
      { client: { ...client, identityProvider: { ...client.identityProvider, tokenEndpoint: 'http://id.example/t' } } },
      { 'client.identityProvider.tokenEndpoint': '"http://id.example/t"' },
    ],
    [
      'a guard with everything wrong at once',
      {
        guard: {
          ...guard,
          audience: [],
          clients: [{ clientId: 'a', scopes: ['a b'], until: 'tomorrow' }],
          introspection: [{ clientId: '' }],
          revocations: {},
          maxTokenLifetimeSeconds: 0,
          verifiedTokens: { maxEntries: -1, maxBytes: NaN, max: 1 },
        } as never,
      },
      {
        'guard.audience': 'a list of 0',
        'guard.clients[0].scopes': 'a list of 1',
        'guard.clients[0].until': 'a string',
        'guard.introspection[0].clientId': 'an empty string',
        'guard.revocations': 'an object',
        'guard.maxTokenLifetimeSeconds': '0',
        'guard.verifiedTokens.maxEntries': '-1',
        'guard.verifiedTokens.maxBytes': 'NaN',
        'guard.verifiedTokens.max': 'a number',
      },
    ],
    [
      'introspection without credentials, of an unknown issuer, and of two issuers at once',
      {
        guard: {
          ...guard,
          issuers: [...guard.issuers, genericOAuth2({ issuer: 'https://other.example' })],
          introspection: [
            { issuer: 'https://id.example', clientId: 'a' },
            { issuer: 'https://nobody.example', clientId: 'a', clientSecret: 'hunter2', authenticate: () => ({}) },
            { issuer: 'https://id.example', signedAnswers: true, authenticate: () => ({}) },
            { clientId: 'a', clientSecret: 'hunter2', opaqueTokens: false },
          ],
        } as never,
      },
      {
        'guard.introspection[0].clientSecret': 'nothing that authenticates the guard',
        'guard.introspection[1].issuer': '"https://nobody.example"',
        'guard.introspection[1].authenticate': 'both',
        'guard.introspection[2].issuer': 'a duplicate',
        'guard.introspection[2].clientId': 'nothing',
        'guard.introspection[3].issuer': 'nothing',
        'guard.introspection[2].opaqueTokens': 'a second issuer',
      },
    ],
    [
      'a plain secret for introspection with client_secret_jwt',
      {
        guard: {
          ...guard,
          issuers: [genericOAuth2({ issuer: 'https://id.example', clientSecretMethod: 'client_secret_jwt' })],
          introspection: [{ clientId: 'a', clientSecret: 'hunter2' }],
        },
      },
      { 'guard.introspection[0].clientSecret': "a secret, and 'client_secret_jwt'" },
    ],
    [
      'secrets for introspection that cannot be read, or that copying has changed',
      {
        guard: {
          ...guard,
          issuers: [
            ...guard.issuers,
            ...['b', 'c'].map((name) => genericOAuth2({ issuer: `https://${name}.example` })),
          ],
          introspection: [
            { issuer: 'https://id.example', clientId: 'a', clientSecret: fromEnv('NOT_SET_ANYWHERE') },
            { issuer: 'https://b.example', clientId: 'a', clientSecret: fromFile(''), opaqueTokens: false },
            { issuer: 'https://c.example', clientId: 'a', clientSecret: 'hunter2\n', opaqueTokens: false },
          ],
        },
      },
      {
        'guard.introspection[0].clientSecret': 'environment variable NOT_SET_ANYWHERE, which is not set',
        'guard.introspection[1].clientSecret': 'a file without a path',
        'guard.introspection[2].clientSecret': 'a string that ends with a line break',
      },
    ],
    [
      'a client without an issuer if there are several',
      {
        guard: {
          ...guard,
          issuers: [...guard.issuers, genericOAuth2({ issuer: 'https://other.example' })],
          clients: [
            'a',
            { clientId: 'b', issuer: 'https://other.example' },
            { clientId: 'c', issuer: 'https://id.example/' },
          ],
        },
      },
      { 'guard.clients[0].issuer': 'nothing', 'guard.clients[2].issuer': '"https://id.example/"' },
    ],
  ])('%s', (_name, options, faults) => expect(faultsOf(options)).toEqual(faults));

  it('treat an undefined profile member as absent', () => {
    const accessToken = { requiredClaims: undefined, isMachine: undefined };
    const issuers = [genericOAuth2({ issuer: 'https://id.example', accessToken })];
    expect(checkOptions({ guard: { ...guard, issuers } }, true).guard?.issuers[0]?.accessToken.requiredClaims).toEqual([
      'sub',
      'iat',
      'client_id',
    ]);
  });

  it.each([
    [{ clinet: client }, 'options: unknown option "clinet"; did you mean "client"?'],
    [
      { client: { ...client, aquireTimeoutMs: 1 } },
      'client: unknown option "aquireTimeoutMs"; did you mean "acquireTimeoutMs"?',
    ],
    [
      { client: { ...client, refresh: { skewSecond: 1 } } },
      'client.refresh: unknown option "skewSecond"; did you mean "skewSeconds"?',
    ],
    [
      { guard: { ...guard, introspection: [{ clientid: 'a' }] } },
      'guard.introspection[0]: unknown option "clientid"; did you mean "clientId"?',
    ],
    [
      { client: { ...client, retries: 3 }, zzz: 1 },
      'options: unknown option "zzz"\n  client: unknown option "retries"',
    ],
    [{ client: { ...client, audiences: ['a'] } }, 'client: unknown option "audiences"; did you mean "audience"?'],
  ])('lead to a suggestion for a misspelt option: %#', (options, line) => {
    expect(() => checkOptions(options as IdentityM2MOptions, false)).toThrow(
      expect.objectContaining({ message: expect.stringContaining(line) }),
    );
  });

  it.each([
    [
      { client: { ...client, allowedOrigins: [] } },
      'client.allowedOrigins: expected a list of one or more origins, such as https://billing.example; found a list of 0',
    ],
    [
      { client: { ...client, scope: [] } },
      'client.scope: expected a scope, or a list of one or more; found a list of 0',
    ],
    [
      { client, clients: { default: client } },
      'clients.default: expected another name, because the option client is the client named default; found both',
    ],
  ])('expect nothing that was found: %#', (options, line) => {
    expect(() => checkOptions(options, false)).toThrow(
      expect.objectContaining({ message: expect.stringContaining(line) }),
    );
  });

  it('do not show values that may be secret', () => {
    const secret = 'hunter2-hunter2';
    const numeric = { ...client, clientSecret: 8675309, clientSecrt: 8675309 };
    expect(JSON.stringify(faultsOf({ client: numeric }))).not.toContain('8675309');
    const misplaced = {
      ...client,
      clientId: ' ',
      clientSecret: [secret],
      [secret]: secret,
      refresh: secret,
      http: secret,
    };
    try {
      checkOptions({ client: misplaced as unknown as typeof client }, false);
      throw new Error('unreachable');
    } catch (error) {
      expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
      expect((error as Error).message.replaceAll(`unknown option "${secret}"`, '')).not.toContain(secret);
    }
  });
});

describe('plain http', () => {
  const loopback = (unsafeAllowHttp?: boolean) => ({
    client: {
      ...client,
      identityProvider: cyberArkIdentity({ tenantUrl: 'http://127.0.0.1:4400', applicationId: 'a' }),
      ...(unsafeAllowHttp && { unsafeAllowHttp }),
    },
  });
  const remote = (unsafeAllowHttp?: boolean) => ({
    client: { ...client, allowedOrigins: ['http://api.example'], ...(unsafeAllowHttp && { unsafeAllowHttp }) },
  });

  it('is allowed for loopback during development, and elsewhere only by the unsafe option', () => {
    expect(faultsOf(loopback())).toEqual({});
    expect(faultsOf(loopback(), true)).toEqual({ 'client.identityProvider.tenantUrl': '"http://127.0.0.1:4400"' });
    expect(faultsOf(loopback(true), true)).toEqual({});
    expect(faultsOf(remote())).toEqual({ 'client.allowedOrigins[0]': '"http://api.example"' });
    expect(faultsOf(remote(true), true)).toEqual({});
  });

  test.each([
    'http://127.0.0.1',
    'http://127.9.8.7:1',
    'http://localhost:4400',
    'http://[::1]:4400',
    'http://tenant.localhost',
  ])('counts %s as loopback', (origin) =>
    expect(faultsOf({ client: { ...client, allowedOrigins: [origin] } })).toEqual({}),
  );

  test.each([
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'http://0.0.0.0',
    'http://10.0.0.1',
    'http://[::2]',
  ])('does not count %s as loopback', (origin) =>
    expect(faultsOf({ client: { ...client, allowedOrigins: [origin] } })).toHaveProperty(['client.allowedOrigins[0]']),
  );
});
