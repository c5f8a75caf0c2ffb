import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import {
  type AccessTokenVerifier,
  createAccessTokenVerifier,
  cyberArkIdentity,
  duende,
  fromEnv,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MModule,
  InMemoryRevocations,
  keycloak,
  type MachineCaller,
  okta,
  type Refusal,
  type RoutePolicy,
  type VerificationEvent,
} from 'nestjs-identity-m2m';
import { AuthorizationServer } from './support/authorization-server.js';
import { forge, ForgeableIssuer, forgingKey } from './support/forgeable-issuer.js';
import { type Answer, json } from './support/http-server.js';
import { socketClock } from './support/socket-clock.js';
import type { ManualClock } from 'nestjs-identity-m2m/testing';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const key = forgingKey('ES256', 'k');
const stranger = forgingKey('ES256', 'k');
const SENSITIVE: RoutePolicy = { scopes: [], clients: undefined, sensitive: true };

let issuer: ForgeableIssuer;
let clock: ManualClock;
let verifier: AccessTokenVerifier;
let events: VerificationEvent[];

const active = (more: object = {}) => ({
  active: true,
  iss: issuer.url,
  aud: 'users-api',
  client_id: 'billing',
  sub: 'billing',
  scope: 'users.read',
  iat: NOW,
  exp: NOW + 300,
  ...more,
});
const jwt = (more: object = {}) => {
  const { active: _active, ...claims } = active({ jti: 'one', ...more });
  return forge(key, claims);
};

function start(options: Partial<GuardOptions> = {}): AccessTokenVerifier {
  const made = createAccessTokenVerifier(
    {
      issuers: [genericOAuth2({ issuer: issuer.url })],
      audience: 'users-api',
      introspection: [{ clientId: 'users-api', clientSecret: 'a secret: +%' }],
      ...options,
    },
    { clock, production: false },
  );
  made.events.subscribe((event) => events.push(event));
  return made;
}

async function outcome(token: string, route?: RoutePolicy, by = verifier): Promise<string> {
  const verdict = await by.verify(token, route);
  return verdict.ok ? 'accepted' : verdict.reason;
}

const questions = () => issuer.requestsFor('/introspect');
let made = 0;
const opaque = () => `opaque-${made++}`;

beforeEach(async () => {
  issuer = await ForgeableIssuer.start();
  issuer.keys = [key.jwk];
  issuer.introspectionAnswer = (...request) => json(200, active())(...request);
  clock = socketClock(() => issuer.server, new Date(NOW * 1000));
  events = [];
  verifier = start();
});
afterEach(async () => {
  verifier.close();
  await issuer.close();
});

describe('opaque tokens', () => {
  it('are introspected with the guard’s own credentials, and name the caller', async () => {
    const verdict = (await verifier.verify('opaque+/~.token==')) as { caller: MachineCaller };
    expect(verdict.caller).toMatchObject({
      clientId: 'billing',
      issuer: issuer.url,
      scopes: ['users.read'],
      isIntrospected: true,
      expiresAt: new Date((NOW + 300) * 1000),
    });
    const [question] = questions();
    expect(Object.fromEntries(new URLSearchParams(question!.body))).toEqual({
      token: 'opaque+/~.token==',
      token_type_hint: 'access_token',
    });
    const pair = Buffer.from('users-api:a+secret%3A+%2B%25').toString('base64');
    expect(question).toMatchObject({
      method: 'POST',
      headers: { authorization: `Basic ${pair}`, 'content-type': 'application/x-www-form-urlencoded' },
    });
  });

  it('are introspected with each client authentication of the guard', async () => {
    const by = start({
      introspection: [
        {
          authenticate: ({ endpoint }) => ({ headers: { authorization: `Bearer for ${endpoint}` }, body: { x: 'y' } }),
        },
      ],
    });
    expect(await outcome(opaque(), undefined, by)).toBe('accepted');
    expect(questions().at(-1)).toMatchObject({ headers: { authorization: `Bearer for ${issuer.url}/introspect` } });
    expect(new URLSearchParams(questions().at(-1)!.body).get('x')).toBe('y');
    by.close();
  });

  it('are introspected with the provider’s way of sending a secret', async () => {
    const provider = genericOAuth2({ issuer: issuer.url, clientSecretMethod: 'client_secret_post' });
    const by = start({ issuers: [provider] });
    expect(await outcome(opaque(), undefined, by)).toBe('accepted');
    const { headers, body } = questions().at(-1)!;
    expect(headers).not.toHaveProperty('authorization');
    expect(Object.fromEntries(new URLSearchParams(body))).toMatchObject({
      client_id: 'users-api',
      client_secret: 'a secret: +%',
    });
    by.close();
  });

  it('are introspected with the current secret, and with none if there is none', async () => {
    const pair = (secret: string) => `Basic ${Buffer.from(`users-api:${secret}`).toString('base64')}`;
    const shown = () => questions().at(-1)!.headers.authorization;
    process.env.INTROSPECTION_SECRET_FOR_TEST = 'first';
    const by = start({
      introspection: [{ clientId: 'users-api', clientSecret: fromEnv('INTROSPECTION_SECRET_FOR_TEST') }],
    });
    expect([await outcome(opaque(), undefined, by), shown()]).toEqual(['accepted', pair('first')]);
    process.env.INTROSPECTION_SECRET_FOR_TEST = 'second';
    expect([await outcome(opaque(), undefined, by), shown()]).toEqual(['accepted', pair('second')]);
    delete process.env.INTROSPECTION_SECRET_FOR_TEST;
    expect(await outcome(opaque(), undefined, by)).toBe('introspection_unavailable');
    expect(questions()).toHaveLength(2);
    by.close();
    const empty = start({ introspection: [{ clientId: 'users-api', clientSecret: () => '' }] });
    expect(await outcome(opaque(), undefined, empty)).toBe('introspection_unavailable');
    expect(questions()).toHaveLength(2);
    empty.close();
  });

  it('fail the boot if the variable of the guard’s secret is not set', async () => {
    const guard: GuardOptions = {
      issuers: [genericOAuth2({ issuer: 'https://id.example' })],
      audience: 'users-api',
      introspection: [{ clientId: 'users-api', clientSecret: fromEnv('INTROSPECTION_SECRET_FOR_TEST') }],
    };
    await expect(
      Test.createTestingModule({ imports: [IdentityM2MModule.forRoot({ guard })] }).compile(),
    ).rejects.toThrow(
      'guard.introspection[0].clientSecret: expected a secret; found environment variable INTROSPECTION_SECRET_FOR_TEST, which is not set',
    );
  });

  const undecided: readonly (readonly [string, Answer])[] = [
    ['active as text', json(200, { active: 'true' })],
    ['active as number', json(200, { active: 1 })],
    ['no active', json(200, { client_id: 'billing' })],
    ['a list', json(200, [{ active: true }])],
    [
      'active twice',
      (_request, response) =>
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"active":false,"active":true}'),
    ],
    ['a page', (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('{"active":true}')],
    ['401', json(401, { error: 'invalid_client' })],
    ['403 for the guard', json(403, { error: 'access_denied' })],
    ['400 for the guard', json(400, { error: 'invalid_client' })],
    ['408', json(408, {})],
    ['500', json(500, { active: true })],
    ['a redirect', (_request, response) => response.writeHead(307, { location: '/elsewhere' }).end()],
    ['a megabyte', json(200, { active: true, more: 'x'.repeat(1_000_000) })],
    ['a broken connection', (_request, response) => response.destroy()],
  ];
  it.each(undecided)('I1 %s is an invalid answer, and decides nothing', async (_name, answer) => {
    issuer.introspectionAnswer = answer;
    const verdict = (await verifier.verify(opaque())) as Refusal;
    expect([verdict.reason, verdict.retryAfterSeconds]).toEqual(['introspection_unavailable', 1]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'introspection.failed', failures: 1 }));
    expect(JSON.stringify(events)).not.toMatch(/opaque-|secret/);
    expect(issuer.requestsFor('/elsewhere')).toHaveLength(0);
  });

  it('I1 an issuer that sends Retry-After gets its pause', async () => {
    issuer.introspectionAnswer = json(429, {}, { 'retry-after': '20' });
    expect(await verifier.verify(opaque())).toMatchObject({
      reason: 'introspection_unavailable',
      retryAfterSeconds: 20,
    });
    issuer.introspectionAnswer = json(200, active());
    await clock.advance(19_000);
    expect(await verifier.verify(opaque())).toMatchObject({
      reason: 'introspection_unavailable',
      retryAfterSeconds: 1,
    });
    await clock.advance(1000);
    expect(await outcome(opaque())).toBe('accepted');
    // One of them about a token that does not exist: had it been answered, nobody else would have had to wait.
    expect(questions()).toHaveLength(3);
  });

  it('I1 an issuer that sends Retry-After in place of its metadata gets its pause', async () => {
    issuer.metadataAnswer = json(503, {}, { 'retry-after': '20' });
    expect(await verifier.verify(opaque())).toMatchObject({
      reason: 'introspection_unavailable',
      retryAfterSeconds: 20,
    });
    issuer.metadataAnswer = undefined;
    await clock.advance(20_000);
    expect(await outcome(opaque())).toBe('accepted');
  });

  it.each<readonly [string, object, string]>([
    ['that is over', { exp: NOW - 31, iat: NOW - 60 }, 'token_expired'],
    ['without an end', { exp: undefined }, 'time_claim_malformed'],
    ['with an end as text', { exp: String(NOW + 300) }, 'time_claim_malformed'],
    ['that is not good yet', { nbf: NOW + 31 }, 'token_not_yet_valid'],
    ['of another issuer', { iss: 'https://evil.example' }, 'issuer_unknown'],
    ['for another API', { aud: 'other' }, 'audience_mismatch'],
    ['for no API', { aud: undefined }, 'audience_mismatch'],
    ['of no client', { client_id: undefined }, 'client_unknown'],
    ['of a person', { sub: 'jane' }, 'not_a_machine'],
    ['of a person without sub', { sub: undefined, username: 'jane' }, 'not_a_machine'],
    ['that may be anybody’s, of a client that was not named', { sub: undefined }, 'not_a_machine'],
    ['of one who acts for another', { act: { sub: 'x' } }, 'delegated_token'],
    ['that refreshes others', { token_type: 'refresh_token' }, 'foreign_token'],
    ['that is bound to a key', { cnf: { jkt: 'x' } }, 'confirmation_unsupported'],
    ['with a scope of the wrong form', { scope: 'a\tb' }, 'scope_malformed'],
    ['that was taken back', { active: false }, 'token_inactive'],
  ])('I2 a token %s is refused, although it is active', async (_name, more, reason) => {
    issuer.introspectionAnswer = json(200, active(more));
    expect(await outcome(opaque())).toBe(reason);
  });

  it('I2 are verified anew each time, and cached no longer than they live', async () => {
    const token = opaque();
    issuer.introspectionAnswer = json(200, active({ exp: NOW + 20 }));
    expect(await outcome(token)).toBe('accepted');
    expect(await outcome(token, { scopes: ['admin'], clients: undefined })).toBe('scope_insufficient');
    await clock.advance(19_999);
    expect(await outcome(token)).toBe('accepted');
    expect(questions()).toHaveLength(1);
    await clock.advance(1);
    expect(await outcome(token)).toBe('accepted');
    expect(questions()).toHaveLength(2);
    await clock.advance(30_000);
    expect(await outcome(token)).toBe('token_expired');
  });

  it('I2 are introspected again after a minute, which is when a revocation takes effect at the latest', async () => {
    const revocations = new InMemoryRevocations({ clock });
    const by = start({ revocations });
    const [token, other] = [opaque(), opaque()];
    expect([await outcome(token, undefined, by), await outcome(other, undefined, by)]).toEqual([
      'accepted',
      'accepted',
    ]);
    issuer.introspectionAnswer = json(200, { active: false });
    await clock.advance(59_999);
    expect(await outcome(token, undefined, by)).toBe('accepted');
    revocations.revoke({ issuer: issuer.url, clientId: 'billing' });
    expect(await outcome(other, undefined, by)).toBe('token_revoked');
    await clock.advance(1);
    expect(await outcome(token, undefined, by)).toBe('token_inactive');
    by.close();
  });

  it('I3 that are not active yet are introspected again after 10 s', async () => {
    const token = opaque();
    issuer.introspectionAnswer = json(200, { active: false });
    expect(await outcome(token)).toBe('token_inactive');
    issuer.introspectionAnswer = json(200, active());
    await clock.advance(9999);
    expect(await outcome(token)).toBe('token_inactive');
    expect(questions()).toHaveLength(1);
    await clock.advance(1);
    expect(await outcome(token)).toBe('accepted');
  });

  it('I4 are introspected once for concurrent calls', async () => {
    const token = opaque();
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => outcome(token)));
    expect(new Set(outcomes)).toEqual(new Set(['accepted']));
    expect(questions()).toHaveLength(1);
  });

  it('I4 that are made up by the thousand cause at most 100 introspection requests at once', async () => {
    const waiting: (() => void)[] = [];
    issuer.introspectionAnswer = (request, response, message) =>
      waiting.push(() => void json(200, { active: false })(request, response, message));
    const flood = Array.from({ length: 1000 }, () => outcome(opaque()));
    while (waiting.length < 100) await new Promise((resolve) => setTimeout(resolve, 5));
    waiting.forEach((answer) => answer());
    const outcomes = await Promise.all(flood);
    expect(outcomes.filter((reason) => reason === 'token_inactive')).toHaveLength(100);
    expect(outcomes.filter((reason) => reason === 'introspection_unavailable')).toHaveLength(900);
  });

  it('H7 are not sent to a failing issuer for a growing pause, and then one request probes it', async () => {
    issuer.introspectionAnswer = json(500, {});
    for (let failure = 0; failure < 3; failure++) await outcome(opaque());
    // The fourth is a probe; there is none in the next 5 s.
    expect(questions()).toHaveLength(4);
    await Promise.all(Array.from({ length: 50 }, () => outcome(opaque())));
    expect(questions()).toHaveLength(4);
    for (const [seconds, asked] of [
      [1, 5],
      [1, 5],
      [1, 6],
      [4, 8],
    ] as const) {
      await clock.advance(seconds * 1000);
      await Promise.all(Array.from({ length: 50 }, () => outcome(opaque())));
      expect(questions()).toHaveLength(asked);
    }
    issuer.introspectionAnswer = json(200, active());
    await clock.advance(8000);
    expect(await outcome(opaque())).toBe('accepted');
    expect(new Set(await Promise.all(Array.from({ length: 50 }, () => outcome(opaque()))))).toEqual(
      new Set(['accepted']),
    );
  });

  it('H7 wait for an answer for 5 s at most', async () => {
    issuer.introspectionAnswer = () => undefined;
    const verdict = outcome(opaque());
    while (questions().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await clock.advance(5000);
    expect(await verdict).toBe('introspection_unavailable');
  });

  it('H7 wait for a client assertion or a secret for 5 s at most', async () => {
    const asked: unknown[] = [];
    const never = () => new Promise<never>(() => asked.push('once'));
    for (const introspection of [[{ authenticate: never }], [{ clientId: 'a', clientSecret: never }]]) {
      const by = start({ introspection });
      asked.length = 0;
      const verdict = outcome(opaque(), undefined, by);
      while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await clock.advance(5000);
      expect(await verdict).toBe('introspection_unavailable');
      by.close();
    }
    expect(questions()).toHaveLength(0);
  });

  it('are not introspected any more once the verifier is closed', async () => {
    issuer.introspectionAnswer = () => undefined;
    const verdict = outcome(opaque());
    while (questions().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    verifier.close();
    expect(await verdict).toBe('introspection_unavailable');
    expect(await outcome(opaque())).toBe('introspection_unavailable');
    expect(questions()).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('I6 are only strings without the form of a signed token', async () => {
    const unsigned = (claims: object) => `${forge(key, claims).split('.').slice(0, 2).join('.')}.AAAA`;
    expect(await outcome(forge(stranger, { ...active(), iss: 'https://evil.example' }))).toBe('issuer_unknown');
    expect(await outcome(unsigned(active()))).toBe('signature_invalid');
    expect(await outcome('a.b.c')).toBe('token_malformed');
    expect(await outcome('a'.repeat(16_385))).toBe('token_too_long');
    expect(questions()).toHaveLength(0);
    const without = start({ introspection: [{ clientId: 'a', clientSecret: 'b', opaqueTokens: false }] });
    expect(await outcome(opaque(), undefined, without)).toBe('token_malformed');
    expect(questions()).toHaveLength(0);
    without.close();
  });

  it('I7 are not sent if they do not have the form of a token', async () => {
    for (const token of ['a,b', ',', '%26+ ', ' a', 'a b', 'a\r\nb', 'a\tb', 'a\0', '\x7f', 'tökén\u{1F600}', '']) {
      expect(await outcome(token)).toBe('token_malformed');
    }
    expect(questions()).toHaveLength(0);
  });

  it('H2b are sent with any visible characters, encoded so that they add no parameter', async () => {
    const tokens = [
      '00D7F0000001I8v!ARgAQOG9W.wPt',
      'Atc|MQEBIJ4',
      'a&token=b',
      'a=b&active=true',
      '%26+%2B',
      '=',
      '"a\\b"',
      '{"active":true}',
      "<script>'#;?@[]^`{|}~:$()*!",
    ];
    for (const token of tokens) expect([token, await outcome(token)]).toEqual([token, 'accepted']);
    expect(questions().map(({ body }) => [...new URLSearchParams(body)])).toEqual(
      tokens.map((token) => [
        ['token', token],
        ['token_type_hint', 'access_token'],
      ]),
    );
    expect(JSON.stringify(events)).not.toMatch(/ARgAQOG9W|MQEBIJ4/);
  });

  it('H2b stay refused if no issuer introspects them, or if they have the form of a signed token', async () => {
    const without = start({ introspection: [] });
    for (const token of ['Atc|MQEBIJ4', '00D7F!ARgAQ.wPt', '{"active":true}']) {
      expect(await outcome(token, undefined, without)).toBe('token_malformed');
    }
    without.close();
    const signed = jwt();
    const spelt = ['a.b!.c', `${signed}!`, `!${signed}`, signed.replace('.', '!.'), `e|${signed.slice(1)}`];
    const blank = Buffer.from(' {"alg":"ES256"}').toString('base64url');
    for (const token of [...spelt, `!${blank}.b.c`, '.!a.b', 'a..!', '!eyJ.b.c']) {
      expect([token, await outcome(token)]).toEqual([token, 'token_malformed']);
    }
    expect(questions()).toHaveLength(0);
  });

  it('H2b brothers: dots that a token has by chance do not make it a signed one', async () => {
    // A token of Salesforce has 96 characters out of 64, of which the dot is one: every fourth has just two of them.
    const tokens = [
      '00D7F0000001I8v!ARgAQOG9WwPt',
      '00D7F0000001I8v!ARgA.QOG9W.wPt',
      '00D7F0000001I8v!.ARgAQOG9WwPt.',
      '00D7F0000001I8v!A.RgA.QOG9W.wPt',
      'a|b.c.d',
      '"a".b.c',
    ];
    for (const token of tokens) expect([token, await outcome(token)]).toEqual([token, 'accepted']);
    expect(questions()).toHaveLength(tokens.length);
    const without = start({ introspection: [] });
    for (const token of tokens) expect(await outcome(token, undefined, without)).toBe('token_malformed');
    without.close();
  });

  /** Stumbles over what looks like a path, as a firewall does. */
  const firewalled =
    (refusal: Answer): Answer =>
    (...request) =>
      (new URLSearchParams(request[0].body).get('token')!.includes('../') ? refusal : json(200, active()))(...request);

  it.each([400, 403, 404, 413])(
    'H7 that an issuer responds to with %i do not keep others from being introspected',
    async (status) => {
      issuer.introspectionAnswer = firewalled(json(status, { error: 'invalid_request' }));
      expect(await outcome(opaque())).toBe('accepted');
      for (let hostile = 0; hostile < 10; hostile++) expect(await outcome(`../../${hostile}`)).toBe('token_inactive');
      expect(await outcome(opaque())).toBe('accepted');
      // One of them a probe: an endpoint that is being restarted may reject everything for a moment.
      expect(questions()).toHaveLength(13);
      // As long as any other token that is not active.
      await outcome('../../0');
      expect(questions()).toHaveLength(13);
      await clock.advance(10_000);
      await outcome('../../0');
      expect(questions()).toHaveLength(15);
      expect(events.map(({ type }) => type)).toEqual(Array(11).fill('introspection.rejected'));
      expect(JSON.stringify(events)).not.toContain('../');
    },
  );

  it('H7 that an issuer rejects do not keep it paused after an outage', async () => {
    issuer.introspectionAnswer = firewalled(json(403, {}));
    expect(await outcome(opaque())).toBe('accepted');
    issuer.introspectionAnswer = json(503, {});
    for (let failure = 0; failure < 3; failure++) await outcome(opaque());
    issuer.introspectionAnswer = firewalled(json(403, {}));
    await clock.advance(1000);
    // Undecided until the next probe, 5 s after the last one.
    expect(await outcome('../../0')).toBe('introspection_unavailable');
    expect(await outcome(opaque())).toBe('accepted');
    await clock.advance(4000);
    expect(await outcome('../../0')).toBe('token_inactive');
  });

  it('H7 that an issuer rejects are decided although it has not answered any request before', async () => {
    issuer.introspectionAnswer = firewalled(json(400, {}));
    expect(await outcome('../../first')).toBe('token_inactive');
    expect(await outcome('../../second')).toBe('token_inactive');
    // One question besides, about no token of anybody's.
    expect(questions()).toHaveLength(3);
    expect(new URLSearchParams(questions()[1]!.body).get('token')).toMatch(/^[\w-]{32}$/);
  });

  it('H7 are undecided if no request was ever answered, as with a wrong address', async () => {
    issuer.introspectionAnswer = json(404, {});
    for (let failure = 0; failure < 4; failure++) {
      expect(await verifier.verify(opaque())).toMatchObject({
        reason: 'introspection_unavailable',
        retryAfterSeconds: 5,
      });
    }
    expect(questions()).toHaveLength(5);
    issuer.introspectionAnswer = json(200, active());
    expect(await outcome(opaque())).toBe('accepted');
  });

  it('K9 cached by one guard are not used by another', async () => {
    const other = await ForgeableIssuer.start();
    other.introspectionAnswer = json(200, { active: false });
    const by = start({ issuers: [genericOAuth2({ issuer: other.url })] });
    const token = opaque();
    expect(await outcome(token)).toBe('accepted');
    expect(await outcome(token, undefined, by)).toBe('token_inactive');
    expect(await outcome(token)).toBe('accepted');
    by.close();
    await other.close();
  });

  it('K9 are kept apart by guards that introspect them at the same time', async () => {
    const other = await ForgeableIssuer.start();
    other.introspectionAnswer = json(200, { active: false });
    const by = start({ issuers: [genericOAuth2({ issuer: other.url })] });
    const token = opaque();
    const both = Array.from({ length: 20 }, () => [outcome(token), outcome(token, undefined, by)]).flat();
    expect(new Set(await Promise.all(both.filter((_one, at) => at % 2 === 0)))).toEqual(new Set(['accepted']));
    expect(new Set(await Promise.all(both.filter((_one, at) => at % 2 === 1)))).toEqual(new Set(['token_inactive']));
    expect([questions().length, other.requestsFor('/introspect').length]).toEqual([1, 1]);
    by.close();
    await other.close();
  });

  it.each([
    ['in a file', 'file:///etc/passwd'],
    ['in itself', 'data:application/json,{"active":true}'],
    ['by ftp', 'ftp://127.0.0.1/introspect'],
    ['on another origin', 'http://127.0.0.1:1/introspect'],
    ['behind a password', 'http://a:b@127.0.0.1/introspect'],
    ['in the machine\u2019s own network', 'http://169.254.169.254/'],
    ['nowhere', undefined],
  ])('K13b are not sent to an endpoint %s that metadata names', async (_name, endpoint) => {
    issuer.metadata = { introspection_endpoint: endpoint };
    expect(await outcome(opaque())).toBe('introspection_unavailable');
    expect(questions()).toHaveLength(0);
  });

  it.each(['file:///x', 'data:,x', 'ftp://id.example/x', 'https://a:b@id.example/x', 'http://id.example/x'])(
    'K13b the boot refuses %s as the endpoint',
    (introspectionEndpoint) => {
      const issuers = [genericOAuth2({ issuer: 'https://id.example', introspectionEndpoint })];
      expect(() => start({ issuers })).toThrow(/options\.issuers\[0\]\.introspectionEndpoint/);
    },
  );

  it('may have an answer without a subject if it names the client', async () => {
    issuer.introspectionAnswer = json(200, active({ sub: undefined }));
    const by = start({ clients: ['billing'] });
    expect(await outcome(opaque(), undefined, by)).toBe('accepted');
    by.close();
  });

  it('may have times as strings at CyberArk Identity, as its responses do', async () => {
    const provider = {
      ...cyberArkIdentity({ tenantUrl: issuer.url, applicationId: 'api' }),
      introspectionEndpoint: `${issuer.url}/introspect`,
    };
    const by = start({ issuers: [provider], clients: ['svc@acme'] });
    const answer = { iss: provider.issuer, unique_name: 'svc@acme', client_id: undefined, sub: 'a-uuid' };
    issuer.introspectionAnswer = json(200, active({ ...answer, exp: String(NOW + 300), iat: String(NOW) }));
    expect(await outcome(opaque(), undefined, by)).toBe('accepted');
    issuer.introspectionAnswer = json(200, active({ ...answer, exp: '1e99' }));
    expect(await outcome(opaque(), undefined, by)).toBe('time_claim_malformed');
    // Its Basic is raw: nothing in it is encoded.
    expect(questions().at(-1)!.headers.authorization).toBe(
      `Basic ${Buffer.from('users-api:a secret: +%').toString('base64')}`,
    );
    by.close();
  });

  it('are distinguished from a person’s also if the profile uses another client claim', async () => {
    const provider = { ...okta({ domain: 'acme.okta.com' }), introspectionEndpoint: `${issuer.url}/introspect` };
    const by = start({ issuers: [provider] });
    issuer.introspectionAnswer = json(200, active({ iss: provider.issuer }));
    expect(await outcome(opaque(), undefined, by)).toBe('accepted');
    issuer.introspectionAnswer = json(200, active({ iss: provider.issuer, uid: 'u', sub: 'jane' }));
    expect(await outcome(opaque(), undefined, by)).toBe('not_a_machine');
    by.close();
  });
});

describe('srv-10: tokens that an issuer fails for', () => {
  /** Fails for some tokens, as a stranger can make them up, and knows all others. */
  const failingFor =
    (odd: string, failure: Answer): Answer =>
    (...request) =>
      (new URLSearchParams(request[0].body).get('token')!.startsWith(odd)
        ? failure
        : json(200, active({ jti: 'one' })))(...request);
  const probes = () =>
    questions().filter(({ body }) => /^[\w-]{32}$/.test(new URLSearchParams(body).get('token')!)).length;

  const failures: readonly (readonly [string, Answer])[] = [
    ['500', json(500, {})],
    ['502 as a page', (_request, response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<html>')],
    ['503 with Retry-After', json(503, {}, { 'retry-after': '30' })],
    ['429', json(429, {})],
    ['429 with Retry-After', json(429, {}, { 'retry-after': '30' })],
    ['401, as if the guard were refused', json(401, { error: 'invalid_client' })],
    ['an answer that is not understood', json(200, { active: 'yes' })],
    ['a broken connection', (_request, response) => response.destroy()],
  ];

  it.each(failures)('srv-10: %s: twenty of them a second block no valid new token', async (_name, failure) => {
    issuer.introspectionAnswer = failingFor('odd-', failure);
    let odd = 0;
    const good: string[] = [];
    for (let second = 0; second < 11; second++) {
      const strangers = Array.from({ length: 20 }, () => outcome(`odd-${odd++}`));
      // Good ones come among them, before and after.
      good.push(await outcome(opaque()), await outcome(jwt({ jti: undefined }), SENSITIVE));
      expect(new Set(await Promise.all(strangers))).toEqual(new Set(['introspection_unavailable']));
      good.push(await outcome(opaque()), await outcome(opaque()));
      clock.setWallClock(new Date((NOW + second + 1) * 1000));
    }
    expect(new Set(good)).toEqual(new Set(['accepted']));
    // At most one in 5 s.
    expect(probes()).toBeGreaterThan(0);
    expect(probes()).toBeLessThanOrEqual(3);
    expect(events.map(({ type }) => type)).not.toContain('introspection.paused');
  });

  it('srv-10: without any valid token between them, the next one is still accepted', async () => {
    issuer.introspectionAnswer = failingFor('odd-', json(500, {}));
    for (let odd = 0; odd < 100; odd++) await outcome(`odd-${odd}`);
    expect(await outcome(opaque())).toBe('accepted');
    expect(probes()).toBe(1);
  });

  it('srv-10: an issuer that hangs for them does not count as down', async () => {
    issuer.introspectionAnswer = failingFor('odd-', () => undefined);
    for (let round = 0; round < 4; round++) {
      const hanging = Promise.all(Array.from({ length: 5 }, (_, odd) => outcome(`odd-${round}-${odd}`)));
      while (questions().filter(({ body }) => body.includes(`odd-${round}`)).length < 5) {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      expect(await outcome(opaque())).toBe('accepted');
      await clock.advance(5000);
      expect(new Set(await hanging)).toEqual(new Set(['introspection_unavailable']));
      expect(await outcome(opaque())).toBe('accepted');
    }
    expect(events.map(({ type }) => type)).not.toContain('introspection.paused');
  });

  it('srv-10: forty a second that it hangs for block no valid new token, however rare these are', async () => {
    issuer.introspectionAnswer = failingFor('odd-', () => undefined);
    const hanging: Promise<string>[] = [];
    const flood = async (seconds: number) => {
      for (let second = 0; second < seconds; second++) {
        for (let odd = 0; odd < 40; odd++) hanging.push(outcome(`odd-${hanging.length}`));
        await clock.advance(1000);
      }
    };
    expect(await outcome(opaque())).toBe('accepted');
    for (const seconds of [4, 1, 7]) {
      await flood(seconds);
      expect(await outcome(opaque())).toBe('accepted');
    }
    expect(probes()).toBeLessThanOrEqual(3);
    verifier.close();
    expect(new Set(await Promise.all(hanging))).toEqual(new Set(['introspection_unavailable']));
  });

  it('srv-10: an issuer that is slow for all tokens still answers the first ones', async () => {
    const waiting: (() => void)[] = [];
    issuer.introspectionAnswer = (...request) => waiting.push(() => void json(200, active())(...request));
    const open = async (count: number) => {
      while (waiting.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
    };
    const usual = outcome(opaque());
    await open(1);
    clock.setWallClock(new Date((NOW + 2) * 1000));
    waiting.splice(0).forEach((answer) => answer());
    expect(await usual).toBe('accepted');
    const early = Array.from({ length: 100 }, () => outcome(opaque()));
    await open(100);
    clock.setWallClock(new Date((NOW + 3.9) * 1000));
    expect(await outcome(opaque())).toBe('introspection_unavailable');
    waiting.splice(0).forEach((answer) => answer());
    expect(new Set(await Promise.all(early))).toEqual(new Set(['accepted']));
  });

  it('srv-10: confirmations too: a client whose tokens the issuer fails for blocks no other client', async () => {
    issuer.introspectionAnswer = (...request) => {
      const { jti } = JSON.parse(
        Buffer.from(new URLSearchParams(request[0].body).get('token')!.split('.')[1] ?? 'e30', 'base64url').toString(),
      ) as { jti?: string };
      return (jti?.startsWith('odd') ? json(500, {}) : json(200, active({ jti })))(...request);
    };
    const rounds = Array.from({ length: 10 }, (_, round) => round);
    for (const round of rounds) {
      for (const odd of ['a', 'b', 'c', 'd']) {
        expect(await outcome(jwt({ jti: `odd-${round}-${odd}` }), SENSITIVE)).toBe('introspection_unavailable');
      }
      expect(await outcome(jwt({ jti: `good-${round}` }), SENSITIVE)).toBe('accepted');
    }
    expect(probes()).toBe(1);
  });

  it('srv-10: an issuer that is down is detected by one probe for both kinds of tokens, and probed by one request', async () => {
    issuer.introspectionAnswer = json(503, {});
    const before = () => questions().length;
    await Promise.all(Array.from({ length: 50 }, () => outcome(opaque())));
    const inFlight = before();
    expect(inFlight).toBeLessThanOrEqual(51);
    await Promise.all(Array.from({ length: 50 }, (_, at) => outcome(jwt({ jti: `j${at}` }), SENSITIVE)));
    expect(before()).toBe(inFlight);
    expect(events.filter(({ type }) => type === 'introspection.paused')).toHaveLength(1);
    await clock.advance(1000);
    await Promise.all(
      Array.from({ length: 25 }, (_, at) => [outcome(opaque()), outcome(jwt({ jti: `k${at}` }), SENSITIVE)]).flat(),
    );
    expect(before()).toBe(inFlight + 1);
    issuer.introspectionAnswer = json(200, active({ jti: 'one' }));
    await clock.advance(2000);
    expect(await outcome(jwt({ jti: 'one' }), SENSITIVE)).toBe('accepted');
    expect(events.at(-1)).toEqual({ type: 'introspection.recovered', issuer: issuer.url });
  });

  it('srv-10: attackers keep a recovered issuer paused until the next probe at most', async () => {
    issuer.introspectionAnswer = json(503, {});
    for (let failure = 0; failure < 3; failure++) await outcome(opaque());
    issuer.introspectionAnswer = failingFor('odd-', json(500, {}));
    let backAfter = Infinity;
    for (let tenth = 1; tenth <= 100 && backAfter === Infinity; tenth++) {
      clock.setWallClock(new Date(NOW * 1000 + tenth * 100));
      // The stranger is always the first.
      await outcome(`odd-${tenth}`);
      if ((await outcome(opaque())) === 'accepted') backAfter = tenth / 10;
    }
    expect(backAfter).toBeLessThanOrEqual(7);
    expect(backAfter).toBeGreaterThan(5);
  });

  it('srv-10: a short run of 404 from a gateway evicts no valid token', async () => {
    expect(await outcome(opaque())).toBe('accepted');
    issuer.introspectionAnswer = json(404, {});
    const [token, other] = [opaque(), opaque()];
    expect([await outcome(token), await outcome(other)]).toEqual([
      'introspection_unavailable',
      'introspection_unavailable',
    ]);
    issuer.introspectionAnswer = json(200, active());
    expect([await outcome(token), await outcome(other)]).toEqual(['accepted', 'accepted']);
  });
});

describe('srv-4: introspection without aud', () => {
  const options = (more: Partial<GuardOptions> = {}): Partial<GuardOptions> => ({
    issuers: [genericOAuth2({ issuer: issuer.url, hasNoAudience: true })],
    clients: ['billing'],
    ...more,
  });
  /** As these servers answer about a token of client credentials by default. */
  const answers: Readonly<Record<string, () => object>> = {
    'oidc-provider': () => ({
      active: true,
      client_id: 'billing',
      exp: NOW + 300,
      iat: NOW,
      iss: issuer.url,
      jti: 'x',
      scope: 'users.read',
      token_type: 'Bearer',
    }),
    'Ory Hydra': () => ({
      active: true,
      scope: 'users.read',
      client_id: 'billing',
      sub: 'billing',
      exp: NOW + 300,
      iat: NOW,
      nbf: NOW,
      aud: [],
      iss: issuer.url,
      token_type: 'Bearer',
      token_use: 'access_token',
    }),
    'Keycloak, lightweight': () => ({
      exp: NOW + 300,
      iat: NOW,
      jti: 'trrtcc:x',
      iss: issuer.url,
      sub: 'billing',
      typ: 'Bearer',
      azp: 'billing',
      acr: '1',
      scope: 'users.read',
      client_id: 'billing',
      username: 'service-account-billing',
      token_type: 'Bearer',
      active: true,
    }),
    'Spring Authorization Server': () => ({
      active: true,
      sub: 'billing',
      aud: null,
      nbf: NOW + 0.25,
      scope: 'users.read',
      iss: issuer.url,
      exp: NOW + 300.25,
      iat: NOW + 0.25,
      jti: 'x',
      client_id: 'billing',
      token_type: 'Bearer',
    }),
    'a server that names the type by its URI': () => ({
      active: true,
      client_id: 'billing',
      exp: NOW + 300,
      scope: 'users.read',
      token_type: 'urn:ietf:params:oauth:token-type:access_token',
    }),
    'Django OAuth Toolkit': () => ({ active: true, exp: NOW + 300, scope: 'users.read', client_id: 'billing' }),
    'a server that writes nulls': () => ({
      active: true,
      client_id: 'billing',
      username: null,
      sub: null,
      aud: null,
      iss: null,
      nbf: null,
      jti: null,
      token_type: null,
      scope: 'users.read',
      exp: NOW + 300,
      iat: null,
    }),
  };

  it.each(Object.keys(answers))(
    'srv-4: an answer of %s counts if the issuer vouches for the audience',
    async (name) => {
      issuer.introspectionAnswer = json(200, answers[name]!());
      const by = start(options());
      const verdict = (await by.verify(opaque(), { scopes: ['users.read'] })) as { caller: MachineCaller };
      expect(verdict).toMatchObject({ ok: true, caller: { clientId: 'billing', scopes: ['users.read'] } });
      by.close();
      // And nowhere else.
      const strict = start({ clients: ['billing'] });
      expect(await strict.verify(opaque())).toMatchObject({ reason: 'audience_mismatch', claim: 'aud' });
      strict.close();
    },
  );

  it.each<readonly [string, object, string]>([
    ['names another API', { aud: 'other-api' }, 'audience_mismatch'],
    ['names other APIs', { aud: ['other-api', 'more'] }, 'audience_mismatch'],
    ['names nothing that could be an API', { aud: 7 }, 'audience_mismatch'],
    ['has an empty audience', { aud: '' }, 'audience_mismatch'],
    ['names no client', { client_id: undefined }, 'client_unknown'],
    ['names a client by null', { client_id: null }, 'client_unknown'],
    ['names another client', { client_id: 'other', sub: 'other' }, 'client_not_allowed'],
    ['names another client and no subject', { client_id: 'other', sub: undefined }, 'client_not_allowed'],
    ['names two clients', { azp: 'other' }, 'client_ambiguous'],
    ['is about a person', { sub: 'jane' }, 'not_a_machine'],
    ['is about a refresh token', { token_use: 'refresh_token' }, 'foreign_token'],
    [
      'is about a refresh token by its URI',
      { token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      'foreign_token',
    ],
    ['is about a refresh token of Keycloak', { typ: 'Refresh' }, 'foreign_token'],
    ['is about an ID token', { typ: 'ID' }, 'foreign_token'],
    ['has no end', { exp: undefined }, 'time_claim_malformed'],
    ['has an end that is null', { exp: null }, 'time_claim_malformed'],
    ['is of another issuer', { iss: 'https://other.example' }, 'issuer_unknown'],
    ['is bound to a key', { cnf: { jkt: 'x' } }, 'confirmation_unsupported'],
    ['is bound to nothing that is said', { cnf: null }, 'confirmation_unsupported'],
    ['is used for another party', { act: null }, 'delegated_token'],
  ])('srv-4: an answer that %s is still refused', async (_name, more, reason) => {
    issuer.introspectionAnswer = json(200, active({ aud: undefined, ...more }));
    const by = start(options());
    expect(await outcome(opaque(), undefined, by)).toBe(reason);
    by.close();
  });

  it('srv-4: signed tokens of such an issuer may lack aud as well, under the same conditions', async () => {
    const by = start(options({ introspection: [] }));
    expect(await outcome(jwt({ aud: undefined }), undefined, by)).toBe('accepted');
    expect(await outcome(jwt({ aud: [] }), undefined, by)).toBe('accepted');
    expect(await outcome(jwt({ aud: null }), undefined, by)).toBe('accepted');
    expect(await outcome(jwt(), undefined, by)).toBe('accepted');
    expect(await outcome(jwt({ aud: 'other-api' }), undefined, by)).toBe('audience_mismatch');
    expect(await outcome(jwt({ aud: undefined, client_id: 'other', sub: 'other' }), undefined, by)).toBe(
      'client_not_allowed',
    );
    expect(await outcome(forge(stranger, active({ aud: undefined })), undefined, by)).toBe('signature_invalid');
    by.close();
  });

  it('srv-4: the boot fails without named clients, at each preset that has the option', () => {
    const providers = [
      genericOAuth2({ issuer: 'https://id.example', hasNoAudience: true }),
      duende({ issuer: 'https://id.example', hasNoAudience: true }),
      keycloak({ url: 'https://id.example', realm: 'r', hasNoAudience: true }),
      cyberArkIdentity({ tenantUrl: 'https://acme.example', applicationId: 'a', hasNoAudience: true }),
    ];
    for (const provider of providers) {
      expect(() => start({ issuers: [provider], introspection: [] })).toThrow(/options\.clients: expected the clients/);
      start({ issuers: [provider], introspection: [], clients: ['billing'] }).close();
    }
    const odd = [genericOAuth2({ issuer: 'https://id.example', hasNoAudience: 'yes' as never })];
    expect(() => start({ issuers: odd, clients: ['billing'] })).toThrow(/issuers\[0\]\.hasNoAudience/);
  });

  it('srv-4: answers of a realm of Keycloak, about a service account and about a person', async () => {
    const realm = keycloak({ url: issuer.url, realm: 'acme', hasNoAudience: true });
    const answer = {
      active: true,
      exp: NOW + 300,
      iat: NOW,
      jti: 'trrtcc:one',
      iss: realm.issuer,
      sub: '0c2f1d5e-1f0a-4b5c-9c68-0a8c4c4f7d11',
      typ: 'Bearer',
      azp: 'billing',
      scope: 'email',
      client_id: 'billing',
      username: 'service-account-billing',
      token_type: 'Bearer',
    };
    const by = start({
      issuers: [{ ...realm, introspectionEndpoint: `${issuer.url}/introspect` }],
      clients: ['billing'],
    });
    for (const [more, expected] of [
      [{}, 'accepted'],
      [{ preferred_username: 'service-account-billing' }, 'accepted'],
      [{ preferred_username: 'jane', username: 'jane' }, 'not_a_machine'],
      [{ username: 'jane' }, 'not_a_machine'],
      [{ preferred_username: 'service-account-billing', username: 'jane' }, 'not_a_machine'],
      [{ sid: 's1' }, 'not_a_machine'],
      [{ typ: 'Refresh' }, 'foreign_token'],
      [{ aud: ['account'] }, 'audience_mismatch'],
    ] as const) {
      issuer.introspectionAnswer = json(200, { ...answer, ...more });
      expect([more, await outcome(opaque(), undefined, by)]).toEqual([more, expected]);
    }
    by.close();
  });

  it('srv-4: opaque tokens of a real server (oidc-provider), which names no audience, are accepted', async () => {
    const server = await AuthorizationServer.start({ opaqueTokens: true });
    server.register({ client_id: 'billing', client_secret: 'a-secret-of-the-client', scope: 'users' });
    server.register({ client_id: 'orders', client_secret: 'a-secret-of-another', scope: 'users' });
    server.register({ client_id: 'users-api', client_secret: 'a-secret-of-the-guard' });
    const tokenOf = async (id: string, secret: string) => {
      const response = await fetch(`${server.issuer}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'users' }),
      });
      return ((await response.json()) as { access_token: string }).access_token;
    };
    const by = createAccessTokenVerifier(
      {
        issuers: [genericOAuth2({ issuer: server.issuer, hasNoAudience: true })],
        audience: 'users-api',
        clients: ['billing'],
        introspection: [{ clientId: 'users-api', clientSecret: 'a-secret-of-the-guard' }],
      },
      { production: false },
    );
    try {
      const token = await tokenOf('billing', 'a-secret-of-the-client');
      expect(token).not.toContain('.');
      const verdict = await by.verify(token, { scopes: ['users'] });
      expect(verdict).toMatchObject({ ok: true, caller: { clientId: 'billing', isIntrospected: true } });
      expect((verdict as { caller: MachineCaller }).caller.claims).not.toHaveProperty('aud');
      expect(await outcome(await tokenOf('orders', 'a-secret-of-another'), undefined, by)).toBe('client_not_allowed');
      expect(await outcome(`${token.slice(0, -4)}AAAA`, undefined, by)).toBe('token_inactive');
    } finally {
      by.close();
      await server.close();
    }
  });
});

describe('answers of introspection as servers write them', () => {
  it.each<readonly [string, Answer]>([
    ['with status 201', (...request) => json(201, active())(...request)],
    ['as application/json with a charset', typed('application/json;charset=UTF-8')],
    ['as a subtype of JSON', typed('application/token-introspection+json')],
    ['behind a byte order mark', typed('application/json', '\uFEFF')],
    [
      'with spaces in its scopes',
      (...request) => json(200, active({ scope: ' users.read  users.write ' }))(...request),
    ],
  ])('count: %s', async (_name, answer) => {
    issuer.introspectionAnswer = answer;
    expect(await outcome(opaque(), { scopes: ['users.read'] })).toBe('accepted');
  });

  function typed(type: string, before = ''): Answer {
    return (_request, response) =>
      response.writeHead(200, { 'content-type': type }).end(before + JSON.stringify(active()));
  }

  it.each(['text/html', 'text/plain', 'application/javascript'])('do not count as %s', async (type) => {
    issuer.introspectionAnswer = typed(type);
    expect(await outcome(opaque())).toBe('introspection_unavailable');
  });
});

describe('signed answers (RFC 9701)', () => {
  const signed = (claims: object = {}, header: object = {}, by = key): Answer => {
    const body = { iss: issuer.url, aud: 'users-api', iat: NOW, token_introspection: active(), ...claims };
    const text = forge(by, body, { typ: 'token-introspection+jwt', ...header });
    return (_request, response) =>
      response.writeHead(200, { 'content-type': 'application/token-introspection+jwt' }).end(text);
  };
  let by: AccessTokenVerifier;
  beforeEach(() => {
    by = start({ introspection: [{ clientId: 'users-api', clientSecret: 's', signedAnswers: true }] });
  });
  afterEach(() => by.close());

  it('are requested and used', async () => {
    issuer.introspectionAnswer = signed();
    expect(await outcome(opaque(), undefined, by)).toBe('accepted');
    expect(questions()[0]!.headers.accept).toBe('application/token-introspection+jwt');
    issuer.introspectionAnswer = signed({ aud: ['other', 'users-api'], token_introspection: { active: false } });
    expect(await outcome(opaque(), undefined, by)).toBe('token_inactive');
  });

  it.each<readonly [string, () => Answer]>([
    ['not signed at all', () => json(200, active())],
    ['signed by another key', () => signed({}, {}, stranger)],
    ['unsigned', () => signed({}, { alg: 'none' })],
    ['an access token', () => signed({}, { typ: 'at+jwt' })],
    ['of another issuer', () => signed({ iss: 'https://evil.example' })],
    ['for another API', () => signed({ aud: 'other' })],
    ['for no API', () => signed({ aud: undefined })],
    ['from ten minutes ago', () => signed({ iat: NOW - 600 })],
    ['without a time', () => signed({ iat: undefined })],
    ['without an answer', () => signed({ token_introspection: undefined })],
    ['with a list for an answer', () => signed({ token_introspection: [] })],
    ['active outside, not inside', () => signed({ active: true, token_introspection: {} })],
    ['with an extension', () => signed({}, { crit: ['x'], x: 1 })],
  ])('I5 that are %s decide nothing', async (_name, answer) => {
    issuer.introspectionAnswer = answer();
    expect(await outcome(opaque(), undefined, by)).toBe('introspection_unavailable');
  });
});

describe('sensitive routes', () => {
  it('introspect tokens whose signature is valid', async () => {
    issuer.introspectionAnswer = json(200, active({ jti: 'one' }));
    const token = jwt();
    expect(await outcome(token)).toBe('accepted');
    expect(questions()).toHaveLength(0);
    const verdict = (await verifier.verify(token, SENSITIVE)) as { caller: MachineCaller };
    expect(verdict.caller).toMatchObject({
      clientId: 'billing',
      isIntrospected: true,
      expiresAt: new Date((NOW + 300) * 1000),
    });
    expect(questions()).toHaveLength(1);
    // Known, and asked about a moment ago: there is nothing to wait for.
    expect(verifier.verify(token, SENSITIVE)).toMatchObject({ ok: true });
    expect(await outcome(opaque(), SENSITIVE)).toBe('accepted');
  });

  it('K12 go by the earliest expiry, though less strict routes cache the token for longer', async () => {
    issuer.introspectionAnswer = json(200, active({ jti: 'one', exp: NOW + 90 }));
    const token = jwt({ exp: NOW + 3600 });
    expect(await outcome(token, SENSITIVE)).toBe('accepted');
    issuer.introspectionAnswer = json(200, { active: false });
    await clock.advance(59_999);
    // Neither of the two routes makes anything live longer for the other.
    expect([await outcome(token), await outcome(token, SENSITIVE)]).toEqual(['accepted', 'accepted']);
    await clock.advance(1);
    expect([await outcome(token), await outcome(token, SENSITIVE)]).toEqual(['accepted', 'token_inactive']);
    expect(questions()).toHaveLength(2);
    await clock.advance(3_570_000);
    expect([await outcome(token), await outcome(token, SENSITIVE)]).toEqual(['token_expired', 'token_expired']);
  });

  it('K12 introspect again once the answer has expired, also before the token has', async () => {
    issuer.introspectionAnswer = json(200, active({ jti: 'one', exp: NOW + 20 }));
    const token = jwt({ exp: NOW + 3600 });
    expect(await outcome(token, SENSITIVE)).toBe('accepted');
    await clock.advance(20_000);
    issuer.introspectionAnswer = json(200, { active: false });
    expect(await outcome(token, SENSITIVE)).toBe('token_inactive');
  });

  it.each<readonly [string, object, string]>([
    ['is not active', { active: false }, 'token_inactive'],
    ['is about another client', { jti: 'one', client_id: 'other' }, 'token_inactive'],
    ['is about another token', { jti: 'two' }, 'token_inactive'],
    ['is about another subject', { jti: 'one', sub: 'other' }, 'token_inactive'],
    ['is of another issuer', { jti: 'one', iss: 'https://evil.example' }, 'token_inactive'],
  ])('I5 refuse a token if the answer %s', async (_name, more, reason) => {
    issuer.introspectionAnswer = json(200, active(more));
    expect(await outcome(jwt(), SENSITIVE)).toBe(reason);
    expect(await outcome(jwt())).toBe('accepted');
  });

  it.each<readonly [string, object, string]>([
    ['it is over', { exp: NOW - 31, iat: NOW - 60 }, 'token_expired'],
    ['it ends with a text', { exp: String(NOW + 300) }, 'time_claim_malformed'],
    ['it is not good yet', { nbf: NOW + 31 }, 'token_not_yet_valid'],
    ['it is for another API', { aud: 'other' }, 'audience_mismatch'],
    ['it is bound to a key', { cnf: { jkt: 'x' } }, 'confirmation_unsupported'],
    ['an actor uses it for another', { act: { sub: 'x' } }, 'delegated_token'],
    ['it refreshes others', { token_type: 'refresh_token' }, 'foreign_token'],
    ['it has lost the scope', { scope: 'users.write' }, 'scope_insufficient'],
    ['it has lost all scopes', { scope: '' }, 'scope_insufficient'],
    ['its scopes are of the wrong form', { scope: 'a\tb' }, 'scope_malformed'],
  ])('refuse a token if only the issuer’s response shows that %s', async (_name, said, reason) => {
    issuer.introspectionAnswer = json(200, { active: true, ...said });
    expect(await outcome(jwt(), { ...SENSITIVE, scopes: ['users.read'] })).toBe(reason);
    expect(await outcome(jwt(), { ...SENSITIVE, sensitive: false })).toBe('accepted');
  });

  it('refuse a token after the earlier expiry that the issuer names, although its answer is cached', async () => {
    issuer.introspectionAnswer = json(200, { active: true, exp: NOW + 5 });
    const [token, by] = [jwt(), start({ clockToleranceSeconds: 0 })];
    expect(await outcome(token, SENSITIVE, by)).toBe('accepted');
    await clock.advance(5000);
    issuer.introspectionAnswer = json(200, { active: true, exp: NOW + 5 });
    expect(await outcome(token, SENSITIVE, by)).toBe('token_expired');
    by.close();
  });

  it('accept an answer that names no audience and repeats the token', async () => {
    const token = jwt({ typ: 'machine', token_use: 'm2m' });
    issuer.introspectionAnswer = json(200, active({ jti: 'one', aud: [], typ: 'machine', token_use: 'm2m' }));
    expect(await outcome(token, SENSITIVE)).toBe('accepted');
    issuer.introspectionAnswer = json(200, active({ jti: 'two', token_use: 'refresh_token' }));
    expect(await outcome(jwt({ jti: 'two', token_use: 'm2m' }), SENSITIVE)).toBe('foreign_token');
  });

  it('drop scopes that the issuer does not name, and add none', async () => {
    issuer.introspectionAnswer = json(200, { active: true, scope: 'users.read admin' });
    const token = jwt({ scope: 'users.read users.write' });
    const verdict = (await verifier.verify(token, SENSITIVE)) as { caller: MachineCaller };
    expect(verdict.caller.scopes).toEqual(['users.read']);
    issuer.introspectionAnswer = json(200, { active: true });
    const other = (await verifier.verify(jwt({ scope: 'a b' }), SENSITIVE)) as { caller: MachineCaller };
    expect(other.caller.scopes).toEqual(['a', 'b']);
  });

  it('refuse a token if the issuer is unreachable or no introspection is configured', async () => {
    issuer.introspectionAnswer = json(500, {});
    expect(await outcome(jwt(), SENSITIVE)).toBe('introspection_unavailable');
    const by = start({ introspection: [] });
    expect(await outcome(jwt(), SENSITIVE, by)).toBe('introspection_unavailable');
    by.close();
  });

  it('introspect verified callers although made-up tokens use up their own request limit', async () => {
    const waiting: (() => void)[] = [];
    issuer.introspectionAnswer = (request, response, message) => {
      if (request.body.includes('opaque-')) waiting.push(() => void json(200, {})(request, response, message));
      else json(200, active({ jti: 'one' }))(request, response, message);
    };
    const flood = Array.from({ length: 200 }, () => outcome(opaque()));
    while (waiting.length < 100) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await outcome(jwt(), SENSITIVE)).toBe('accepted');
    waiting.forEach((answer) => answer());
    await Promise.all(flood);
  });

  it('introspect verified callers while made-up tokens make the issuer fail', async () => {
    issuer.introspectionAnswer = (...request) =>
      (request[0].body.includes('opaque-') ? json(500, {}) : json(200, active({ jti: 'one' })))(...request);
    for (let failure = 0; failure < 5; failure++) await outcome(opaque());
    expect(await outcome(opaque())).toBe('introspection_unavailable');
    expect(await outcome(jwt(), SENSITIVE)).toBe('accepted');
    expect(events.flatMap((event) => ('tokens' in event ? [event.tokens] : []))).toEqual(Array(6).fill('opaque'));
  });

  it('do not introspect callers that lack the rights anyway', async () => {
    expect(await outcome(jwt(), { ...SENSITIVE, scopes: ['admin'] })).toBe('scope_insufficient');
    expect(questions()).toHaveLength(0);
  });
});
