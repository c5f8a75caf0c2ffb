import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, type INestApplication, Logger, UseGuards } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import fc from 'fast-check';
import {
  type AccessTokenVerifier,
  AllowClients,
  createAccessTokenVerifier,
  cyberArkIdentity,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MModule,
  AccessDecisions,
  type InboundEvent,
  keycloak,
  M2M_CLOCK,
  M2MAuthGuard,
  type Refusal,
  RequireClaims,
  RequireScopes,
  type RoutePolicy,
} from 'nestjs-identity-m2m';
import { forge, ForgeableIssuer, forgingKey } from './support/forgeable-issuer.js';
import { json } from './support/http-server.js';
import { recordingLogger } from './support/recorded-log.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const key = forgingKey('ES256', 'k-1');
const stranger = forgingKey('ES256', 'k-1');

/** Stands in claims whose values are not for logs. */
const PRIVATE = 'jane.doe-private';

let issuer: ForgeableIssuer;
let verifier: AccessTokenVerifier;

const claims = (more: object = {}) => ({
  iss: issuer.url,
  aud: 'users-api',
  sub: 'billing',
  client_id: 'billing',
  scope: 'users.read',
  iat: NOW,
  exp: NOW + 300,
  ...more,
});

function start(options: Partial<GuardOptions> = {}): AccessTokenVerifier {
  return createAccessTokenVerifier(
    { issuers: [genericOAuth2({ issuer: issuer.url })], audience: ['users-api', 'users-api-v2'], ...options },
    { clock: new ManualClock(new Date(NOW * 1000)), production: false },
  );
}

/** The refusal as text: `reason | claim | found | expected`. */
async function refusalOf(token: string, route?: RoutePolicy, by = verifier): Promise<string> {
  const verdict = await by.verify(token, route);
  if (verdict.ok) return 'accepted';
  const { reason, claim = '-', found = '-', expected = '-' } = verdict;
  return [reason, claim, found, expected].join(' | ');
}

async function withVerifier<T>(options: Partial<GuardOptions>, test: (by: AccessTokenVerifier) => Promise<T>) {
  const by = start(options);
  return test(by).finally(() => by.close());
}

beforeAll(async () => {
  issuer = await ForgeableIssuer.start();
  issuer.keys = [key.jwk];
  verifier = start();
});
afterAll(async () => {
  verifier.close();
  await issuer.close();
});

const iso = (seconds: number) => new Date(seconds * 1000).toISOString();

describe('a refusal names the claim, what the token has and what is expected', () => {
  it.each<readonly [string, () => string, string | RegExp]>([
    ['token_too_long', () => 'a'.repeat(70_000), /^token_too_long \| - \| 70000 characters \| at most \d+$/],
    [
      'token_malformed',
      () => 'opaque',
      'token_malformed | - | a token in one part | a signed JWT: three parts in base64url',
    ],
    [
      'token_malformed',
      () => forge(key, '[]'),
      'token_malformed | - | claims that are not a strict JSON object in base64url | a signed JWT: three parts in base64url',
    ],
    [
      'token_header_refused',
      () => forge(key, claims(), { jku: `https://${PRIVATE}` }),
      'token_header_refused | jku | [not shown] | none',
    ],
    [
      'token_header_refused',
      () => forge(key, claims(), { kid: 7 }),
      'token_header_refused | kid | 7 | a string of 1 to 256 characters',
    ],
    ['srv-5: typ', () => forge(key, claims(), { typ: 'JWT' }), 'token_type_refused | typ | "JWT" | "at+jwt"'],
    ['srv-5: no typ', () => forge(key, claims(), { typ: undefined }), 'token_type_refused | typ | - | "at+jwt"'],
    [
      'srv-5: a missing claim',
      () => forge(key, claims({ client_id: undefined, azp: 'billing' })),
      'claim_missing | client_id | - | a value',
    ],
    [
      'algorithm_refused',
      () => forge(key, claims(), { alg: 'HS256' }),
      'algorithm_refused | alg | "HS256" | "RS256", "RS384", "RS512", "PS256", "PS384" or 6 more',
    ],
    [
      'issuer_unknown',
      () => forge(key, claims({ iss: 'https://evil.example' })),
      /^issuer_unknown \| iss \| "https:\/\/evil.example" \| "http:\/\/127.0.0.1:\d+"$/,
    ],
    ['issuer_unknown', () => forge(key, claims({ iss: undefined })), /^issuer_unknown \| iss \| - \| "http/],
    [
      'key_unknown',
      () => forge(key, claims(), { kid: 'k-2' }),
      'key_unknown | kid | "k-2" | a key of the issuer for ES256',
    ],
    [
      'signature_invalid',
      () => forge(stranger, claims()),
      'signature_invalid | kid | "k-1" | a signature by a key of the issuer',
    ],
    [
      'token_expired',
      () => forge(key, claims({ iat: NOW - 600, exp: NOW - 60 })),
      `token_expired | exp | ${iso(NOW - 60)} | after ${iso(NOW - 30)}`,
    ],
    [
      'token_not_yet_valid',
      () => forge(key, claims({ nbf: NOW + 60 })),
      `token_not_yet_valid | nbf | ${iso(NOW + 60)} | up to ${iso(NOW + 30)}`,
    ],
    [
      'time_claim_malformed',
      () => forge(key, claims({ exp: String(NOW) })),
      `time_claim_malformed | exp | "${NOW}" | seconds since the epoch, as a number`,
    ],
    [
      'time_claim_malformed',
      () => forge(key, claims({ exp: undefined })),
      'time_claim_malformed | exp | - | seconds since the epoch, as a number',
    ],
    [
      'audience_mismatch',
      () => forge(key, claims({ aud: 'other' })),
      'audience_mismatch | aud | "other" | "users-api" or "users-api-v2"',
    ],
    [
      'audience_mismatch',
      () => forge(key, claims({ aud: ['a', 'b'] })),
      'audience_mismatch | aud | ["a", "b"] | "users-api" or "users-api-v2"',
    ],
    [
      'audience_mismatch',
      () => forge(key, claims({ aud: undefined })),
      'audience_mismatch | aud | - | "users-api" or "users-api-v2"',
    ],
    ['foreign_token', () => forge(key, claims({ nonce: PRIVATE })), 'foreign_token | nonce | [not shown] | none'],
    [
      'scope_malformed',
      () => forge(key, claims({ scope: { users: 'read' } })),
      /^scope_malformed \| scope \| {…} \| scopes, separated by/,
    ],
    [
      'confirmation_unsupported',
      () => forge(key, claims({ cnf: { jkt: PRIVATE } })),
      'confirmation_unsupported | cnf | [not shown] | none',
    ],
    ['client_unknown', () => forge(key, claims({ client_id: 7 })), 'client_unknown | client_id | 7 | a client id'],
    [
      'client_ambiguous',
      () => forge(key, claims({ azp: 'other' })),
      'client_ambiguous | azp | "other" | "billing", as in client_id',
    ],
    [
      'delegated_token',
      () => forge(key, claims({ act: { sub: PRIVATE } })),
      'delegated_token | act | [not shown] | none',
    ],
    [
      'not_a_machine',
      () => forge(key, claims({ sub: PRIVATE })),
      'not_a_machine | sub | [not shown] | equal to client_id',
    ],
  ])('%s', async (_name, token, expected) => {
    const text = await refusalOf(token());
    if (typeof expected === 'string') expect(text).toBe(expected);
    else expect(text).toMatch(expected);
    expect(text).not.toContain(PRIVATE);
  });

  it.each<readonly [string, RoutePolicy, string]>([
    [
      'scope_insufficient',
      { scopes: ['users.write', 'admin'] },
      'scope_insufficient | scope | ["users.read"] | "users.write" and "admin"',
    ],
    [
      'scope_insufficient',
      { scopes: ['users.write', 'admin'], scopesMode: 'any' },
      'scope_insufficient | scope | ["users.read"] | "users.write" or "admin"',
    ],
    ['client_not_allowed', { clients: ['a', 'b'] }, 'client_not_allowed | client id | "billing" | "a" or "b"'],
    [
      'claims_insufficient',
      { claims: { aud: 'users-api', tenant: ['acme', 'other'] } },
      'claims_insufficient | tenant | [not shown] | ["acme", "other"]',
    ],
    ['claims_insufficient', { claims: { level: 3 } }, 'claims_insufficient | level | - | 3'],
    [
      'introspection_unavailable',
      { sensitive: true },
      'introspection_unavailable | - | - | introspection by its issuer, because the route is @Sensitive()',
    ],
  ])('%s', async (_name, route, expected) => {
    expect(await refusalOf(forge(key, claims({ tenant: PRIVATE })), route)).toBe(expected);
  });

  it('token_lifetime_excessive', () =>
    withVerifier({ maxTokenLifetimeSeconds: 60 }, async (by) => {
      expect(await refusalOf(forge(key, claims()), undefined, by)).toBe(
        'token_lifetime_excessive | exp | 300 s after iat | at most 60 s after iat',
      );
    }));

  it('client_expired', () =>
    withVerifier({ clients: [{ clientId: 'billing', until: '2029-01-01' }] }, async (by) => {
      expect(await refusalOf(forge(key, claims()), undefined, by)).toBe(
        'client_expired | client id | "billing" | before 2029-01-01T00:00:00.000Z',
      );
    }));

  it('token_inactive, if the issuer’s answer is about another client', () => {
    issuer.introspectionAnswer = json(200, { active: true, client_id: 'other' });
    const introspection = [{ clientId: 'users-api', clientSecret: 'secret-for-introspection' }];
    return withVerifier({ introspection }, async (by) => {
      expect(await refusalOf(forge(key, claims()), { sensitive: true }, by)).toBe(
        'token_inactive | client_id | "other" | "billing"',
      );
    });
  });

  it('foreign_token and not_a_machine by the rules of a preset, without values of other claims', async () => {
    const realm = keycloak({ url: issuer.url, realm: 'acme' });
    const issuers = [{ ...realm, jwksUri: `${issuer.url}/keys` }];
    await withVerifier({ issuers, clients: ['billing'] }, async (by) => {
      const of = (more: object) =>
        refusalOf(
          forge(key, claims({ iss: realm.issuer, azp: 'billing', typ: 'Bearer', ...more }), { typ: 'JWT' }),
          undefined,
          by,
        );
      expect(await of({})).toBe('accepted');
      expect(await of({ typ: 'ID' })).toBe('foreign_token | typ | "ID" | Bearer');
      expect(await of({ sid: PRIVATE })).toBe('not_a_machine | sid | [not shown] | none');
      expect(await of({ preferred_username: PRIVATE })).toBe(
        'not_a_machine | preferred_username | [not shown] | service-account-<azp>; or none, and client_id equal to azp',
      );
    });
  });

  it('host-11: a client that guard.clients does not name is client_not_allowed, also if tokens do not mark machines', async () => {
    const provider = cyberArkIdentity({ tenantUrl: issuer.url, applicationId: 'api' });
    const issuers = [{ ...provider, jwksUri: `${issuer.url}/keys` }];
    await withVerifier({ issuers, clients: ['svc@acme', 'job@acme'] }, async (by) => {
      const of = (name: string) =>
        refusalOf(
          forge(key, claims({ iss: provider.issuer, unique_name: name }), { typ: 'JWT', alg: 'ES256' }),
          {},
          by,
        );
      // The preset is for RS256 alone.
      expect(await of('new@acme')).toContain('algorithm_refused');
    });
    const ownKey = forgingKey('RS256', 'rsa');
    const withKey = [{ ...provider, jwksUri: undefined, jwks: { keys: [ownKey.jwk] } }];
    await withVerifier({ issuers: withKey, clients: ['svc@acme', 'job@acme'] }, async (by) => {
      const of = (name: string) =>
        refusalOf(forge(ownKey, claims({ iss: provider.issuer, unique_name: name }), { typ: 'JWT' }), {}, by);
      expect(await of('svc@acme')).toBe('accepted');
      expect(await of('new@acme')).toBe('client_not_allowed | client id | "new@acme" | "svc@acme" or "job@acme"');
    });
    await withVerifier({ clients: ['other'] }, async (by) => {
      expect(await refusalOf(forge(key, claims()), {}, by)).toBe(
        'client_not_allowed | client id | "billing" | "other"',
      );
      // What the reason says it is, stays that.
      expect(await refusalOf(forge(key, claims({ sub: 'jane' })), {}, by)).toContain('not_a_machine | sub');
    });
  });
});

describe('srv-5: a profile of genericOAuth2 that differs from RFC 9068', () => {
  const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'refusals.md'), 'utf8');
  type Options = Partial<Parameters<typeof genericOAuth2>[0]>;

  it.each<readonly [string, string, Options, object, object, RoutePolicy]>([
    ['token_type_refused', "tokenTypes: ['jwt']", { accessToken: { tokenTypes: ['jwt'] } }, {}, { typ: 'JWT' }, {}],
    [
      'token_type_refused',
      'tokenTypes: [undefined]',
      { accessToken: { tokenTypes: [undefined] } },
      {},
      { typ: undefined },
      {},
    ],
    [
      'claim_missing',
      "clientIdClaims: ['azp']",
      { accessToken: { clientIdClaims: ['azp'] } },
      { client_id: undefined, azp: 'billing' },
      {},
      {},
    ],
    ['claim_missing', 'requiredClaims: []', { accessToken: { requiredClaims: [] } }, { iat: undefined }, {}, {}],
    [
      'scope_insufficient',
      "scopeClaims: ['roles']",
      { accessToken: { scopeClaims: ['roles'] } },
      { scope: undefined, roles: ['users.read'] },
      {},
      { scopes: ['users.read'] },
    ],
    [
      'not_a_machine',
      'isMachine: (claims) => …',
      { accessToken: { isMachine: (given) => given.kind === 'machine' } },
      { sub: 'a-uuid', kind: 'machine' },
      {},
      {},
    ],
    ['audience_mismatch', 'hasNoAudience: true', { hasNoAudience: true }, { aud: undefined }, {}, {}],
  ])('srv-5: %s, fixed by %s', async (reason, text, options, changed, header, route) => {
    expect(page).toContain(text);
    const token = forge(key, claims(changed), header);
    const guard = (more: Options) => ({
      issuers: [genericOAuth2({ issuer: issuer.url, ...more })],
      clients: ['billing'],
    });
    expect(await withVerifier(guard({}), (by) => refusalOf(token, route, by))).toContain(reason);
    expect(await withVerifier(guard(options), (by) => refusalOf(token, route, by))).toBe('accepted');
  });
});

describe('what a refusal shows', () => {
  const PRINTABLE = /^[\x20-\x7e…]{0,1000}$/;
  const details = ({ claim = '', found = '', expected = '' }: Partial<Refusal>) => `${claim}${found}${expected}`;

  it.each<readonly [string, unknown]>([
    ['control characters', 'a\r\nguard refused nothing\u0000\u001b[2J'],
    ['direction marks', '\u202eipa-sresu\u2066'],
    ['letters that look alike', 'users-\u0430pi'],
    ['10 KB', 'x'.repeat(10_240)],
    ['10 KB of quotes', '"'.repeat(10_240)],
    ['10,000 members', Array(10_000).fill('x')],
    ['members of 1 KB', Array(9).fill('y'.repeat(1024))],
    ['an object', { [PRIVATE]: PRIVATE }],
    ['objects', [{ [PRIVATE]: PRIVATE }, [PRIVATE]]],
    ['a signed token', forge(key, { sub: PRIVATE })],
    ['a list of one', [forge(key, { sub: PRIVATE })]],
    ['half a character', '\\ud800'],
    ['a number beyond all numbers', 1e308],
  ])('is one short line of printable characters, whatever aud and kid hold: %s', async (_name, value) => {
    await withVerifier({ maxTokenLength: 65_536 }, async (by) => {
      for (const token of [forge(key, claims({ aud: value })), forge(key, claims(), { kid: value })]) {
        const refusal = (await by.verify(token)) as Refusal;
        expect(refusal.ok).toBe(false);
        expect(details(refusal)).toMatch(PRINTABLE);
        expect(details(refusal)).not.toContain(PRIVATE);
        expect(details(refusal)).not.toContain('eyJ');
      }
    });
  });

  it('is bounded and holds nothing of other claims, for any claims at all', async () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.array(fc.string({ maxLength: 100 }), { maxLength: 30 }),
    );
    const shownNames = ['iss', 'aud', 'exp', 'nbf', 'iat', 'client_id', 'azp', 'scope', 'scp'];
    const hidden = ['sub', 'jti', 'email', 'cnf', 'act', 'nonce', 'groups', 'events', 'password'];
    const odd = fc.dictionary(fc.constantFrom(...shownNames), value, { maxKeys: 3 });
    const secrets = fc.subarray(hidden);
    await fc.assert(
      fc.asyncProperty(odd, secrets, async (changes, names) => {
        const marked = Object.fromEntries(names.map((name) => [name, `${PRIVATE}-${name}`]));
        const verdict = await verifier.verify(forge(key, claims({ ...changes, ...marked })));
        if (verdict.ok) return;
        expect(details(verdict)).toMatch(PRINTABLE);
        expect(JSON.stringify({ ...verdict, caller: undefined })).not.toContain(PRIVATE);
      }),
      { numRuns: 300 },
    );
  });
});

@Controller('users')
@UseGuards(M2MAuthGuard)
class Users {
  @Get()
  @RequireScopes('users.read')
  list() {
    return [];
  }

  @Get('narrow/:id')
  @AllowClients('orders')
  narrow() {
    return 'narrow';
  }

  @Get('acme')
  @RequireClaims({ tenant: 'acme' })
  acme() {
    return 'acme';
  }

  @MessagePattern('users.create')
  create() {
    return 'created';
  }
}

describe('the guard of an application', () => {
  let app: INestApplication;
  let url: string;
  const events: InboundEvent[] = [];
  const lines: string[] = [];

  beforeAll(async () => {
    const logger = recordingLogger((level, line) => level === 'debug' && lines.push(line));
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({ guard: { issuers: [genericOAuth2({ issuer: issuer.url })], audience: 'b' } }),
      ],
      controllers: [Users],
    })
      .overrideProvider(M2M_CLOCK)
      .useValue(new ManualClock(new Date(NOW * 1000)))
      .compile();
    app = module.createNestApplication();
    app.useLogger(logger);
    module.get(AccessDecisions).events.subscribe((event) => events.push(event));
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterAll(async () => {
    await app.close();
    Logger.overrideLogger(false);
  });
  beforeEach(() => {
    events.length = lines.length = 0;
  });

  const call = async (path: string, token?: string) => {
    const response = await fetch(`${url}${path}`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
    return `${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`;
  };

  it('has claim, found and expected in the event and in the debug line, but not in the response', async () => {
    const answer = await call('/users?access=secret-in-query', forge(key, claims({ aud: 'a-wrong-audience' })));
    expect(answer).toMatch(/^401 /);
    expect(answer).not.toMatch(/a-wrong-audience|aud/);
    expect(events).toEqual([
      expect.objectContaining({
        type: 'caller.refused',
        route: 'GET /users',
        reason: 'audience_mismatch',
        claim: 'aud',
        found: '"a-wrong-audience"',
        expected: '"b"',
      }),
    ]);
    const [line] = lines;
    expect(line).toMatch(
      /^guard refused HTTP GET \/users: audience_mismatch \(aud "a-wrong-audience", expected "b"\); token [\da-f]{12}$/,
    );
  });

  it.each<readonly [string, string, () => string | undefined, RegExp]>([
    ['no token', '/users', () => undefined, /^guard refused HTTP GET \/users: credential_missing/],
    [
      'srv-5: typ JWT',
      '/users',
      () => forge(key, claims({ aud: 'b' }), { typ: 'JWT' }),
      /GET \/users: token_type_refused \(typ "JWT", expected "at\+jwt"\)/,
    ],
    [
      'srv-5: no typ',
      '/users',
      () => forge(key, claims({ aud: 'b' }), { typ: undefined }),
      /GET \/users: token_type_refused \(no typ, expected "at\+jwt"\)/,
    ],
    [
      'srv-5: no client_id',
      '/users',
      () => forge(key, claims({ aud: 'b', client_id: undefined })),
      /GET \/users: claim_missing \(no client_id, expected a value\)/,
    ],
    [
      'a route by its pattern',
      '/users/narrow/4711',
      () => forge(key, claims({ aud: 'b' })),
      /GET \/users\/narrow\/:id: client_not_allowed \(client id "billing", expected "orders"\); client billing, token/,
    ],
    [
      'a claim that is not for logs',
      '/users/acme',
      () => forge(key, claims({ aud: 'b', tenant: PRIVATE })),
      /GET \/users\/acme: claims_insufficient \(tenant \[not shown\], expected "acme"\); client billing/,
    ],
  ])('has a searchable log line: %s', async (_name, path, token, line) => {
    const answer = await call(path, token());
    expect(lines).toEqual([expect.stringMatching(line)]);
    expect(answer).not.toMatch(/orders|acme\b.*insufficient|at\+jwt|client_id|not shown|expected/);
    expect(JSON.stringify(events)).not.toContain(PRIVATE);
  });

  it('names the handler if a call has no route', async () => {
    const decisions = app.get(AccessDecisions);
    const context = { getType: () => 'rpc', getClass: () => Users, getHandler: () => ({ name: 'create' }) };
    await decisions.decide({ ok: true, token: 'x' }, {}, 'tcp', context as never);
    expect(lines).toEqual([
      expect.stringMatching(/^guard refused TCP Users\.create: token_malformed \(a token in one/),
    ]);
  });
});
