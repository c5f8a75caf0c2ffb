import { describe, expect, it, test } from '@jest/globals';
import {
  auth0,
  cognito,
  createAccessTokenVerifier,
  cyberArkIdentity,
  duende,
  entraId,
  genericOAuth2,
  type IdentityProvider,
  keycloak,
  kubernetesServiceAccounts,
  okta,
} from 'nestjs-identity-m2m';
import { forge, forgingKey } from '../../../../test/support/forgeable-issuer.js';
import { ManualClock } from '../testing/manual-clock.js';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const key = forgingKey('RS256', 'k');
const TENANT = '8a3f6a52-93f1-4b70-8e0b-4e5c3f7f2a11';

async function outcome(
  provider: IdentityProvider,
  claims: object,
  typ: string | undefined,
  clients: readonly string[] | undefined,
  route?: { readonly scopes: readonly string[]; readonly clients: undefined },
): Promise<string> {
  const issuers = [{ ...provider, jwksUri: undefined, jwks: { keys: [key.jwk] } }];
  const verifier = createAccessTokenVerifier(
    { issuers, audience: 'users-api', ...(clients && { clients }) },
    { clock: new ManualClock(new Date(NOW * 1000)), production: true },
  );
  const base = { iss: provider.issuer, aud: 'users-api', iat: NOW, exp: NOW + 300 };
  const verdict = await verifier.verify(forge(key, { ...base, ...claims }, { typ }), route);
  verifier.close();
  return verdict.ok ? `accepted as ${verdict.caller.clientId}` : verdict.reason;
}

interface Preset {
  readonly provider: IdentityProvider;
  readonly issuer: string;
  readonly typ: string | undefined;
  readonly clients: readonly string[] | undefined;
  readonly machine: Readonly<Record<string, unknown>>;
  readonly clientId: string;
  /** What a token of this provider is like that must not come through. */
  readonly refused: readonly (readonly [name: string, claims: object, reason: string])[];
}

const entraMachine = {
  tid: TENANT,
  ver: '2.0',
  azp: 'app',
  azpacr: '1',
  oid: 'o',
  sub: 'o',
  roles: ['Users.Read.All'],
};

const presets: Readonly<Record<string, Preset>> = {
  'CyberArk Identity': {
    provider: cyberArkIdentity({ tenantUrl: 'https://acme.id.cyberark.cloud', applicationId: 'api' }),
    issuer: 'https://acme.id.cyberark.cloud/api/',
    typ: 'JWT',
    clients: ['svc@acme'],
    machine: { unique_name: 'svc@acme', sub: 'a-uuid', scope: 'users', app_id: 'api', auth_time: NOW },
    clientId: 'svc@acme',
    refused: [
      ['an ID token', { scope: undefined }, 'claim_missing'],
      ['an ID token with a nonce', { nonce: 'n' }, 'foreign_token'],
      ['a client or person that is not named', { unique_name: 'jane@acme' }, 'client_not_allowed'],
    ],
  },
  Keycloak: {
    provider: keycloak({ url: 'https://id.example/auth/', realm: 'acme' }),
    issuer: 'https://id.example/auth/realms/acme',
    typ: 'JWT',
    clients: ['Billing'],
    machine: {
      typ: 'Bearer',
      azp: 'Billing',
      client_id: 'Billing',
      preferred_username: 'service-account-billing',
      sub: 'a-uuid',
      scope: 'email profile',
    },
    clientId: 'Billing',
    refused: [
      ['a refresh token', { typ: 'Refresh' }, 'foreign_token'],
      ['an ID token', { typ: 'ID' }, 'foreign_token'],
      ['a person', { preferred_username: 'jane' }, 'not_a_machine'],
      ['a person of a similar name', { preferred_username: 'service-account-other' }, 'not_a_machine'],
      ['a person with a session', { sid: 's' }, 'not_a_machine'],
      [
        'a person whose token a client has exchanged',
        { client_id: undefined, preferred_username: undefined, sub: 'jane' },
        'not_a_machine',
      ],
      ['two clients', { client_id: 'other' }, 'client_ambiguous'],
      ['an older two clients', { clientId: 'other' }, 'client_ambiguous'],
    ],
  },
  Auth0: {
    provider: auth0({ domain: 'Acme.eu.auth0.com' }),
    issuer: 'https://acme.eu.auth0.com/',
    typ: 'at+jwt',
    clients: undefined,
    machine: { azp: 'abc', sub: 'abc@clients', gty: 'client-credentials', scope: 'read' },
    clientId: 'abc',
    refused: [
      ['a person', { sub: 'auth0|jane' }, 'not_a_machine'],
      ['a person by password', { gty: 'password' }, 'not_a_machine'],
      ['another client’s subject', { sub: 'other@clients' }, 'not_a_machine'],
    ],
  },
  Okta: {
    provider: okta({ domain: 'acme.okta.com' }),
    issuer: 'https://acme.okta.com/oauth2/default',
    typ: undefined,
    clients: undefined,
    machine: { cid: 'abc', sub: 'abc', scp: ['read'], ver: 1 },
    clientId: 'abc',
    refused: [
      ['a person', { sub: 'jane@acme', uid: 'u' }, 'not_a_machine'],
      ['a person named like the client', { uid: 'u' }, 'not_a_machine'],
    ],
  },
  'Entra ID, v2': {
    provider: entraId({ tenantId: TENANT }),
    issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
    typ: 'JWT',
    clients: ['app'],
    machine: entraMachine,
    clientId: 'app',
    refused: [
      ['a person', { scp: 'Users.Read', sub: 'pairwise' }, 'not_a_machine'],
      ['a person without scopes', { sub: 'pairwise' }, 'not_a_machine'],
      ['what says that it is a person’s', { idtyp: 'user' }, 'not_a_machine'],
      ['a client that did not prove itself', { azpacr: '0' }, 'not_a_machine'],
      ['another tenant', { tid: 'other' }, 'foreign_token'],
      ['another version', { ver: '1.0' }, 'foreign_token'],
    ],
  },
  'Entra ID, v1': {
    provider: entraId({ tenantId: TENANT, tokenVersion: 'v1' }),
    issuer: `https://sts.windows.net/${TENANT}/`,
    typ: 'JWT',
    clients: ['app'],
    machine: { tid: TENANT, ver: '1.0', appid: 'app', idtyp: 'app', oid: 'o', sub: 'o', roles: ['Users.Read.All'] },
    clientId: 'app',
    refused: [['a person', { scp: 'Users.Read', idtyp: undefined }, 'not_a_machine']],
  },
  Duende: {
    provider: duende({ issuer: 'https://id.example' }),
    issuer: 'https://id.example',
    typ: 'at+jwt',
    clients: undefined,
    machine: { client_id: 'abc', scope: ['read', 'write'] },
    clientId: 'abc',
    refused: [['a person', { sub: '88421113' }, 'not_a_machine']],
  },
  Cognito: {
    provider: cognito({ userPoolId: 'eu-west-1_AbCdEf123' }),
    issuer: 'https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123',
    typ: undefined,
    clients: ['abc'],
    machine: { aud: undefined, token_use: 'access', client_id: 'abc', sub: 'abc', scope: 'api/read' },
    clientId: 'abc',
    refused: [
      ['an ID token', { token_use: 'id' }, 'foreign_token'],
      ['a person', { sub: 'a-uuid', username: 'jane' }, 'not_a_machine'],
      ['a token for another API, should it say so', { aud: 'other' }, 'audience_mismatch'],
    ],
  },
  Kubernetes: {
    provider: kubernetesServiceAccounts({ issuer: 'https://kubernetes.default.svc.cluster.local' }),
    issuer: 'https://kubernetes.default.svc.cluster.local',
    typ: undefined,
    clients: ['system:serviceaccount:shop:billing'],
    machine: { aud: ['users-api'], sub: 'system:serviceaccount:shop:billing', 'kubernetes.io': { namespace: 'shop' } },
    clientId: 'system:serviceaccount:shop:billing',
    refused: [
      ['a node', { sub: 'system:node:a' }, 'not_a_machine'],
      ['an old token without an end', { exp: undefined }, 'time_claim_malformed'],
      ['another account', { sub: 'system:serviceaccount:shop:other' }, 'client_not_allowed'],
    ],
  },
  'RFC 9068': {
    provider: genericOAuth2({ issuer: 'https://id.example' }),
    issuer: 'https://id.example',
    typ: 'at+jwt',
    clients: undefined,
    machine: { client_id: 'abc', sub: 'abc' },
    clientId: 'abc',
    refused: [
      ['a person', { sub: 'jane' }, 'not_a_machine'],
      ['no subject', { sub: undefined }, 'claim_missing'],
    ],
  },
};

describe.each(Object.entries(presets))(
  'tokens of %s',
  (_name, { provider, issuer, typ, clients, machine, clientId, refused }) => {
    it('of machines are accepted, with the client identifier that the issuer uses', async () => {
      expect(provider.issuer).toBe(issuer);
      expect(provider.faults('never')).toEqual([]);
      expect(await outcome(provider, machine, typ, clients)).toBe(`accepted as ${clientId}`);
    });

    test.each(refused)('are refused for %s', async (_what, claims, reason) =>
      expect(await outcome(provider, { ...machine, ...claims }, typ, clients)).toBe(reason),
    );

    it('are refused for callers that act on behalf of others', async () => {
      expect(await outcome(provider, { ...machine, act: { sub: 'x' } }, typ, clients)).toBe('delegated_token');
    });
  },
);

it('recognises a service account of Keycloak by its name or by its client, as each version writes it', async () => {
  const { provider, typ, clients, machine } = presets.Keycloak!;
  const named = { client_id: undefined };
  const repeated = { preferred_username: undefined };
  const olderRepeated = { preferred_username: undefined, client_id: undefined, clientId: 'Billing' };
  for (const claims of [named, repeated, olderRepeated]) {
    expect(await outcome(provider, { ...machine, ...claims }, typ, clients)).toBe('accepted as Billing');
  }
});

it('compares the subject with the configured client claims, if a server names the client in its own way', async () => {
  const provider = genericOAuth2({ issuer: 'https://id.example', accessToken: { clientIdClaims: ['appid'] } });
  const of = (claims: object) => outcome(provider, claims, 'at+jwt', undefined);
  expect(await of({ sub: 'app', appid: 'app' })).toBe('accepted as app');
  expect(await of({ sub: 'jane', appid: 'app' })).toBe('not_a_machine');
});

it('does not treat a token without subject and client as that of a machine', async () => {
  const accessToken = { clientIdClaims: ['azp'], requiredClaims: ['iat'] };
  const provider = genericOAuth2({ issuer: 'https://id.example', accessToken });
  expect(await outcome(provider, { azp: 'web-app' }, 'at+jwt', undefined)).toBe('not_a_machine');
  const { isMachine } = genericOAuth2({ issuer: 'https://id.example' }).accessToken;
  expect(isMachine!({})).toBe(false);
});

it('knows the issuer of Entra ID, version 1, in each national cloud', () => {
  const issuerAt = (host?: string) => entraId({ tenantId: TENANT, tokenVersion: 'v1', ...(host && { host }) }).issuer;
  expect(issuerAt()).toBe(`https://sts.windows.net/${TENANT}/`);
  expect(issuerAt('login.microsoftonline.us')).toBe(`https://sts.windows.net/${TENANT}/`);
  expect(issuerAt('login.partner.microsoftonline.cn')).toBe(`https://sts.chinacloudapi.cn/${TENANT}/`);
});

it('treats app roles of Entra ID and lists of scopes as scopes', async () => {
  const needs = (...scopes: string[]) => ({ scopes, clients: undefined });
  const { provider, typ, clients } = presets['Entra ID, v2']!;
  expect(await outcome(provider, entraMachine, typ, clients, needs('Users.Read.All'))).toBe('accepted as app');
  expect(await outcome(provider, entraMachine, typ, clients, needs('Users.Read'))).toBe('scope_insufficient');
  const oktaPreset = presets.Okta!;
  expect(await outcome(oktaPreset.provider, oktaPreset.machine, undefined, undefined, needs('read'))).toBe(
    'accepted as abc',
  );
});

describe('the options of presets', () => {
  const faultsOf = (provider: IdentityProvider) => provider.faults('never').map(({ path }) => path);

  test.each<readonly [string, () => IdentityProvider, readonly string[]]>([
    ['Keycloak without a realm', () => keycloak({ url: 'https://id.example', realm: '' }), ['realm']],
    ['Keycloak without an address', () => keycloak({ url: undefined, realm: 'acme' } as never), ['url']],
    ['Keycloak over plain http', () => keycloak({ url: 'http://id.example', realm: 'a/b' }), ['realm', 'url']],
    ['Auth0 with an address', () => auth0({ domain: 'https://acme.auth0.com' }), ['domain']],
    ['Auth0 without a domain', () => auth0({ domain: undefined } as never), ['domain']],
    [
      'Okta with another path',
      () => okta({ domain: 'acme.okta.com', authorizationServerId: 'a/b' }),
      ['authorizationServerId'],
    ],
    ['Entra ID for all tenants', () => entraId({ tenantId: 'common' }), ['tenantId']],
    ['Entra ID of version 3', () => entraId({ tenantId: TENANT, tokenVersion: 'v3' as never }), ['tokenVersion']],
    ['Duende without an issuer', () => duende({ issuer: '' }), ['issuer']],
    ['Kubernetes without an issuer', () => kubernetesServiceAccounts({} as never), ['issuer']],
    ['Cognito without a region', () => cognito({ userPoolId: 'AbCdEf123' }), ['userPoolId']],
    [
      'Kubernetes with keys nowhere',
      () => kubernetesServiceAccounts({ issuer: 'https://k8s', jwksFile: '' }),
      ['jwksFile'],
    ],
    [
      'an API of no name',
      () => genericOAuth2({ issuer: 'https://id.example', accessToken: { hasNoAudience: true } as never }),
      ['accessToken.hasNoAudience'],
    ],
    [
      'keys at two places',
      () => genericOAuth2({ issuer: 'https://id.example', jwksFile: '/keys', jwksUri: 'https://id.example/keys' }),
      ['jwksUri'],
    ],
    [
      'a preset with an option that it does not have',
      () => duende({ issuer: 'https://id.example', x: 1 } as never),
      ['x'],
    ],
  ])('are checked: %s', (_name, provider, paths) => expect(faultsOf(provider())).toEqual(paths));

  it('require named clients if any client can get a token for any API', () => {
    for (const { provider, clients } of Object.values(presets)) {
      const create = () =>
        createAccessTokenVerifier({ issuers: [provider], audience: 'a' }, { production: true }).close();
      if (clients) expect(create).toThrow(/options\.clients: expected the clients to allow/);
      else expect(create).not.toThrow();
    }
  });
});
