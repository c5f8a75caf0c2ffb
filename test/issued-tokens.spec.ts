import { request as httpRequest, type Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, type INestApplication, UseGuards } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import fc from 'fast-check';
import {
  auth0,
  Caller,
  cognito,
  createAccessTokenVerifier,
  cyberArkIdentity,
  duende,
  entraId,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MModule,
  type IdentityProvider,
  AccessDecisions,
  type InboundEvent,
  keycloak,
  kubernetesServiceAccounts,
  M2M_CLOCK,
  M2MAuthGuard,
  type MachineCaller,
  okta,
  type Verdict,
} from 'nestjs-identity-m2m';
// From inside: the readers of all transports are tried by one table.
import { redactToken } from '../libs/identity-m2m/src/carriers/microservices/authorized-call.js';
import { bearerCredential, type Credential } from '../libs/identity-m2m/src/guard/credential.js';
import { readHttpCredential } from '../libs/identity-m2m/src/guard/transports/http.js';
import { kafkaCredential } from '../libs/identity-m2m/src/guard/transports/kafka.js';
import { mqttCredential, natsCredential, packetCredential } from '../libs/identity-m2m/src/guard/transports/message.js';
import { rabbitmqCredential } from '../libs/identity-m2m/src/guard/transports/rabbitmq.js';
import { forge, ForgeableIssuer, forgingKey } from './support/forgeable-issuer.js';
import { json } from './support/http-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const key = forgingKey('RS256', 'k');
const stranger = forgingKey('RS256', 'k');
const ISSUER = 'https://id.example';

type Claims = Readonly<Record<string, unknown>>;

/** Claims of a plain token, as RFC 9068 has it. */
const plain: Claims = {
  iss: ISSUER,
  aud: 'api',
  sub: 'svc',
  client_id: 'svc',
  scope: 'users.read',
  iat: NOW,
  exp: NOW + 300,
};

async function verify(
  provider: IdentityProvider,
  claims: Claims,
  { typ = 'at+jwt', by = key, nowSeconds = NOW, ...options }: Partial<GuardOptions> & VerifyOptions = {},
): Promise<Verdict> {
  const issuers = [{ ...provider, jwksUri: undefined, jwks: { keys: [key.jwk] } }];
  const clock = new ManualClock(new Date(nowSeconds * 1000));
  const verifier = createAccessTokenVerifier({ issuers, audience: 'api', ...options }, { clock, production: true });
  const verdict = await verifier.verify(forge(by, { iss: provider.issuer, ...claims }, { typ }));
  verifier.close();
  return verdict;
}

interface VerifyOptions {
  readonly typ?: string | undefined;
  readonly by?: typeof key;
  readonly nowSeconds?: number;
}

const outcome = (verdict: Verdict) => (verdict.ok ? 'accepted' : `${verdict.reason} ${verdict.claim ?? ''}`.trim());
const generic = genericOAuth2({ issuer: ISSUER });
const TENANT = '8a3f6a52-93f1-4b70-8e0b-4e5c3f7f2a11';

/** A machine's token at each provider, with every optional claim that its kind of provider may write. */
const providers: Readonly<Record<string, { provider: IdentityProvider; claims: Claims; typ?: string }>> = {
  'a server by the RFCs': { provider: generic, claims: plain },
  Auth0: {
    provider: auth0({ domain: 'acme.eu.auth0.com' }),
    typ: 'JWT',
    claims: { aud: 'api', sub: 'svc@clients', azp: 'svc', gty: 'client-credentials', iat: NOW, exp: NOW + 300 },
  },
  Cognito: {
    provider: cognito({ userPoolId: 'eu-west-1_AbCdEf123' }),
    typ: 'JWT',
    claims: { sub: 'svc', client_id: 'svc', token_use: 'access', scope: 'a/b', iat: NOW, exp: NOW + 300 },
  },
  'CyberArk Identity': {
    provider: cyberArkIdentity({ tenantUrl: 'https://acme.id.cyberark.cloud', applicationId: 'api' }),
    typ: 'JWT',
    claims: { aud: 'api', unique_name: 'svc', sub: 'a-uuid', scope: 'users', iat: NOW, exp: NOW + 300 },
  },
  Duende: { provider: duende({ issuer: ISSUER }), claims: { ...plain, sub: undefined, scope: ['users.read'] } },
  'Entra ID': {
    provider: entraId({ tenantId: TENANT }),
    typ: 'JWT',
    claims: {
      aud: 'api',
      tid: TENANT,
      ver: '2.0',
      azp: 'svc',
      azpacr: '1',
      oid: 'o',
      sub: 'o',
      roles: ['Users.Read'],
      iat: NOW,
      exp: NOW + 300,
    },
  },
  Keycloak: {
    provider: keycloak({ url: ISSUER, realm: 'r' }),
    typ: 'JWT',
    claims: {
      aud: 'api',
      typ: 'Bearer',
      azp: 'svc',
      client_id: 'svc',
      preferred_username: 'service-account-svc',
      sub: 'a-uuid',
      scope: 'email',
      iat: NOW,
      exp: NOW + 300,
    },
  },
  Kubernetes: {
    provider: kubernetesServiceAccounts({ issuer: ISSUER }),
    typ: 'JWT',
    claims: {
      aud: ['api'],
      sub: 'system:serviceaccount:default:svc',
      'kubernetes.io': { namespace: 'default' },
      iat: NOW,
      exp: NOW + 300,
    },
  },
  Okta: {
    provider: okta({ domain: 'acme.okta.com' }),
    typ: 'JWT',
    claims: { aud: 'api', sub: 'svc', cid: 'svc', scp: ['users.read'], iat: NOW, exp: NOW + 300 },
  },
};

const clients = ['svc', 'system:serviceaccount:default:svc'];
const of = (name: string, more: Claims = {}, options: Partial<GuardOptions> & VerifyOptions = {}) => {
  const { provider, claims, ...rest } = providers[name]!;
  return verify(provider, { ...claims, ...more }, { ...rest, clients, ...options });
};

describe('scopes as issuers write them', () => {
  it('in-D3: two scopes may be separated by more than one space', async () => {
    const verdict = await verify(
      auth0({ domain: 'acme.eu.auth0.com' }),
      {
        aud: 'api',
        sub: 'c@clients',
        azp: 'c',
        gty: 'client-credentials',
        scope: 'read:a  read:b',
        iat: NOW,
        exp: NOW + 300,
      },
      { typ: 'JWT' },
    );
    expect(verdict).toMatchObject({ ok: true, caller: { clientId: 'c', scopes: ['read:a', 'read:b'] } });
  });

  it.each<readonly [string, readonly string[]]>([
    [' read:a', ['read:a']],
    ['read:a ', ['read:a']],
    ['   read:a    read:b   ', ['read:a', 'read:b']],
    [' ', []],
    ['', []],
    ['read:a  read:a', ['read:a']],
  ])('in-D3: brothers: %j', async (scope, scopes) => {
    expect(await verify(generic, { ...plain, scope })).toMatchObject({ ok: true, caller: { scopes } });
  });
});

describe('claims that are null', () => {
  it('in-D5: a scope of null counts as no scope', async () => {
    expect(await verify(generic, { ...plain, scope: null })).toMatchObject({ ok: true, caller: { scopes: [] } });
  });

  const OPTIONAL = [
    'nbf',
    'jti',
    'auth_time',
    'acr',
    'amr',
    'name',
    'email',
    'groups',
    'entitlements',
    'org_id',
    'ext',
  ];
  const OF_OTHER_TOKENS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events', 'sid', 'session_state', 'username', 'uid'];

  it.each(Object.keys(providers))(
    'in-D5: brothers: other claims that %s may write as null count as absent',
    async (name) => {
      expect(outcome(await of(name))).toBe('accepted');
      for (const claim of [...OPTIONAL, ...OF_OTHER_TOKENS, 'scp', 'idtyp', 'gty', 'azp', 'clientId']) {
        if (Object.hasOwn(providers[name]!.claims, claim)) continue;
        expect([claim, outcome(await of(name, { [claim]: null }))]).toEqual([claim, 'accepted']);
      }
      const caller = ((await of(name, { name: null, nbf: null })) as { caller: MachineCaller }).caller;
      expect(Object.values(caller.claims)).not.toContain(null);
    },
  );

  it.each(Object.keys(providers))(
    'in-D5: at %s a token without a claim and one with null get the same verdict',
    async (name) => {
      for (const claim of Object.keys(providers[name]!.claims)) {
        const [absent, unsaid] = [await of(name, { [claim]: undefined }), await of(name, { [claim]: null })];
        expect([claim, outcome(unsaid)]).toEqual([claim, outcome(absent)]);
      }
    },
  );

  it('in-D5: cnf and act count even if null, because a bound or delegated token must not pass as a plain one', async () => {
    expect(outcome(await verify(generic, { ...plain, cnf: null }))).toBe('confirmation_unsupported cnf');
    expect(outcome(await verify(generic, { ...plain, act: null }))).toBe('delegated_token act');
  });

  it.each<readonly [string, Claims]>([
    ['exp', { exp: null }],
    ['iss', { iss: null }],
    ['aud', { aud: null }],
    ['client_id and azp', { client_id: null, azp: null }],
    ['sub', { sub: null }],
    ['iat', { iat: null }],
  ])('in-D5: a required claim is missing if it is null: %s', async (_name, more) => {
    expect((await verify(generic, { ...plain, ...more })).ok).toBe(false);
  });
});

describe('times as issuers write them', () => {
  it('in-D7: exp may have a fraction of a second', async () => {
    const verdict = await verify(generic, { ...plain, exp: NOW + 300.25 });
    expect(verdict).toMatchObject({ ok: true, caller: { expiresAt: new Date((NOW + 300.25) * 1000) } });
  });

  it('in-D7: brothers: nbf and iat too, and each counts to the millisecond', async () => {
    expect(outcome(await verify(generic, { ...plain, nbf: NOW + 0.75, iat: NOW - 0.001 }))).toBe('accepted');
    const at = (nowSeconds: number, more: Claims) => verify(generic, { ...plain, ...more }, { nowSeconds });
    expect(outcome(await at(NOW + 330.249, { exp: NOW + 300.25 }))).toBe('accepted');
    expect(outcome(await at(NOW + 330.25, { exp: NOW + 300.25 }))).toBe('token_expired exp');
    expect(outcome(await at(NOW, { nbf: NOW + 30.001 }))).toBe('token_not_yet_valid nbf');
    expect(outcome(await at(NOW + 0.001, { nbf: NOW + 30.001 }))).toBe('accepted');
    expect(outcome(await at(NOW, { iat: NOW + 30.5, exp: NOW + 300 }))).toBe('token_not_yet_valid iat');
    expect(outcome(await at(NOW, { iat: NOW + 20.5, exp: NOW + 20.25 }))).toBe('time_claim_malformed exp');
    const short = { maxTokenLifetimeSeconds: 300 };
    expect(outcome(await verify(generic, { ...plain, exp: NOW + 300.25 }, short))).toBe('token_lifetime_excessive exp');
    expect(outcome(await verify(generic, { ...plain, exp: NOW + 300.25, iat: NOW + 0.25 }, short))).toBe('accepted');
  });
});

describe('long tokens', () => {
  const groups = (count: number) =>
    Array.from({ length: count }, (_, at) => `/platform/team-${at % 20}/role-${at % 100}`);
  const long = (count: number, options: Partial<GuardOptions> = {}) =>
    of('Keycloak', { groups: groups(count) }, options);

  it('in-D9: a service account in 200 groups is accepted', async () => {
    const token = forge(key, { ...providers.Keycloak!.claims, groups: groups(210) });
    expect(token.length).toBeGreaterThan(8192);
    expect(outcome(await long(210))).toBe('accepted');
  });

  it('in-D9: maxTokenLength takes longer ones, up to 65,536 characters, or fewer', async () => {
    expect(outcome(await long(600))).toBe('token_too_long');
    expect(outcome(await long(600, { maxTokenLength: 65_536 }))).toBe('accepted');
    expect(outcome(await long(210, { maxTokenLength: 8192 }))).toBe('token_too_long');
    expect(outcome(await long(2500, { maxTokenLength: 65_536 }))).toBe('token_too_long');
    for (const maxTokenLength of [65_537, 1023, 0, -1, NaN, '16384', null]) {
      await expect(long(1, { maxTokenLength: maxTokenLength as number })).rejects.toThrow(/options\.maxTokenLength/);
    }
  });
});

describe('service accounts of Keycloak with a session', () => {
  const session = { azp: 'svc', client_id: 'svc', typ: 'Bearer', sid: 's1' };
  const realm = (serviceAccountSessions: boolean) => keycloak({ url: ISSUER, realm: 'r', serviceAccountSessions });
  const withSession = (more: Claims, option: boolean) =>
    verify(realm(option), { ...providers.Keycloak!.claims, ...session, ...more }, { typ: 'JWT', clients: ['svc'] });

  it('in-D11: are accepted by the option, and refused without it for a reason that names the claim', async () => {
    expect(outcome(await withSession({}, true))).toBe('accepted');
    expect(outcome(await withSession({ sid: undefined }, true))).toBe('accepted');
    expect(outcome(await withSession({ client_id: undefined, clientId: 'svc', session_state: 's1' }, true))).toBe(
      'accepted',
    );
    expect(outcome(await withSession({}, false))).toBe('not_a_machine sid');
    expect(outcome(await withSession({ sid: undefined, session_state: 's1' }, false))).toBe(
      'not_a_machine session_state',
    );
  });

  it.each<readonly [string, Claims]>([
    ['a person', { preferred_username: 'jane', client_id: undefined }],
    ['a person, with client_id', { preferred_username: 'jane' }],
    ['a person who is called like the service account', { client_id: undefined }],
    ['an unnamed account', { preferred_username: undefined }],
    ['an account named null', { preferred_username: null }],
    ['the service account of another client, exchanged', { preferred_username: 'service-account-other' }],
    ['no client', { azp: undefined }],
    ['a refresh token', { typ: 'Refresh' }],
  ])('in-D11: stay refused with the option if the token is that of %s', async (_name, more) => {
    expect((await withSession(more, true)).ok).toBe(false);
    expect((await withSession({ ...more, sid: undefined, session_state: 's1' }, true)).ok).toBe(false);
  });

  it('in-D11: two clients stay ambiguous', async () => {
    expect(outcome(await withSession({ client_id: 'other' }, true))).toBe('client_ambiguous client_id');
  });
});

describe('tokens of Duende IdentityServer without aud', () => {
  const token = { ...providers.Duende!.claims, aud: undefined };

  it('in-D14: are refused for a reason of their own, and accepted if hasNoAudience vouches for them', async () => {
    expect(await verify(duende({ issuer: ISSUER }), token)).toMatchObject({
      reason: 'audience_mismatch',
      claim: 'aud',
    });
    const provider = duende({ issuer: ISSUER, hasNoAudience: true });
    expect(outcome(await verify(provider, token, { clients: ['svc'] }))).toBe('accepted');
    expect(outcome(await verify(provider, { ...token, aud: `${ISSUER}/resources` }, { clients: ['svc'] }))).toBe(
      'audience_mismatch aud',
    );
    expect(outcome(await verify(provider, token, { clients: ['other'] }))).toBe('client_not_allowed client id');
    await expect(verify(provider, token)).rejects.toThrow(/clients/);
  });

  it('in-D14: with EmitStaticAudienceClaim the audience of the guard is the static one', async () => {
    const options = { audience: `${ISSUER}/resources` };
    const verdict = await verify(duende({ issuer: ISSUER }), { ...token, aud: `${ISSUER}/resources` }, options);
    expect(outcome(verdict)).toBe('accepted');
  });
});

describe('tolerance', () => {
  /** What a strict reader makes of the same claims: no null, no spare blank, whole seconds. */
  const strict = (claims: Claims): Claims =>
    Object.fromEntries(
      Object.entries(claims).flatMap(([name, value]) => {
        if (value === null && name !== 'cnf' && name !== 'act') return [];
        if (typeof value === 'string' && ['scope', 'scp'].includes(name)) {
          return [[name, value.split(' ').filter(Boolean).join(' ')]];
        }
        const isTime = ['exp', 'nbf', 'iat'].includes(name) && typeof value === 'number';
        return [[name, isTime ? Math.floor(value) : value]];
      }),
    );

  it('changes only the notation: any token gets the verdict of the same token, strictly written', async () => {
    const blanks = fc.constantFrom(' ', '  ', '   ');
    const scopes = fc.tuple(blanks, fc.constantFrom('users.read', 'a', ''), blanks, fc.constantFrom('b', 'a\tb'));
    const time = (from: number, to: number) =>
      fc.oneof(
        fc.integer({ min: NOW + from, max: NOW + to }).map((whole) => whole + 0.25),
        fc.constant(null),
      );
    const odd = fc.constantFrom<unknown>(null, '', 0, false, 'x', [], {}, [null], 'svc');
    const scopesOrOdd = fc.oneof(
      scopes.map((parts) => parts.join('')),
      odd,
    );
    const values = {
      scope: scopesOrOdd,
      scp: scopesOrOdd,
      // Not where a fraction decides.
      exp: time(60, 600),
      nbf: time(-600, -60),
      iat: time(-600, -60),
      aud: fc.oneof(odd, fc.constant('api')),
      ...Object.fromEntries(
        ['sub', 'client_id', 'azp', 'act', 'cnf', 'nonce', 'events', 'jti'].map((name) => [name, odd]),
      ),
    };
    const changes = fc
      .tuple(fc.subarray(Object.keys(values), { maxLength: 3 }), fc.record(values))
      .map(([names, made]) => Object.fromEntries(names.map((name) => [name, (made as Claims)[name]])));
    const issuers = [{ ...generic, jwks: { keys: [key.jwk] } }];
    const verifier = createAccessTokenVerifier(
      { issuers, audience: 'api' },
      { clock: new ManualClock(new Date(NOW * 1000)), production: true },
    );
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(changes, async (change) => {
        const claims = { ...plain, ...change };
        const [tolerant, expected] = [
          await verifier.verify(forge(key, claims)),
          await verifier.verify(forge(key, strict(claims))),
        ];
        expect(outcome(tolerant)).toBe(outcome(expected));
        if (!tolerant.ok || !expected.ok) return;
        accepted++;
        expect(tolerant.caller.scopes).toEqual(expected.caller.scopes);
        expect(outcome(await verifier.verify(forge(stranger, claims)))).toBe('signature_invalid kid');
      }),
      { numRuns: 150 },
    );
    verifier.close();
    expect(accepted).toBeGreaterThan(10);
  });

  it('H2b: reads no string as a token that contains a space, a comma, a control character or non-ASCII', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), (text) => {
        const isVisible = text.split('').every((one) => one > ' ' && one <= '~' && one !== ',');
        expect(bearerCredential(`Bearer x${text}`).ok).toBe(isVisible);
      }),
      { numRuns: 200 },
    );
    expect(bearerCredential('Bearer !|"\\{}').ok).toBe(true);
  });
});

it('H2b: every transport reads an opaque token of visible characters, and none that a comma may have joined', () => {
  const readers: Readonly<Record<string, (value: unknown) => Credential>> = {
    packets: (authorization) => packetCredential({ getMetadata: () => ({ authorization }) }),
    NATS: (value) =>
      natsCredential({ getHeaders: () => ({ keys: () => ['Authorization'], values: () => [value as string] }) }),
    MQTT: (authorization) =>
      mqttCredential({ getPacket: () => ({ properties: { userProperties: { authorization } } }) }),
    RabbitMQ: (authorization) =>
      rabbitmqCredential({ getMessage: () => ({ properties: { headers: { authorization } } }) }),
    Kafka: (authorization) => kafkaCredential({ getMessage: () => ({ headers: { authorization } }) }),
    HTTP: (value) => readHttpCredential({ rawHeaders: ['Authorization', value], headers: {}, url: '/' } as never),
  };
  for (const [name, read] of Object.entries(readers)) {
    for (const token of ['00D7F0000001I8v!ARgAQOG9W.wPt', 'Atc|MQEBIJ4', '"\\{}%&=']) {
      expect([name, read(`Bearer ${token}`)]).toEqual([name, { ok: true, token }]);
    }
    for (const value of ['a,b', 'a b', 'a\u00e9', 'a\0', '']) {
      expect([name, read(`Bearer ${value}`)]).toEqual([name, { ok: false, reason: 'credential_malformed' }]);
    }
  }
});

it('srv-9: a short token garbles no error of a receiver, and is redacted after its scheme', () => {
  const error = { code: 'UNAUTHENTICATED', message: 'Bearer A or Bearer%20A is no token' };
  expect(redactToken(error, 'A')).toEqual({
    code: 'UNAUTHENTICATED',
    message: 'Bearer [access token] or Bearer [access token] is no token',
  });
});

it('H2b: an opaque token is redacted in errors as it is, as JSON escapes it and as a URL encodes it', () => {
  for (const token of ['Atc|MQEBIJ4"\\$&', '00D7F!ARgAQ.wPt(.*)+', "a'b%41=/+~{}[]"]) {
    const spellings = [
      token,
      JSON.stringify(token),
      encodeURIComponent(token),
      new URLSearchParams({ token }).toString(),
    ];
    const error = Object.assign(new Error(`refused: ${spellings.join(' ')}`), { response: { data: [...spellings] } });
    redactToken(error, token);
    const written = [error.message, error.stack, ...error.response.data].join('\n');
    expect(written).toContain('refused: [access token] "[access token]" [access token] token=[access token]');
    for (const spelling of [token, JSON.stringify(token).slice(1, -1), encodeURIComponent(token)]) {
      expect(written).not.toContain(spelling);
    }
    // Writers of JSON and of URLs differ in what they escape, and JSON may be within JSON.
    const code = (character: string) => character.charCodeAt(0).toString(16).padStart(2, '0');
    for (const spelling of [
      token.replaceAll(/[^a-z\d]/gi, (character) => `%${code(character)}`),
      token.replaceAll(/[^a-z\d]/gi, (character) => `\\u00${code(character).toUpperCase()}`),
      JSON.stringify(token).slice(1, -1).replaceAll('/', '\\/'),
      JSON.stringify(JSON.stringify(token)).slice(3, -3),
      encodeURIComponent(encodeURIComponent(token)),
    ]) {
      expect(redactToken(`refused: ${spelling}.`, token)).toBe('refused: [access token].');
    }
    // What only looks like it stays.
    expect(redactToken('Atc-MQEBIJ4 00D7F-ARgAQ-wPt', token)).toBe('Atc-MQEBIJ4 00D7F-ARgAQ-wPt');
  }
});

@Controller()
@UseGuards(M2MAuthGuard)
class Routes {
  @Get('who')
  who(@Caller() caller: MachineCaller) {
    return caller.clientId;
  }
}

describe('opaque tokens over HTTP', () => {
  let issuer: ForgeableIssuer;
  const apps: INestApplication[] = [];

  async function start(options: Partial<GuardOptions>) {
    const events: InboundEvent[] = [];
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({
          guard: {
            issuers: [genericOAuth2({ issuer: issuer.url, hasNoAudience: true })],
            audience: 'api',
            clients: ['svc'],
            ...options,
          },
        }),
      ],
      controllers: [Routes],
    })
      .overrideProvider(M2M_CLOCK)
      .useValue(new ManualClock(new Date(NOW * 1000)))
      .compile();
    const app = module.createNestApplication();
    app.useLogger(false);
    module.get(AccessDecisions).events.subscribe((event) => events.push(event));
    await app.listen(0, '127.0.0.1');
    apps.push(app);
    const { port } = (app.getHttpServer() as Server).address() as { port: number };
    /** By Node's own client, which sends a header as it is. */
    const call = (authorization: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        httpRequest({ port, path: '/who', headers: { authorization } }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end();
      });
    return { call, events };
  }

  beforeAll(async () => {
    issuer = await ForgeableIssuer.start();
    issuer.keys = [key.jwk];
    issuer.introspectionAnswer = json(200, { active: true, client_id: 'svc', exp: NOW + 300 });
  });
  afterAll(async () => {
    for (const app of apps) await app.close();
    await issuer.close();
  });

  const introspection = [{ clientId: 'api', clientSecret: 'a-secret-of-the-guard' }];
  const opaque = [
    '00D7F0000001I8v!ARgAQOG9W.wPt',
    '00D7F0000001I8v!ARgA.QOG9W.wPt',
    'Atc|MQEBIJ4',
    '"quoted"',
    'a&b=%41',
    '{"active":true}',
  ];

  it('H2b: are accepted with any visible characters if an issuer introspects them', async () => {
    const { call, events } = await start({ introspection });
    for (const token of opaque) expect([token, await call(`Bearer ${token}`)]).toEqual([token, 200]);
    for (const value of ['a,b', 'a b', '', ' ', 'a\tb', 'tok\u00e9n', `${opaque[0]}, Bearer ${opaque[1]}`]) {
      expect([value, await call(`Bearer ${value}`)]).toEqual([value, 400]);
    }
    // The form of a signed token makes it one, whatever characters it has.
    for (const value of ['e!yJ.c.d', 'a.b"c".d']) expect(await call(`Bearer ${value}`)).toBe(400);
    expect(await call('Bearer a.b.c')).toBe(401);
    for (const token of opaque) expect(JSON.stringify(events)).not.toContain(JSON.stringify(token).slice(1, -1));
  });

  it('H2b: are malformed if no issuer introspects them, unless they could be signed tokens', async () => {
    const { call, events } = await start({});
    for (const token of opaque) expect([token, await call(`Bearer ${token}`)]).toEqual([token, 400]);
    expect(await call('Bearer abcdef')).toBe(401);
    expect(new Set(events.map((event) => 'reason' in event && event.reason))).toEqual(
      new Set(['credential_malformed', 'token_malformed']),
    );
  });
});
