import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type AccessTokenVerifier,
  Caller,
  createAccessTokenVerifier,
  genericOAuth2,
  type GuardOptions,
  IdentityM2MConfigurationError,
  IdentityM2MModule,
  type IssuerResolver,
  keycloak,
  type MachineCaller,
  type RoutePolicy,
  type VerificationEvent,
} from 'nestjs-identity-m2m';
import { forge, forgeHmac, type ForgingKey, forgingKey, part } from './support/forgeable-issuer.js';
import { json, TestServer } from './support/http-server.js';
import { socketClock, until } from './support/socket-clock.js';
import type { ManualClock } from 'nestjs-identity-m2m/testing';

const NOW = new Date('2030-01-01T00:00:00Z');
const seconds = NOW.getTime() / 1000;

// All tenants name their keys alike.
const acme = forgingKey('ES256', 'k');
const other = forgingKey('ES256', 'k');
const stranger = forgingKey('ES256', 'k');

let server: TestServer;
let clock: ManualClock;
let keys: Record<string, ForgingKey>;
let calls: string[];
let signals: AbortSignal[];
let events: VerificationEvent[];
const open: AccessTokenVerifier[] = [];

const issuerOf = (tenant: string) => `${server.url}/realms/${tenant}`;
const keysOf = (tenant: string) => `/realms/${tenant}/keys`;
const provider = (tenant: string) => genericOAuth2({ issuer: issuerOf(tenant), jwksUri: server.url + keysOf(tenant) });

/** Knows the tenants that have keys. */
const lookUp = (issuer: string) => {
  const tenant = Object.keys(keys).find((name) => issuerOf(name) === issuer);
  return tenant === undefined ? undefined : provider(tenant);
};

let jti = 0;
function tokenOf(tenant: string, { key = keys[tenant] ?? stranger, claims = {}, header = {} }: TokenOptions = {}) {
  const base = { iss: issuerOf(tenant), aud: 'api', sub: 'svc', client_id: 'svc', jti: String(jti++) };
  return forge(key, { ...base, iat: seconds, exp: seconds + 100_000, ...claims }, header);
}

interface TokenOptions {
  readonly key?: ForgingKey;
  readonly claims?: object;
  readonly header?: object;
}

function start(resolve: (issuer: string) => unknown = lookUp, more: Partial<GuardOptions> = {}) {
  const issuerResolver: IssuerResolver = (issuer, signal) => {
    calls.push(issuer);
    signals.push(signal);
    return resolve(issuer) as ReturnType<IssuerResolver>;
  };
  const options = { issuers: [], audience: 'api', issuerResolver, ...more };
  const verifier = createAccessTokenVerifier(options, { clock, production: false });
  verifier.events.subscribe((event) => events.push(event));
  open.push(verifier);
  return verifier;
}

async function outcome(verifier: AccessTokenVerifier, token: string, route?: RoutePolicy): Promise<string> {
  const verdict = await verifier.verify(token, route);
  return verdict.ok ? 'accepted' : verdict.reason;
}

const told = (type: VerificationEvent['type']) => events.filter((event) => event.type === type);

beforeAll(async () => {
  server = await TestServer.start((request, ...rest) => {
    const tenant = Object.keys(keys).find((name) => request.url === keysOf(name));
    return json(tenant === undefined ? 404 : 200, { keys: tenant === undefined ? [] : [keys[tenant]!.jwk] })(
      request,
      ...rest,
    );
  });
});
afterAll(() => server.close());
beforeEach(() => {
  server.requests.length = 0;
  keys = { acme, other };
  [calls, signals, events] = [[], [], []];
  clock = socketClock(() => server, NOW);
});
afterEach(() => {
  for (const verifier of open.splice(0)) verifier.close();
  if (clock.pendingTimers > 0) throw new Error(`${clock.pendingTimers} timers were left`);
});

describe('in-C9: issuers that are resolved at run time', () => {
  it('in-C9: tokens of an issuer that the resolver accepts are verified with the keys of its answer', async () => {
    const verifier = start();
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
    expect(await outcome(verifier, tokenOf('other'))).toBe('accepted');
    expect(await outcome(verifier, tokenOf('nobody'))).toBe('issuer_unknown');
    expect(calls).toEqual(['acme', 'other', 'nobody'].map(issuerOf));
    expect(server.requests.map(({ url }) => url)).toEqual(['acme', 'other'].map(keysOf));
    expect(await verifier.verify(tokenOf('acme'))).toMatchObject({
      caller: { issuer: issuerOf('acme'), clientId: 'svc' },
    });
    expect(events.filter(({ type }) => type.startsWith('issuer.'))).toEqual([
      { type: 'issuer.accepted', issuer: issuerOf('acme') },
      { type: 'issuer.accepted', issuer: issuerOf('other') },
      { type: 'issuer.denied', issuer: issuerOf('nobody') },
    ]);
  });

  it('in-C9: keys of one issuer verify no token of another, whatever their kid', async () => {
    const verifier = start();
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
    expect(await outcome(verifier, tokenOf('other'))).toBe('accepted');
    for (const [tenant, key] of [
      ['acme', other],
      ['other', acme],
      ['acme', stranger],
    ] as const) {
      expect(await outcome(verifier, tokenOf(tenant, { key }))).toBe('signature_invalid');
    }
  });

  it('in-C9: many first tokens of one issuer cause one call, and known tokens neither a call nor a promise', async () => {
    const verifier = start(async (issuer) => lookUp(issuer));
    const tokens = Array.from({ length: 50 }, () => tokenOf('acme'));
    expect(new Set(await Promise.all(tokens.map((token) => outcome(verifier, token))))).toEqual(new Set(['accepted']));
    expect(verifier.verify(tokens[0]!)).toMatchObject({ ok: true });
    expect([calls.length, server.requests.length]).toEqual([1, 1]);
  });

  it('in-C9: issuers of the options are not resolved, and stay unchanged', async () => {
    const named = genericOAuth2({ issuer: issuerOf('acme'), jwks: { keys: [acme.jwk] } });
    const verifier = start(() => undefined, { issuers: [named] });
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
    expect(calls).toEqual([]);
    expect(await outcome(verifier, tokenOf('other'))).toBe('issuer_unknown');
  });

  it('in-C9: a resolver may answer with metadata discovery, with keys, or with a preset', async () => {
    const realm = keycloak({ url: server.url, realm: 'acme', internalJwksUri: server.url + keysOf('acme') });
    const claims = { typ: 'Bearer', azp: 'svc', client_id: 'svc', preferred_username: 'service-account-svc' };
    const verifier = start((issuer) => {
      if (issuer === realm.issuer) return { identityProvider: realm, clients: ['svc'] };
      return genericOAuth2({ issuer, jwks: { keys: [other.jwk] } });
    });
    expect(await outcome(verifier, tokenOf('acme', { claims, header: { typ: 'JWT' } }))).toBe('accepted');
    expect(await outcome(verifier, tokenOf('other'))).toBe('accepted');
  });
});

describe('in-C9: a resolver is called with', () => {
  test.each<[string, () => string, string]>([
    ['no token', () => 'abc', 'token_malformed'],
    ['two parts', () => tokenOf('acme').split('.').slice(0, 2).join('.'), 'token_malformed'],
    ['a token that is too long', () => tokenOf('acme', { claims: { x: 'x'.repeat(20_000) } }), 'token_too_long'],
    ['a payload that is none', () => `${part({ alg: 'ES256', typ: 'at+jwt' })}.${part('[]')}.AAAA`, 'token_malformed'],
    [
      'a payload said twice',
      () => `${part({ alg: 'ES256' })}.${part('{"iss":"a","iss":"b"}')}.AAAA`,
      'token_malformed',
    ],
    ['alg none', () => tokenOf('acme', { header: { alg: 'none' } }), 'algorithm_refused'],
    ['a shared secret', () => forgeHmac('secret', { iss: issuerOf('acme') }), 'algorithm_refused'],
    ['a key of its own', () => tokenOf('acme', { header: { jwk: stranger.jwk } }), 'token_header_refused'],
    ['an address of keys', () => tokenOf('acme', { header: { jku: 'https://evil.example' } }), 'token_header_refused'],
    ['a logout token', () => tokenOf('acme', { header: { typ: 'logout+jwt' } }), 'token_type_refused'],
    ['a type that is none', () => tokenOf('acme', { header: { typ: 7 } }), 'token_type_refused'],
    ['a kid that is none', () => tokenOf('acme', { header: { kid: {} } }), 'token_header_refused'],
    ...[undefined, null, '', 7, {}, ['a'], 'a\0b', ' a', 'a\n', '\uFEFFa', 'i'.repeat(1025)].map(
      (iss): [string, () => string, string] => [
        `the issuer ${JSON.stringify(iss)?.slice(0, 20)}`,
        () => tokenOf('acme', { claims: { iss } }),
        'issuer_unknown',
      ],
    ),
  ])('in-C9: nothing, for %s', async (_name, token, reason) => {
    const verifier = start(() => provider('acme'));
    expect(await outcome(verifier, token())).toBe(reason);
    expect(calls).toEqual([]);
  });

  test.each([
    '__proto__',
    'constructor',
    '../../etc/passwd',
    'file:///etc/passwd',
    'http://169.254.169.254/latest/meta-data',
    "' OR 1=1 --",
    '${jndi:ldap://evil.example/a}',
    'https://good.example@evil.example',
    'i'.repeat(1024),
    'аcme', // with a Cyrillic letter
  ])('in-C9: %j verbatim, and nothing is fetched or cached by that name', async (iss) => {
    const verifier = start();
    const token = tokenOf('acme', { claims: { iss } });
    expect(await outcome(verifier, token)).toBe('issuer_unknown');
    expect(await outcome(verifier, token)).toBe('issuer_unknown');
    expect(calls).toEqual([iss]);
    expect(server.requests).toHaveLength(0);
    expect(JSON.stringify(events)).toMatch(/^[\x20-\x7e…]*$/);
  });

  it('in-C9: other spellings of an accepted issuer are other issuers', async () => {
    const verifier = start();
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
    const iss = issuerOf('acme');
    for (const spelling of [
      `${iss}/`,
      iss.toUpperCase(),
      `${iss}?`,
      iss.replace('127.0.0.1', 'localhost'),
      `${iss}%20`,
    ]) {
      expect(await outcome(verifier, tokenOf('acme', { claims: { iss: spelling } }))).toBe('issuer_unknown');
    }
  });
});

describe('in-C9: invalid answers of a resolver', () => {
  const { hostname } = new URL('https://secret.example');
  test.each<[string, (issuer: string) => unknown, RegExp]>([
    ['true', () => true, /answer: expected an identity provider/],
    ['a text', () => 'yes', /answer: expected an identity provider/],
    ['an empty object', () => ({}), /answer: expected an identity provider/],
    ['a list', () => [provider('acme')], /answer: expected an identity provider.*found a list/],
    ['a function', () => () => provider('acme'), /answer: expected an identity provider/],
    ['false', () => false, /answer: expected an identity provider/],
    ['another issuer', () => provider('other'), /identityProvider\.issuer: expected exactly "http.*acme".*other"/],
    [
      'another spelling',
      () => ({ ...provider('acme'), issuer: `${issuerOf('acme')}/` }),
      /identityProvider\.issuer: expected/,
    ],
    ['no issuer', () => genericOAuth2({ tokenEndpoint: 'https://id.example/t' }), /identityProvider\.issuer: expected/],
    [
      'keys over plain http',
      (issuer) => genericOAuth2({ issuer, jwksUri: 'http://keys.example/' }),
      /identityProvider\.jwksUri/,
    ],
    [
      'keys in a file of another scheme',
      (issuer) => genericOAuth2({ issuer, jwksUri: 'file:///k' }),
      /identityProvider\.jwksUri/,
    ],
    ['a preset with a fault', () => keycloak({ url: 'nowhere', realm: 'acme' }), /identityProvider\.url/],
    [
      'no clients if they are needed',
      () => keycloak({ url: server.url, realm: 'acme' }),
      /answer\.clients: expected the clients to allow/,
    ],
    [
      'clients that are none',
      () => ({ identityProvider: provider('acme'), clients: [' a', 7] }),
      /answer\.clients\[0\].*answer\.clients\[1\]/,
    ],
    [
      'an error',
      () => {
        throw new TypeError(`password is ${hostname}`);
      },
      /^the resolver threw TypeError$/,
    ],
    ['a rejection', () => Promise.reject(new RangeError(hostname)), /^the resolver threw RangeError$/],
    ['a text that is thrown', () => Promise.reject(hostname), /^the resolver threw string$/],
    ['a promise of nonsense', () => Promise.resolve({ identityProvider: {} }), /answer: expected an identity provider/],
    [
      'an object that throws',
      () =>
        new Proxy(
          {},
          {
            get() {
              throw new Error(hostname);
            },
            has() {
              throw new Error(hostname);
            },
          },
        ),
      /^the resolver threw Error$/,
    ],
  ])('in-C9: %s: the token can’t be decided on, and an event reports it', async (_name, answer, problem) => {
    const verifier = start(answer);
    expect(await verifier.verify(tokenOf('acme'))).toMatchObject({
      reason: 'issuer_unavailable',
      retryAfterSeconds: 1,
    });
    expect(events).toEqual([
      {
        type: 'issuer.resolution_failed',
        issuer: issuerOf('acme'),
        failures: 1,
        problem: expect.stringMatching(problem),
      },
    ]);
    expect(JSON.stringify(events)).not.toContain(hostname);
    expect(server.requests).toHaveLength(0);
  });

  it('in-C9: an issuer that can’t be resolved is tried again after a growing delay', async () => {
    let isDown = true;
    const verifier = start((issuer) => {
      if (isDown) throw new Error('down');
      return lookUp(issuer);
    });
    const token = tokenOf('acme');
    for (const [wait, retryAfterSeconds, asked] of [
      [0, 1, 1],
      [999, 1, 1],
      [1, 2, 2],
      [2000, 4, 3],
      [4000, 8, 4],
      [8000, 16, 5],
      [16_000, 30, 6],
      [30_000, 30, 7],
    ] as const) {
      clock.suspend(wait);
      expect(await verifier.verify(token)).toMatchObject({ reason: 'issuer_unavailable', retryAfterSeconds });
      expect(calls).toHaveLength(asked);
    }
    isDown = false;
    // Others are not held up by it.
    expect(await outcome(verifier, tokenOf('other'))).toBe('accepted');
    clock.suspend(30_000);
    expect(await outcome(verifier, token)).toBe('accepted');
  });

  it('in-C9: a resolver that never settles is aborted after 5 s', async () => {
    let isStuck = true;
    const verifier = start((issuer) => (isStuck ? new Promise(() => undefined) : lookUp(issuer)));
    const waiting = outcome(verifier, tokenOf('acme'));
    await clock.advance(4999);
    expect([calls.length, signals[0]!.aborted]).toEqual([1, false]);
    await clock.advance(1);
    expect(await waiting).toBe('issuer_unavailable');
    expect(signals[0]!.aborted).toBe(true);
    expect(told('issuer.resolution_failed')).toMatchObject([{ problem: 'the resolver took longer than 5000 ms' }]);
    isStuck = false;
    await clock.advance(1000);
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
  });

  it('in-C9: an answer that arrives too late changes nothing', async () => {
    let answer: (value: unknown) => void = () => {};
    const verifier = start(() => new Promise((resolve) => (answer = resolve)));
    const waiting = outcome(verifier, tokenOf('acme'));
    await clock.advance(5000);
    expect(await waiting).toBe('issuer_unavailable');
    answer(provider('acme'));
    await new Promise(setImmediate);
    expect(await outcome(verifier, tokenOf('acme'))).toBe('issuer_unavailable');
    expect(told('issuer.accepted')).toEqual([]);
  });

  it('in-C9: a verifier that is closed aborts its calls', async () => {
    const verifier = start(() => new Promise(() => undefined));
    const waiting = outcome(verifier, tokenOf('acme'));
    verifier.close();
    expect(await waiting).toBe('issuer_unavailable');
    expect(signals[0]!.aborted).toBe(true);
    expect(await outcome(verifier, tokenOf('other'))).toBe('issuer_unavailable');
    expect([calls.length, events.length]).toEqual([1, 0]);
  });
});

describe('in-C9: floods', () => {
  it('in-C9: at most 16 calls run at once; others get 503, and accepted issuers are not affected', async () => {
    let release: () => void = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    const verifier = start(async (issuer) => {
      if (issuer !== issuerOf('acme')) await released;
      return lookUp(issuer);
    });
    const known = tokenOf('acme');
    expect(await outcome(verifier, known)).toBe('accepted');
    const waiting = Array.from({ length: 16 }, (_, at) => outcome(verifier, tokenOf(`made-up-${at}`)));
    await until(() => calls.length === 17);
    for (let at = 16; at < 200; at++) {
      expect(await verifier.verify(tokenOf(`made-up-${at}`))).toMatchObject({
        reason: 'issuer_unavailable',
        retryAfterSeconds: 1,
      });
    }
    // Who asks about the same waits for the same.
    const same = outcome(verifier, tokenOf('made-up-0'));
    expect(calls).toHaveLength(17);
    expect(verifier.verify(known)).toMatchObject({ ok: true });
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
    // Also where it has to be asked about again.
    clock.suspend(300_000);
    expect(await outcome(verifier, known)).toBe('accepted');
    expect(told('issuer.resolver_overloaded')).toHaveLength(1);
    release();
    expect(new Set(await Promise.all([...waiting, same]))).toEqual(new Set(['issuer_unknown']));
    expect(await outcome(verifier, tokenOf('other'))).toBe('accepted');
  });

  it('in-C9: 5,000 made-up issuers evict no accepted one', async () => {
    const verifier = start(lookUp, { resolvedIssuers: { maxIssuers: 1 } });
    const known = tokenOf('acme');
    expect(await outcome(verifier, known)).toBe('accepted');
    for (let at = 0; at < 5000; at++) {
      const verdict = verifier.verify(tokenOf(`made-up-${at}`));
      if (at % 16 === 0) await verdict;
    }
    await new Promise(setImmediate);
    expect(verifier.verify(known)).toMatchObject({ ok: true });
    expect(calls.filter((issuer) => issuer === issuerOf('acme'))).toHaveLength(1);
    expect(told('issuer.evicted')).toEqual([]);
  });

  it('in-C9: attackers that name real issuers evict none with verified tokens, and cause few key requests', async () => {
    for (let at = 0; at < 200; at++) keys[`tenant-${at}`] = stranger;
    const verifier = start(lookUp, { resolvedIssuers: { maxIssuers: 2 } });
    const known = ['acme', 'other'].map((tenant) => tokenOf(tenant));
    for (const token of known) expect(await outcome(verifier, token)).toBe('accepted');
    const before = server.requests.length;
    const found: string[] = [];
    for (let at = 0; at < 200; at++) found.push(await outcome(verifier, tokenOf(`tenant-${at}`, { key: other })));
    expect(found.filter((reason) => reason === 'signature_invalid')).toHaveLength(32);
    expect(found.filter((reason) => reason === 'issuer_unavailable')).toHaveLength(168);
    expect(server.requests.length - before).toBe(32);
    for (const token of known) expect(verifier.verify(token)).toMatchObject({ ok: true });
    expect(told('issuer.evicted')).toEqual([]);
    // After a while they make room for each other.
    clock.suspend(5000);
    expect(await outcome(verifier, tokenOf('tenant-100', { key: other }))).toBe('signature_invalid');
    // A tenant that is real gets in, and keeps its place from then on.
    expect(await outcome(verifier, tokenOf('tenant-101', { key: stranger }))).toBe('accepted');
    expect(told('issuer.evicted')).toEqual([{ type: 'issuer.evicted', issuer: issuerOf('acme') }]);
  });

  it('in-C9: attackers that keep naming the same issuers extend no entry, however short acceptances hold', async () => {
    for (let at = 0; at < 32; at++) keys[`tenant-${at}`] = stranger;
    const verifier = start(lookUp, { resolvedIssuers: { holdSeconds: 1 } });
    for (let ms = 0; ms <= 6000; ms += 500) {
      for (let at = 0; at < 32; at++) await outcome(verifier, tokenOf(`tenant-${at}`, { key: other }));
      clock.suspend(500);
    }
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
  });

  it('in-C9: events name an issuer in one line of ASCII, wherever its keys are fetched', async () => {
    const verifier = start((issuer) => genericOAuth2({ issuer, jwksUri: server.url + keysOf('acme') }));
    expect(await outcome(verifier, tokenOf('x\u2028\u202eLOG forged', { key: acme }))).toBe('accepted');
    const names = events.flatMap((event) => ('issuer' in event ? [event.issuer] : []));
    expect(new Set(names)).toEqual(new Set([issuerOf('x??LOG forged')]));
    expect(told('key_set.changed')).toHaveLength(1);
  });

  it('in-C9: an evicted issuer ends its background work, and comes back with its next token', async () => {
    keys.third = forgingKey('ES256', 'k');
    const verifier = start(lookUp, { resolvedIssuers: { maxIssuers: 2 } });
    const token = tokenOf('acme');
    for (const one of [token, tokenOf('other')]) expect(await outcome(verifier, one)).toBe('accepted');
    expect(clock.pendingTimers).toBe(2);
    // Not used since it came.
    expect(await outcome(verifier, tokenOf('third'))).toBe('accepted');
    expect(clock.pendingTimers).toBe(2);
    expect(told('issuer.evicted')).toHaveLength(1);
    expect(await outcome(verifier, token)).toBe('accepted');
    expect(calls.filter((issuer) => issuer === issuerOf('acme'))).toHaveLength(2);
    expect(clock.pendingTimers).toBe(2);
  });

  it('in-C9: a token that is being verified while its issuer is evicted is still accepted', async () => {
    let answer = () => {};
    const usual = server.answer;
    server.answer = (...request) => {
      if (request[0].url !== keysOf('acme')) return usual(...request);
      answer = () => void usual(...request);
      return undefined;
    };
    for (let at = 0; at < 32; at++) keys[`tenant-${at}`] = stranger;
    const verifier = start();
    const waiting = outcome(verifier, tokenOf('acme'));
    await until(() => server.requests.length === 1);
    clock.suspend(5000);
    for (let at = 0; at < 32; at++) await outcome(verifier, tokenOf(`tenant-${at}`, { key: other }));
    answer();
    expect(await waiting).toBe('accepted');
    server.answer = usual;
    clock.suspend(5000);
    expect(await outcome(verifier, tokenOf('acme'))).toBe('accepted');
    expect(calls.filter((issuer) => issuer === issuerOf('acme'))).toHaveLength(2);
  });
});

describe('in-C9: how long answers hold', () => {
  it('in-C9: a denial holds for 30 s', async () => {
    const verifier = start();
    expect(await outcome(verifier, tokenOf('new'))).toBe('issuer_unknown');
    keys.new = stranger;
    clock.suspend(29_999);
    expect(await outcome(verifier, tokenOf('new'))).toBe('issuer_unknown');
    expect(calls).toHaveLength(1);
    clock.suspend(1);
    expect(await outcome(verifier, tokenOf('new'))).toBe('accepted');
  });

  it('in-C9: an acceptance is renewed in the background, with the keys that it has', async () => {
    const verifier = start(lookUp, { resolvedIssuers: { holdSeconds: 100 } });
    const token = tokenOf('acme');
    expect(await outcome(verifier, token)).toBe('accepted');
    clock.suspend(79_999);
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    expect(calls).toHaveLength(1);
    clock.suspend(1);
    // Asked about now, and not waited for.
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    expect(calls).toHaveLength(2);
    await new Promise(setImmediate);
    clock.suspend(99_000);
    expect(await outcome(verifier, token)).toBe('accepted');
    // Its keys were read by their own schedule.
    expect(server.requests).toHaveLength(1);
    expect(told('issuer.accepted')).toHaveLength(1);
  });

  it('in-C9: an issuer that is denied on renewal is refused at once, with its known tokens', async () => {
    const verifier = start();
    const token = tokenOf('acme');
    expect(await outcome(verifier, token)).toBe('accepted');
    keys = { other };
    clock.suspend(240_000);
    expect(await outcome(verifier, token)).toBe('accepted');
    await new Promise(setImmediate);
    expect(await outcome(verifier, token)).toBe('issuer_unknown');
    expect(await outcome(verifier, tokenOf('acme', { key: acme }))).toBe('issuer_unknown');
    expect(clock.pendingTimers).toBe(0);
    expect(told('issuer.denied')).toHaveLength(1);
  });

  it('in-C9: an unused acceptance ends, and its known tokens with it', async () => {
    const verifier = start();
    const token = tokenOf('acme');
    expect(await outcome(verifier, token)).toBe('accepted');
    keys = { other };
    clock.suspend(300_000);
    expect(await outcome(verifier, token)).toBe('issuer_unknown');
  });

  it('in-C9: while the resolver is down an acceptance holds until its end, and then callers get 503', async () => {
    let isDown = false;
    const verifier = start((issuer) => {
      if (isDown) throw new Error('down');
      return lookUp(issuer);
    });
    const token = tokenOf('acme');
    expect(await outcome(verifier, token)).toBe('accepted');
    isDown = true;
    clock.suspend(240_000);
    for (let second = 240; second < 300; second++) {
      expect(verifier.verify(token)).toMatchObject({ ok: true });
      await new Promise(setImmediate);
      clock.suspend(1000);
    }
    // 1, 2, 4, 8, 16 and 30 s.
    expect(calls.length).toBeLessThanOrEqual(7);
    expect(await outcome(verifier, token)).toBe('issuer_unavailable');
    isDown = false;
    clock.suspend(30_000);
    expect(await outcome(verifier, token)).toBe('accepted');
    expect(server.requests).toHaveLength(1);
  });

  it('in-C9: an answer with other keys, clients or rules replaces the previous one', async () => {
    let answer: unknown = provider('acme');
    const verifier = start(() => answer);
    const token = tokenOf('acme');
    expect(await outcome(verifier, token)).toBe('accepted');
    const renew = async () => {
      clock.suspend(240_000);
      await outcome(verifier, token);
      await new Promise(setImmediate);
    };
    answer = { identityProvider: provider('acme'), clients: ['billing'] };
    await renew();
    expect(await outcome(verifier, token)).toBe('client_not_allowed');
    answer = genericOAuth2({
      issuer: issuerOf('acme'),
      jwks: { keys: [acme.jwk] },
      accessToken: { requiredClaims: ['tenant'] },
    });
    await renew();
    expect(await outcome(verifier, token)).toBe('claim_missing');
    answer = genericOAuth2({ issuer: issuerOf('acme'), jwks: { keys: [other.jwk] } });
    await renew();
    expect(await outcome(verifier, token)).toBe('signature_invalid');
    expect(await outcome(verifier, tokenOf('acme', { key: other }))).toBe('accepted');
    // The keys that were read before are not read any more, once a read that was under way has ended.
    await until(() => clock.pendingTimers === 0);
    const before = server.requests.length;
    await clock.advance(3600_000);
    expect(server.requests).toHaveLength(before);
  });
});

describe('in-C9: clients of issuers that are resolved at run time', () => {
  const answer = (clients: unknown) => (issuer: string) => {
    const identityProvider = lookUp(issuer);
    return identityProvider && { identityProvider, clients };
  };
  const tokenFor = (clientId: string, scope = 'read write') =>
    tokenOf('acme', { claims: { sub: clientId, client_id: clientId, scope } });

  it('in-C9: are named in the answer, with their scopes and their expiry', async () => {
    const clients = ['a', { clientId: 'b', scopes: ['read'] }, { clientId: 'c', until: '2029-01-01' }];
    const verifier = start(answer(clients));
    expect(await outcome(verifier, tokenFor('a'), { scopes: ['write'] })).toBe('accepted');
    expect(await outcome(verifier, tokenFor('b'), { scopes: ['read'] })).toBe('accepted');
    expect(await outcome(verifier, tokenFor('b'), { scopes: ['write'] })).toBe('scope_insufficient');
    expect(await outcome(verifier, tokenFor('c'))).toBe('client_expired');
    expect(await outcome(verifier, tokenFor('d'))).toBe('client_not_allowed');
    // A route may name them, because the answer names them with their issuer.
    expect(await outcome(verifier, tokenFor('a'), { clients: ['a'] })).toBe('accepted');
  });

  it('in-C9: a route allows a client by name only with its issuer', async () => {
    const verifier = start();
    expect(await outcome(verifier, tokenFor('a'))).toBe('accepted');
    expect(await outcome(verifier, tokenFor('a'), { clients: ['a'] })).toBe('client_not_allowed');
  });

  it('in-C9: an empty list allows no client', async () => {
    expect(await outcome(start(answer([])), tokenFor('a'))).toBe('client_not_allowed');
  });

  it('in-C9: clients of the options belong to the issuers of the options', async () => {
    const named = genericOAuth2({ issuer: issuerOf('other'), jwks: { keys: [other.jwk] } });
    const clients = [{ clientId: 'svc', issuer: issuerOf('other') }];
    const verifier = start(lookUp, { issuers: [named], clients });
    expect(await outcome(verifier, tokenOf('other'))).toBe('accepted');
    expect(await outcome(verifier, tokenOf('acme'))).toBe('client_not_allowed');
  });
});

describe('in-C9: the options', () => {
  const issuerResolver = () => undefined;
  const named = genericOAuth2({ issuer: 'https://id.example' });
  test.each<[string, Partial<GuardOptions>, Record<string, string>]>([
    ['no issuers and no resolver', { issuers: [] }, { 'options.issuers': 'a list of 0' }],
    [
      'a resolver that is none',
      { issuers: [named], issuerResolver: {} as never },
      { 'options.issuerResolver': 'an object' },
    ],
    [
      'limits without a resolver',
      { issuers: [named], resolvedIssuers: {} },
      { 'options.resolvedIssuers': 'an object' },
    ],
    [
      'limits that are none',
      { issuers: [], issuerResolver, resolvedIssuers: { maxIssuers: 0, holdSeconds: -1, hold: 1 } as never },
      {
        'options.resolvedIssuers.maxIssuers': '0',
        'options.resolvedIssuers.holdSeconds': '-1',
        'options.resolvedIssuers.hold': 'a number',
      },
    ],
    [
      'clients without an issuer',
      { issuers: [named], issuerResolver, clients: ['a'] },
      { 'options.clients[0].issuer': 'nothing' },
    ],
    [
      'clients of an issuer that the options do not name',
      { issuers: [named], issuerResolver, clients: [{ clientId: 'a', issuer: 'https://tenant.example' }] },
      { 'options.clients[0].issuer': '"https://tenant.example"' },
    ],
    [
      'introspection of no issuer',
      { issuers: [], issuerResolver, introspection: [{ clientId: 'a', clientSecret: 'secret-of-a' }] },
      { 'options.introspection[0]': 'an entry' },
    ],
  ])('in-C9: %s fail the boot', (_name, options, expected) => {
    try {
      createAccessTokenVerifier({ audience: 'api', issuers: [], ...options });
      throw new Error('it booted');
    } catch (error) {
      expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
      const { faults } = error as IdentityM2MConfigurationError;
      expect(Object.fromEntries(faults.map(({ path, found }) => [path, found]))).toEqual(expected);
    }
  });
});

describe('in-C9: a Nest application', () => {
  @Controller()
  class Routes {
    @Get()
    who(@Caller() caller: MachineCaller) {
      return { issuer: caller.issuer };
    }
  }

  it('in-C9: responds with 200, 401 and 503 with Retry-After', async () => {
    let isDown = false;
    const issuerResolver: IssuerResolver = async (issuer) => {
      if (isDown) throw new Error('down');
      return lookUp(issuer);
    };
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({ guard: { issuers: [], audience: 'api', issuerResolver }, globalGuard: true }),
      ],
      controllers: [Routes],
    }).compile();
    const app = module.createNestApplication();
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const iat = Math.floor(Date.now() / 1000);
    const get = (tenant: string) => {
      const token = tokenOf(tenant, { claims: { iat, exp: iat + 300 } });
      return fetch(url, { headers: { authorization: `Bearer ${token}` } });
    };
    const answer = await get('acme');
    expect([answer.status, await answer.json()]).toEqual([200, { issuer: issuerOf('acme') }]);
    expect((await get('nobody')).status).toBe(401);
    isDown = true;
    const unknown = await get('other');
    expect([unknown.status, unknown.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await get('acme')).status).toBe(200);
    await app.close();
  });
});
