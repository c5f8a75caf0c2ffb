import { beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { unsignedIntrospection } from '../../../../test/support/unsigned-introspection.js';
import { EventStream } from '../foundation/event-stream.js';
import type { AccessTokenProfile, Claims } from '../identity-providers/identity-provider.js';
import { ManualClock } from '../testing/manual-clock.js';
import { generateSigningKey, signatureOf, type SigningKey } from '../testing/signing-key.js';
import { AccessTokenVerifier, type AccessTokenVerifierOptions } from './access-token-verifier.js';
import { Introspection } from './introspection.js';
import { IntrospectionAvailability } from './introspection-availability.js';
import { type KeyLookup, type KeySet, VerificationKeys } from './key-set.js';
import type { MachineCaller } from './machine-caller.js';
import { ResolvedIssuers } from './resolved-issuers.js';
import type { RevocableToken, RevocationStore } from './revocation.js';
import type { RoutePolicy } from './route-policy.js';
import { ClientRegistry, type RegisteredClient, type TrustedIssuer } from './trusted-issuer.js';
import { TrustedIssuers } from './trusted-issuers.js';
import type { VerificationEvent } from './verification-events.js';
import type { VerificationKey } from './verification-key.js';

const issuer = 'https://id.example';
const TENANT = 'https://tenant.example';
const START = new Date('2030-01-01T00:00:00Z');
const NOW = START.getTime() / 1000;
const SENSITIVE: RoutePolicy = { sensitive: true };

const profile: AccessTokenProfile = {
  algorithms: ['ES256'],
  tokenTypes: [undefined],
  clientIdClaims: ['azp'],
  requiredClaims: ['sub'],
  isAccessToken: ({ kind }) => kind === 'access',
  isMachine: () => true,
};

/** Keys that a test can replace and hold up. */
class Keys implements KeySet {
  readonly problem = undefined;
  /** Number of times that a key was looked for. */
  lookups = 0;
  /** Whether the current keys are held, and need not be read first. */
  isFresh = true;
  held = new VerificationKeys([key]);
  wait: Promise<void> | undefined;

  current(): VerificationKeys | undefined {
    return this.isFresh ? this.held : undefined;
  }
  async find(): Promise<KeyLookup> {
    this.lookups++;
    const { held } = this;
    await this.wait;
    return { kind: 'found', keys: held.list, set: held, areNamed: true };
  }
  async warmUp(): Promise<void> {}
  stopRefreshing(): void {}
  close(): void {}
}

let signer: SigningKey;
let key: VerificationKey;
beforeAll(async () => {
  signer = await generateSigningKey('ES256', 'k');
  key = { kid: 'of the set', algorithms: ['ES256'], key: signer.publicKey, identity: 'k' };
});

let clock: ManualClock;
let keys: Keys;
/** Tokens that the issuer was asked about. */
let asked: string[];
/** How the issuer answers. */
let answer: object | undefined;

beforeEach(() => {
  clock = new ManualClock(START);
  keys = new Keys();
  asked = [];
  answer = { active: true, aud: 'api', exp: NOW + 300, client_id: 'billing', sub: 's' };
});

function introspection(tokens: 'opaque' | 'signed'): Introspection {
  const endpoint = unsignedIntrospection({
    issuer,
    fetch: async (_url, init) => {
      asked.push((init!.body as URLSearchParams).get('token')!);
      if (!answer) return new Response(null, { status: 503, headers: { 'retry-after': '7' } });
      return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } });
    },
    clock,
  });
  const availability = new IntrospectionAvailability({ issuer, endpoint, clock, emit: () => {} });
  return new Introspection({ tokens, endpoint, availability, clock });
}

interface Setting extends Partial<AccessTokenVerifierOptions> {
  readonly clients?: readonly Partial<RegisteredClient>[];
  /** Whether the issuer is asked about signed tokens. */
  readonly confirms?: boolean;
  readonly resolve?: () => unknown;
}

function create({ clients, confirms = true, resolve, ...options }: Setting = {}): AccessTokenVerifier {
  const named = clients?.map((client) => ({ issuer, clientId: 'billing', ...client }));
  const trusted: TrustedIssuer = {
    issuer,
    policy: { audiences: ['api'], clockToleranceSeconds: 0, maxTokenLifetimeSeconds: undefined, profile },
    keys,
    clients: named && new ClientRegistry(named),
    fetchesKeysEarly: true,
    isResolved: false,
    opaqueTokens: introspection('opaque'),
    signedTokens: confirms ? introspection('signed') : undefined,
  };
  const events = new EventStream<VerificationEvent>();
  const resolved =
    resolve &&
    new ResolvedIssuers({
      resolve,
      trust: (name) => ({ ...trusted, issuer: name, isResolved: true }),
      maxIssuers: 10,
      holdMs: 60_000,
      clock,
      emit: () => {},
    });
  return new AccessTokenVerifier({
    issuers: new TrustedIssuers({ named: [trusted], resolved, start: 'lazy', startTimeoutMs: 1, events, clock }),
    hasSeveralIssuers: false,
    opaqueTokensOf: issuer,
    revocations: undefined,
    maxTokenLength: 2000,
    verifiedTokens: { maxEntries: 100 },
    events,
    clock,
    ...options,
  });
}

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const CLAIMS = {
  iss: issuer,
  aud: 'api',
  exp: NOW + 300,
  iat: NOW,
  azp: 'billing',
  sub: 's',
  kind: 'access',
  jti: 'j',
};
function jwt(claims: object = {}): string {
  const content = `${encoded({ alg: 'ES256', kid: 'of the token' })}.${encoded({ ...CLAIMS, ...claims })}`;
  return `${content}.${signatureOf(content, 'ES256', signer.privateKey).toString('base64url')}`;
}
async function verdict(token: string, setting?: Setting, route?: RoutePolicy) {
  return create(setting).verify(token, route);
}
/** The reason, the claim, what was found, what was expected; `accepted` without a refusal. */
async function outcome(token: string, setting?: Setting, route?: RoutePolicy): Promise<unknown> {
  const decided = await verdict(token, setting, route);
  if (decided.ok) return 'accepted';
  const { reason, claim, found, expected } = decided;
  return [reason, claim, found, expected];
}
async function callerOf(token: string, setting?: Setting, route?: RoutePolicy): Promise<MachineCaller> {
  const decided = await verdict(token, setting, route);
  if (!decided.ok) throw new Error(`refused: ${decided.reason}`);
  return decided.caller;
}
function gate() {
  let release = () => {};
  const promise = new Promise<void>((resolve) => (release = resolve));
  return { promise, release };
}

describe('a token', () => {
  test.each([undefined, null, 1, {}, ['a']])('is not %j', (token) => {
    expect(create().verify(token as never)).toEqual({ ok: false, reason: 'token_malformed' });
  });

  it('is as long as allowed at most, opaque or signed', async () => {
    const refusal = { ok: false, reason: 'token_too_long', found: '2001 characters', expected: 'at most 2000' };
    expect(create().verify('x'.repeat(2001))).toEqual(refusal);
    expect(create({ opaqueTokensOf: undefined }).verify('x'.repeat(2001))).toEqual(refusal);
    expect(asked).toEqual([]);
    expect(await outcome('x'.repeat(2000))).toBe('accepted');
    const token = jwt();
    expect(await outcome(token, { maxTokenLength: token.length })).toBe('accepted');
    expect(await outcome(token, { maxTokenLength: token.length - 1 })).toMatchObject({ 0: 'token_too_long' });
  });

  test.each([
    'abc',
    'a.b',
    'eyJhbGciOiJFUzI1NiJ9',
    'eyJhbGciOiJFUzI1NiJ9.e30',
    'a.b.c.d',
    'eyJhbGciOiJFUzI1NiJ9.e30.AA.AA',
    '.a.b.c',
    '...',
    '00D!AQ.x.y',
    '!.a.b',
    '~~~~.eyJ.y',
    'eyJhbGciOiJFUzI1NiJ9.e30.AA.',
  ])('is opaque where it has not the form of a signed one: %s', async (token) => {
    expect(await outcome(token)).toBe('accepted');
    expect(asked).toEqual([token]);
  });

  test.each([
    'a.b.c',
    '..',
    '.b.c',
    'a..',
    'a+b/c=.x.y',
    'a_b-c.x.y',
    'eyJhbGciOiJFUzI1NiJ9.e30.AA',
    'eyJ!hbGciOiJFUzI1NiJ9.e30.AA',
    '!eyJhbGciOiJFUzI1NiJ9.e30.AA',
    `${Buffer.from('\n {"alg":"none"}').toString('base64url')}!.e30.AA`,
  ])('is malformed where it looks like a signed one: %s', async (token) => {
    expect(await outcome(token)).toMatchObject({ 0: expect.stringMatching(/^(token_malformed|issuer_unknown)$/) });
    expect(asked).toEqual([]);
  });

  test.each(['a,b', 'a b', '\u00e4', 'a\n', ' a', 'a.b.c.d,'])(
    'that is opaque has visible ASCII characters, and no comma: %j',
    async (token) => {
      expect(await outcome(token)).toEqual([
        'token_malformed',
        undefined,
        undefined,
        'visible ASCII characters, no comma',
      ]);
      expect(asked).toEqual([]);
    },
  );

  it('that is opaque is refused where no issuer introspects it', async () => {
    for (const token of ['abc', 'a.b.c.d', '00D!AQ.x.y']) {
      expect(await outcome(token, { opaqueTokensOf: undefined })).toMatchObject({ 0: 'token_malformed' });
    }
    expect(asked).toEqual([]);
  });
});

describe('a verifier', () => {
  it('starts with its issuers', async () => {
    const events = new EventStream<VerificationEvent>();
    const issuers = new TrustedIssuers({
      named: [],
      resolved: undefined,
      start: 'require',
      startTimeoutMs: 1,
      events,
      clock,
    });
    const verifier = create({ issuers, events });
    expect(verifier.start()).toBe(issuers.start());
    await verifier.start();
    expect(verifier.events).toBe(events);
  });
});

describe('a signed token', () => {
  it('is known without a promise once its signature was verified', async () => {
    const verifier = create();
    const token = jwt();
    const first = verifier.verify(token);
    expect(first).toBeInstanceOf(Promise);
    const { caller } = (await first) as { caller: MachineCaller };
    expect(verifier.verify(token)).toEqual({ ok: true, caller });
    expect((verifier.verify(token) as { caller: MachineCaller }).caller).toBe(caller);
    expect(keys.lookups).toBe(1);
  });

  it('is verified once for all calls that wait, and again for later ones where it is refused', async () => {
    const verifier = create();
    const token = `${jwt().slice(0, -8)}AAAAAAAA`;
    const verdicts = await Promise.all([verifier.verify(token), verifier.verify(token), verifier.verify(token)]);
    expect(verdicts.map((one) => !one.ok && one.reason)).toEqual(Array(3).fill('signature_invalid'));
    expect(keys.lookups).toBe(1);
    await verifier.verify(token);
    expect(keys.lookups).toBe(2);
  });

  it('is refused by its claims before any key is looked for', () => {
    expect(create().verify(jwt({ exp: NOW }))).toMatchObject({ reason: 'token_expired' });
    expect(keys.lookups).toBe(0);
  });

  it('is refused where it expires while its signature is verified', async () => {
    const { promise, release } = gate();
    keys.wait = promise;
    const waiting = create().verify(jwt());
    clock.suspend(300_000);
    release();
    expect(await waiting).toMatchObject({ reason: 'token_expired' });
  });

  it('is forgotten once it has expired, and not for another fault of its claims', async () => {
    const verifier = create();
    const token = jwt({ nbf: NOW });
    await verifier.verify(token);
    clock.setWallClock(new Date((NOW - 1) * 1000));
    expect(verifier.verify(token)).toMatchObject({ reason: 'token_not_yet_valid' });
    clock.setWallClock(START);
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    clock.setWallClock(new Date((NOW + 300) * 1000));
    expect(verifier.verify(token)).toMatchObject({ reason: 'token_expired' });
    clock.setWallClock(START);
    expect(verifier.verify(token)).toBeInstanceOf(Promise);
  });

  it('is forgotten once its key is withdrawn', async () => {
    const verifier = create();
    const token = jwt();
    await verifier.verify(token);
    const { held } = keys;
    keys.held = new VerificationKeys([]);
    expect(await verifier.verify(token)).toMatchObject({ reason: 'signature_invalid' });
    keys.held = held;
    expect(verifier.verify(token)).toBeInstanceOf(Promise);
  });

  it('is verified again while its keys have to be read, and stays known', async () => {
    const verifier = create();
    const token = jwt();
    await verifier.verify(token);
    keys.isFresh = false;
    const again = verifier.verify(token);
    expect(again).toBeInstanceOf(Promise);
    keys.isFresh = true;
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    expect(await again).toMatchObject({ ok: true });
  });

  it('is verified again once the verifier was closed', async () => {
    const verifier = create();
    const token = jwt();
    await verifier.verify(token);
    verifier.close();
    expect(verifier.verify(token)).toBeInstanceOf(Promise);
  });

  it('of an issuer that was resolved is known only as long as the issuer is accepted', async () => {
    let resolved: unknown = {};
    const verifier = create({ resolve: () => resolved });
    const token = jwt({ iss: TENANT });
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    resolved = undefined;
    clock.suspend(60_000);
    expect(await verifier.verify(token)).toMatchObject({ reason: 'issuer_unknown' });
  });

  it('protects its resolved issuer from those that are only named in tokens', async () => {
    const verifier = create({ resolve: () => ({}) });
    const token = jwt({ iss: TENANT });
    await verifier.verify(token);
    clock.suspend(5000);
    for (let index = 0; index < 33; index++) {
      const forged = `${jwt({ iss: `${TENANT}/${index}` }).slice(0, -8)}AAAAAAAA`;
      expect(await verifier.verify(forged)).toMatchObject({ ok: false });
    }
    expect(verifier.verify(token)).toMatchObject({ ok: true });
  });

  it('is refused for its form without a promise, and of a resolved issuer with one', async () => {
    expect(create().verify(jwt({ iss: 'other' }))).toMatchObject({ reason: 'issuer_unknown' });
    const denied = create({ resolve: () => undefined }).verify(jwt({ iss: TENANT }));
    expect(denied).toBeInstanceOf(Promise);
    expect(await denied).toMatchObject({ reason: 'issuer_unknown' });
  });

  it('names a caller that may be refused', async () => {
    expect(await outcome(jwt({ azp: undefined }))).toEqual(['client_unknown', 'azp', undefined, 'a client id']);
  });

  test.each([
    { passedMs: 99_999, expected: 'accepted' },
    { passedMs: 100_000, expected: 'client_expired' },
  ])('of a client whose entry has ended is $expected after $passedMs ms', async ({ passedMs, expected }) => {
    clock.suspend(passedMs);
    const decided = await verdict(jwt(), { clients: [{ endsAtMs: START.getTime() + 100_000 }] });
    expect(decided.ok ? 'accepted' : decided.reason).toBe(expected);
  });

  it('is checked for its route each time', async () => {
    const verifier = create();
    const token = jwt({ scope: 'a' });
    expect(await verifier.verify(token, { scopes: ['b'] })).toMatchObject({ reason: 'scope_insufficient' });
    expect(verifier.verify(token, { scopes: ['a'] })).toMatchObject({ ok: true });
    expect(verifier.verify(token, { scopes: ['b'] })).toMatchObject({ reason: 'scope_insufficient' });
  });
});

describe('the revocation of a token', () => {
  const storeOf = (isRevoked: RevocationStore['isRevoked']): Setting => ({ revocations: { isRevoked } });
  async function revocable(token: string): Promise<RevocableToken | undefined> {
    const seen: RevocableToken[] = [];
    await verdict(
      token,
      storeOf((one) => seen.push(one) < 0),
    );
    expect(seen.length).toBeLessThan(2);
    return seen[0];
  }
  const FACTS = {
    issuer,
    clientId: 'billing',
    tokenId: 'j',
    subject: 's',
    keyId: 'of the set',
    issuedAtMs: START.getTime(),
  };

  test.each<[string, object, object]>([
    ['all of them', {}, {}],
    ['no identifier', { jti: undefined }, { tokenId: undefined }],
    ['an identifier that is no text', { jti: 1 }, { tokenId: undefined }],
    ['an empty identifier', { jti: '' }, { tokenId: '' }],
    ['a subject that is no text', { sub: 1 }, { subject: undefined }],
    ['no time of issue', { iat: undefined }, { issuedAtMs: undefined }],
    ['a time of issue with a fraction', { iat: NOW - 0.5 }, { issuedAtMs: START.getTime() - 500 }],
  ])('is decided by its facts: %s', async (_name, claims, facts) => {
    expect(await revocable(jwt(claims))).toEqual({ ...FACTS, ...facts });
  });

  it('is decided without a key where the token is opaque', async () => {
    answer = { ...answer, jti: 'o', sub: 'o', iat: NOW };
    const facts = { ...FACTS, tokenId: 'o', subject: 'o', keyId: undefined };
    expect(await revocable('abc')).toEqual(facts);
  });

  it('counts each time, also for a token that is known, and at once where the store answers at once', async () => {
    let isRevoked = false;
    const verifier = create(storeOf(() => isRevoked));
    const token = jwt();
    expect(await verifier.verify(token)).toMatchObject({ ok: true });
    isRevoked = true;
    expect(verifier.verify(token)).toEqual({ ok: false, reason: 'token_revoked' });
  });

  it('counts before the rights, and where the store takes its time', async () => {
    const verifier = create(storeOf(async ({ tokenId }) => tokenId === 'j'));
    const route = { scopes: ['a'] };
    expect(await verifier.verify(jwt(), route)).toEqual({ ok: false, reason: 'token_revoked' });
    expect(await verifier.verify(jwt({ jti: 'k' }), route)).toMatchObject({ reason: 'scope_insufficient' });
    expect(await verifier.verify(jwt({ jti: 'k' }))).toMatchObject({ ok: true });
  });
});

const UNUSUAL = ['id_token', 'refresh_token', 'Refresh', 'N_A', 'bearer ', '', 1, null, ['bearer']];
const USUAL = ['Bearer', 'bearer', 'access_token', 'ACCESS', 'JWT', 'at+jwt', 'application/AT+jwt'].concat([
  'urn:ietf:params:oauth:token-type:access_token',
  'URN:ietf:params:oauth:token-type:ACCESS_TOKEN',
]);

describe('an opaque token', () => {
  it('has the caller that its issuer names', async () => {
    answer = { ...answer, scope: 'a b', sub: 's' };
    expect(await callerOf('abc', {}, SENSITIVE)).toMatchObject({
      clientId: 'billing',
      issuer,
      isIntrospected: true,
      subject: 's',
      scopes: ['a', 'b'],
    });
    expect(asked).toEqual(['abc']);
  });

  it('is refused where it is not active', async () => {
    answer = { active: false };
    expect(await verdict('abc')).toEqual({ ok: false, reason: 'token_inactive' });
  });

  it('is undecided where its issuer does not answer', async () => {
    answer = undefined;
    expect(await verdict('abc')).toEqual({ ok: false, reason: 'introspection_unavailable', retryAfterSeconds: 7 });
  });

  test.each<[string, object, unknown]>([
    ['its own issuer', { iss: issuer }, 'accepted'],
    ['another issuer', { iss: 'other' }, ['issuer_unknown', 'iss', '"other"', `"${issuer}"`]],
    ['a client that differs', { azp: 'x' }, ['client_ambiguous', 'client_id', '"billing"', '"x", as in azp']],
    [
      'an expiry that has come',
      { exp: NOW },
      ['token_expired', 'exp', '2030-01-01T00:00:00.000Z', 'after 2030-01-01T00:00:00.000Z'],
    ],
    [
      'no expiry',
      { exp: undefined },
      ['time_claim_malformed', 'exp', undefined, 'seconds since the epoch, as a number'],
    ],
    ['no audience', { aud: undefined }, ['audience_mismatch', 'aud', undefined, '"api"']],
    ['the claim of an ID token', { nonce: 'x' }, ['foreign_token', 'nonce', '[not shown]', 'none']],
    ['a proof of a key', { cnf: {} }, ['confirmation_unsupported', 'cnf', '[not shown]', 'none']],
    ['another kind', { kind: 'other' }, 'accepted'],
  ])('is decided by the claims of the response: %s', async (_name, more, expected) => {
    answer = { ...answer, ...more };
    expect(await outcome('abc')).toEqual(expected);
  });

  it('is refused where a claim of the response names another type', async () => {
    for (const claim of ['token_type', 'token_use', 'typ']) {
      for (const type of UNUSUAL.filter((one) => one !== null)) {
        answer = { active: true, aud: 'api', exp: NOW + 300, client_id: 'billing', sub: 's', [claim]: type };
        expect(await outcome('abc')).toMatchObject({ 0: 'foreign_token', 1: claim, 3: 'an access token' });
      }
      for (const type of [...USUAL, null]) {
        answer = { active: true, aud: 'api', exp: NOW + 300, client_id: 'billing', sub: 's', [claim]: type };
        expect([type, await outcome('abc')]).toEqual([type, 'accepted']);
      }
    }
    answer = { ...answer, token_type: 'Bearer', token_use: 'id' };
    expect(await outcome('abc')).toEqual(['foreign_token', 'token_use', '"id"', 'an access token']);
  });
});

describe('a signed token on a sensitive route', () => {
  const confirm = (claims: Claims, more: Claims, route: RoutePolicy = SENSITIVE) => {
    answer = { active: true, ...more };
    return outcome(jwt(claims), {}, route);
  };

  it('is confirmed by its issuer, after its rights were checked', async () => {
    const token = jwt({ scope: 'a' });
    answer = { active: true };
    expect(await outcome(token, {}, { ...SENSITIVE, scopes: ['b'] })).toMatchObject({ 0: 'scope_insufficient' });
    expect(asked).toEqual([]);
    expect(await callerOf(token, {}, SENSITIVE)).toMatchObject({ isIntrospected: true, scopes: ['a'] });
    expect(asked).toEqual([token]);
    expect(await callerOf(token, {}, {})).toMatchObject({ isIntrospected: false });
    expect(asked).toEqual([token]);
  });

  it('is decided at once where the response is known', async () => {
    const verifier = create();
    const token = jwt();
    answer = { active: true, exp: NOW + 60 };
    expect(await verifier.verify(token, SENSITIVE)).toMatchObject({ ok: true });
    expect(verifier.verify(token, SENSITIVE)).toMatchObject({ ok: true, caller: { isIntrospected: true } });
  });

  it('is refused where its issuer does not introspect', async () => {
    expect(await outcome(jwt(), { confirms: false }, SENSITIVE)).toEqual([
      'introspection_unavailable',
      undefined,
      undefined,
      'introspection by its issuer, because the route is @Sensitive()',
    ]);
  });

  it('is refused where it is not active, and undecided without an answer', async () => {
    answer = { active: false };
    expect(await verdict(jwt(), {}, SENSITIVE)).toEqual({ ok: false, reason: 'token_inactive' });
    answer = undefined;
    const undecided = { ok: false, reason: 'introspection_unavailable', retryAfterSeconds: 7 };
    expect(await verdict(jwt(), {}, SENSITIVE)).toEqual(undecided);
  });

  const SAME = 'the same as in the token';
  test.each<[string, Claims, Claims, unknown]>([
    ['all that identifies it', {}, { iss: issuer, sub: 's', jti: 'j', client_id: 'billing' }, 'accepted'],
    ['another issuer', {}, { iss: 'x' }, ['token_inactive', 'iss', '"x"', SAME]],
    ['another subject', {}, { sub: 'x' }, ['token_inactive', 'sub', '[not shown]', SAME]],
    ['another identifier', {}, { jti: 'x' }, ['token_inactive', 'jti', '[not shown]', SAME]],
    ['an identifier of another type', { jti: '1' }, { jti: 1 }, ['token_inactive', 'jti', '[not shown]', SAME]],
    ['an identifier that the token lacks', { jti: undefined }, { jti: 'x' }, 'accepted'],
    ['another client', {}, { client_id: 'x' }, ['token_inactive', 'client_id', '"x"', '"billing"']],
    ['its own claim for the client', { client_id: 'own' }, { client_id: 'own' }, 'accepted'],
    [
      'another client than in its own claim',
      { client_id: 'own' },
      { client_id: 'billing' },
      ['token_inactive', 'client_id', '"billing"', '"own"'],
    ],
  ])('is the one that the response is about: %s', async (_name, claims, more, expected) => {
    expect(await confirm(claims, more)).toEqual(expected);
  });

  test.each<[string, Claims, unknown]>([
    ['an earlier expiry', { exp: NOW }, 'token_expired'],
    ['a later start', { nbf: NOW + 1 }, 'token_not_yet_valid'],
    ['another audience', { aud: 'x' }, 'audience_mismatch'],
    ['a proof of a key', { cnf: null }, 'confirmation_unsupported'],
    ['another party', { act: null }, 'delegated_token'],
    ['scopes of another form', { scope: 1 }, 'scope_malformed'],
    ['another type', { token_type: 'refresh' }, 'foreign_token'],
    ['another kind', { kind: 'other' }, 'accepted'],
    ['rights in a claim that is not for them', { scp: 1 }, 'accepted'],
  ])('is refused for what the response adds, and names its caller: %s', async (_name, more, expected) => {
    answer = { active: true, ...more };
    const decided = await verdict(jwt(), {}, SENSITIVE);
    expect(decided.ok ? 'accepted' : decided.reason).toBe(expected);
    expect(decided).toMatchObject({ caller: { clientId: 'billing' } });
  });

  it('may have a type of its own, which the response repeats, except that of RFC 6749', async () => {
    for (const claim of ['token_use', 'typ']) {
      expect(await confirm({ [claim]: 'x' }, { [claim]: 'x' })).toBe('accepted');
      expect(await confirm({ [claim]: 'x' }, { [claim]: 'y' })).toMatchObject({ 0: 'foreign_token', 1: claim });
      expect(await confirm({}, { [claim]: 'x' })).toMatchObject({ 0: 'foreign_token', 1: claim });
      expect(await confirm({ [claim]: 'x' }, { [claim]: 'access' })).toBe('accepted');
    }
    expect(await confirm({ token_type: 'x' }, { token_type: 'x' })).toMatchObject({ 0: 'foreign_token' });
    expect(await confirm({ token_type: 'x' }, { token_type: 'Bearer' })).toBe('accepted');
  });

  test.each<[string, Claims, readonly string[]]>([
    ['none', {}, ['a', 'b']],
    ['fewer', { scope: 'b' }, ['b']],
    ['more', { scope: 'a b c' }, ['a', 'b']],
    ['others', { scope: 'c' }, []],
    ['no scopes', { scope: '' }, []],
    ['null', { scope: null }, ['a', 'b']],
    ['others in another claim', { scp: 'c' }, ['a', 'b']],
  ])('has no scopes but those that the response names as well: %s', async (_name, more, scopes) => {
    answer = { active: true, ...more };
    expect((await callerOf(jwt({ scope: 'a b' }), {}, SENSITIVE)).scopes).toEqual(scopes);
  });

  it('is refused where the response leaves it without the scopes of the route', async () => {
    const route = { ...SENSITIVE, scopes: ['a'] };
    expect(await confirm({ scope: 'a b' }, { scope: 'b' }, route)).toMatchObject({ 0: 'scope_insufficient' });
    expect(await confirm({ scope: 'a b' }, { scope: 'a' }, route)).toBe('accepted');
  });
});
