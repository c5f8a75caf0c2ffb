import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import {
  type AccessTokenVerifier,
  createAccessTokenVerifier,
  genericOAuth2,
  type GuardOptions,
  InMemoryRevocations,
  type MachineCaller,
  type Refusal,
  type RevocationStore,
  type RoutePolicy,
  type VerificationEvent,
} from 'nestjs-identity-m2m';
// From inside: the schedule of look-ups is a pure rule, tried by a table.
import { lookUpDelayMs, REMOTE_KEY_SET_SCHEDULE } from '../libs/identity-m2m/src/verification/refreshed-key-set.js';
import { forge, ForgeableIssuer, forgingKey } from './support/forgeable-issuer.js';
import { type Answer, json } from './support/http-server.js';
import { socketClock, until } from './support/socket-clock.js';

const NOW = new Date('2030-01-01T00:00:00Z').getTime() / 1000;
const HOUR = 3600_000;
const first = forgingKey('ES256', 'first');
const next = forgingKey('ES256', 'next');

let issuer: ForgeableIssuer;
let clock: ReturnType<typeof manualClock>;
let verifier: AccessTokenVerifier;
let events: VerificationEvent[];

const claims = (more: object = {}) => ({
  iss: issuer.url,
  aud: 'users-api',
  sub: 'billing',
  client_id: 'billing',
  scope: 'users.read',
  iat: NOW,
  exp: NOW + 1_000_000,
  ...more,
});
const manualClock = () => socketClock(() => issuer.server, new Date(NOW * 1000));
let made = 0;
/** A token that was never seen before. */
const fresh = (key = first, header: object = {}) => forge(key, claims({ jti: String(made++) }), header);

function start(options: Partial<GuardOptions> = {}, time = clock): AccessTokenVerifier {
  return createAccessTokenVerifier(
    { issuers: [genericOAuth2({ issuer: issuer.url })], audience: 'users-api', ...options },
    { clock: time, production: false },
  );
}

async function outcome(token: string, by = verifier, route?: RoutePolicy): Promise<string> {
  const verdict = await by.verify(token, route);
  return verdict.ok ? 'accepted' : verdict.reason;
}

beforeEach(async () => {
  issuer = await ForgeableIssuer.start();
  issuer.keys = [first.jwk];
  clock = manualClock();
  verifier = start();
  events = [];
  verifier.events.subscribe((event) => events.push(event));
});
afterEach(async () => {
  verifier.close();
  const { pendingTimers } = clock;
  await issuer.close();
  if (pendingTimers > 0) throw new Error(`${pendingTimers} timers were left`);
});

/** What becomes of tokens that are right up to a kid which nobody has, and signed by nobody. */
async function flood(size: number): Promise<ReadonlySet<string>> {
  const [, payload, signed] = fresh().split('.');
  const header = (kid: number) => Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: `made-up-${kid}` }));
  const tokens = Array.from({ length: size }, (_, kid) => `${header(kid).toString('base64url')}.${payload}.${signed}`);
  return new Set(await Promise.all(tokens.map((token) => outcome(token))));
}

describe('floods and outages', () => {
  it('K1 10,000 made-up kids cause one request at once and four in a minute, and do not affect tokens with known keys', async () => {
    const known = fresh();
    expect(await outcome(known)).toBe('accepted');
    const before = issuer.keySetRequests;
    // The first token had the issuer asked; of the others nobody knows yet.
    expect(await flood(10_000)).toEqual(new Set(['key_unknown', 'issuer_unavailable']));
    expect(await flood(10_000)).toEqual(new Set(['issuer_unavailable']));
    expect(issuer.keySetRequests - before).toBe(1);
    for (let second = 1; second < 60; second++) {
      clock.suspend(1000);
      await flood(5);
      expect(verifier.verify(known)).toMatchObject({ ok: true });
      expect(await outcome(fresh())).toBe('accepted');
    }
    expect(issuer.keySetRequests - before).toBe(4);
  });

  it('K2 the same while the issuer is down causes one request in a step, before and after the first success', async () => {
    issuer.keySetAnswer = json(500, {});
    expect(await flood(10_000)).toEqual(new Set(['issuer_unavailable']));
    expect(issuer.keySetRequests).toBe(1);
    await flood(10_000);
    expect(issuer.keySetRequests).toBe(1);
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      await clock.advance(seconds * 1000);
      await flood(20);
    }
    // One for each step: chance makes them shorter by up to a half, and never more than one at a time.
    expect(issuer.keySetRequests).toBeLessThanOrEqual(16);
    issuer.keySetAnswer = undefined;
    await clock.advance(60_000);
    expect(await outcome(fresh())).toBe('accepted');
    issuer.keySetAnswer = json(500, {});
    await clock.advance(30_000);
    const before = issuer.keySetRequests;
    // The issuer does not answer, so that nobody knows whether there is such a key.
    expect(await flood(10_000)).toEqual(new Set(['issuer_unavailable']));
    await flood(10_000);
    expect(issuer.keySetRequests - before).toBe(1);
    for (let second = 0; second < 60; second++) {
      clock.suspend(1000);
      expect(await flood(5)).toEqual(new Set(['issuer_unavailable']));
      expect(await outcome(fresh())).toBe('accepted');
    }
    // 1, 2, 4, 8, 16 and 32 s, each shorter by up to a half.
    expect(issuer.keySetRequests - before).toBeLessThanOrEqual(8);
  });

  it('K3 a token whose key can\u2019t be looked up yet is not refused as invalid, and gets a Retry-After', async () => {
    expect(await outcome(fresh())).toBe('accepted');
    expect(await outcome(fresh(first, { kid: 'made-up' }))).toBe('key_unknown');
    issuer.keys = [next.jwk, first.jwk];
    const token = fresh(next);
    expect(await verifier.verify(token)).toMatchObject({ reason: 'issuer_unavailable', retryAfterSeconds: 5 });
    expect(await outcome(fresh(first, { kid: 'made-up' }))).toBe('issuer_unavailable');
    await clock.advance(4999);
    expect(await verifier.verify(token)).toMatchObject({ reason: 'issuer_unavailable', retryAfterSeconds: 1 });
    await clock.advance(1);
    expect(await outcome(token)).toBe('accepted');
    expect(issuer.keySetRequests).toBe(3);
    // Told once for each time that the issuer could not be asked, however many tokens came.
    expect(events.filter(({ type }) => type === 'key_set.look_up_deferred')).toEqual([
      { type: 'key_set.look_up_deferred', issuer: issuer.url, retryAfterSeconds: 5 },
    ]);
  });

  it('in-kid-1: during a flood of made-up kids, a new key is found within 25 s, and its tokens are never refused as invalid', async () => {
    const known = fresh();
    expect(await outcome(known)).toBe('accepted');
    const waits: number[] = [];
    for (const rotateAt of [1, 6, 22, 36, 61, 76]) {
      const rotated = forgingKey('ES256', `rotated-${rotateAt}`);
      const time = manualClock();
      const by = start({}, time);
      issuer.keys = [first.jwk];
      expect(await outcome(known, by)).toBe('accepted');
      const before = issuer.keySetRequests;
      const found: string[] = [];
      for (let second = 0; found.at(-1) !== 'accepted'; second++) {
        await outcome(fresh(first, { kid: `made-up-${second}` }), by);
        if (second >= rotateAt) {
          issuer.keys = [rotated.jwk, first.jwk];
          found.push(await outcome(fresh(rotated), by));
        }
        expect(await outcome(known, by)).toBe('accepted');
        time.suspend(1000);
      }
      waits.push(found.length - 1);
      expect(new Set(found.slice(0, -1))).toEqual(new Set(['issuer_unavailable']));
      expect(issuer.keySetRequests - before).toBeLessThanOrEqual(Math.ceil((rotateAt + found.length) / 60) * 4 + 1);
      by.close();
    }
    expect(waits).toEqual([4, 14, 13, 24, 14, 14]);
  });

  it('in-kid-1: there are at most four look-ups in 60 s, and the next one is at most 25 s away', () => {
    const { lookUps } = REMOTE_KEY_SET_SCHEDULE;
    const gaps = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(gaps, (between) => {
        const made: number[] = [];
        let now = 0;
        for (const gap of between) {
          now += gap;
          const delay = lookUpDelayMs(
            made.slice(0, lookUps.most).map((at) => now - at),
            lookUps,
          );
          expect(delay).toBeLessThanOrEqual(25_000);
          if (delay === 0) made.unshift(now);
        }
        for (const at of made)
          expect(made.filter((one) => one >= at && one < at + 60_000).length).toBeLessThanOrEqual(4);
      }),
    );
    // One stray name holds up nobody for long.
    expect(lookUpDelayMs([0], lookUps)).toBe(5000);
  });

  it('in-kid-1: without a flood, a new key is found at once, even right after another, without waiting for the schedule', async () => {
    expect(await outcome(fresh())).toBe('accepted');
    issuer.keys = [next.jwk];
    expect(await outcome(fresh(next))).toBe('accepted');
    await clock.advance(5000);
    const third = forgingKey('ES256', 'third');
    issuer.keys = [third.jwk];
    expect(await outcome(fresh(third))).toBe('accepted');
    expect(issuer.keySetRequests).toBe(3);
  });

  it('in-kid-1: the keys of an issuer without kids are read again if none of them has signed the token', async () => {
    issuer.keys = [{ ...first.jwk, kid: undefined }];
    const unnamed = { kid: undefined };
    expect(await outcome(fresh(first, unnamed))).toBe('accepted');
    issuer.keys = [{ ...next.jwk, kid: undefined }];
    expect(await outcome(fresh(next, unnamed))).toBe('accepted');
    // That one is gone, and the issuer was asked a moment ago.
    expect(await outcome(fresh(first, unnamed))).toBe('issuer_unavailable');
    await clock.advance(5000);
    expect(await outcome(fresh(first, unnamed))).toBe('signature_invalid');
  });

  it('in-kid-1: the keys are not read again if the issuer has a key with that kid', async () => {
    issuer.keys = [next.jwk];
    expect(await outcome(fresh(next))).toBe('accepted');
    const before = issuer.keySetRequests;
    expect(await outcome(fresh(first, { kid: 'next' }))).toBe('signature_invalid');
    expect(await outcome(fresh(forgingKey('RS256', 'next')))).toBe('key_unknown');
    expect(issuer.keySetRequests).toBe(before);
  });

  it('in-kid-1: a token that arrives during a read is decided by a read that began after it', async () => {
    expect(await outcome(fresh())).toBe('accepted');
    await clock.advance(60_000);
    const answers: (() => void)[] = [];
    issuer.keySetAnswer = (request, response, message) => {
      const keys = [...issuer.keys];
      answers.push(() => void json(200, { keys })(request, response, message));
    };
    const madeUp = outcome(fresh(first, { kid: 'made-up' }));
    await until(() => answers.length === 1);
    // The answer that is under way knows nothing of it.
    issuer.keys = [next.jwk, first.jwk];
    const good = outcome(fresh(next));
    answers[0]!();
    expect(await madeUp).toBe('key_unknown');
    expect(await good).toBe('issuer_unavailable');
    issuer.keySetAnswer = undefined;
    await clock.advance(5000);
    expect(await outcome(fresh(next))).toBe('accepted');
  });

  it('K3 a rotation is found by schedule, before the first token with the new key', async () => {
    expect(await outcome(fresh())).toBe('accepted');
    issuer.keys = [next.jwk, first.jwk];
    await outcome(fresh());
    await clock.advance(480_000);
    await until(() => events.some((event) => event.type === 'key_set.changed' && event.keys === 2));
    expect(issuer.keySetRequests).toBe(2);
    expect(await outcome(fresh(next))).toBe('accepted');
    expect(issuer.keySetRequests).toBe(2);
  });

  it('K3 unused keys are not read again', async () => {
    expect(await outcome(fresh())).toBe('accepted');
    await clock.advance(24 * HOUR);
    expect(issuer.keySetRequests).toBe(1);
    expect(await outcome(fresh())).toBe('accepted');
    expect(issuer.keySetRequests).toBe(2);
  });

  it('K4 a removed key stops counting with the next read, even for cached tokens', async () => {
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    issuer.keys = [next.jwk];
    await clock.advance(480_000);
    await until(() => issuer.keySetRequests === 2 && events.length > 1);
    expect(await outcome(token)).toBe('key_unknown');
    await clock.advance(5000);
    expect(await outcome(fresh())).toBe('key_unknown');
  });

  it.each<[string, Record<string, unknown>]>([
    ['no key at all', { keys: [] }],
    ['no list of keys', { keys: null }],
    ['keys for other uses alone', { keys: [{ ...next.jwk, use: 'enc' }] }],
    ['keys that anyone has', { keys: [{ kty: 'oct', k: 'AAAA' }] }],
  ])(
    'in-A28: a response with %s does not empty a key set; the cached keys count for another hour',
    async (_name, answer) => {
      const token = fresh();
      expect(await outcome(token)).toBe('accepted');
      issuer.keySetAnswer = json(200, answer);
      await clock.advance(580_000);
      expect(await outcome(token)).toBe('accepted');
      expect(await outcome(fresh())).toBe('accepted');
      await until(() => events.some((event) => event.type === 'key_set.refresh_failed' && event.failures === 1));
      clock.suspend(HOUR + 20_000 - 1);
      expect(await outcome(token)).toBe('accepted');
      clock.suspend(1);
      expect(await outcome(token)).toBe('issuer_unavailable');
    },
  );

  it('K4 a set with one key less is accepted', async () => {
    issuer.keys = [first.jwk, next.jwk];
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    issuer.keys = [next.jwk];
    expect(await outcome(token)).toBe('accepted');
    await clock.advance(480_000);
    await until(() => issuer.keySetRequests === 2 && events.length > 1);
    expect(await outcome(token)).toBe('key_unknown');
  });

  it('K4 keys beyond their lifetime are not used before a new read', async () => {
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    issuer.keys = [next.jwk];
    await clock.advance(HOUR);
    // Nobody came in between, so that nobody has read them.
    expect(issuer.keySetRequests).toBe(1);
    expect(await outcome(token)).toBe('key_unknown');
  });

  it('K5 keys are used for exactly an hour beyond their lifetime while the issuer is down', async () => {
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    issuer.keySetAnswer = json(503, {});
    await clock.advance(600_000 + HOUR - 1);
    expect(await outcome(token)).toBe('accepted');
    // Once it is known to be down nobody waits for it.
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    await clock.advance(1);
    const verdict = (await verifier.verify(token)) as Refusal;
    expect([verdict.reason, verdict.retryAfterSeconds! >= 1]).toEqual(['issuer_unavailable', true]);
    issuer.keySetAnswer = undefined;
    await clock.advance(30_000);
    expect(await outcome(token)).toBe('accepted');
    expect(events.map(({ type }) => type)).toContain('key_set.recovered');
  });

  it('K5 keys with a longer lifetime are read again later, within a day', async () => {
    for (const [cacheControl, dueSeconds, age] of [
      ['max-age=3600', 2880],
      ['max-age=3600', 1440, '1800'],
      ['max-age=3600', 2880, '-1800'],
      ['max-age=3600', 48, '99999'],
      ['public, MAX-AGE=3600, must-revalidate', 2880],
      ['max-age=1', 48],
      ['no-store', 48],
      ['max-age=99999999', 69_120],
      ['max-age=3600x', 480],
    ] as const) {
      issuer.keySetAnswer = (...request) =>
        json(200, { keys: [first.jwk] }, { 'cache-control': cacheControl, ...(age && { age }) })(...request);
      const time = manualClock();
      const by = start({}, time);
      expect(await outcome(fresh(), by)).toBe('accepted');
      const before = issuer.keySetRequests;
      // A read is due between 72 % and 80 % of the lifetime.
      await time.advance(dueSeconds * 900 - 1000);
      expect(await outcome(fresh(), by)).toBe('accepted');
      expect(issuer.keySetRequests).toBe(before);
      await time.advance(dueSeconds * 100 + 1000);
      await until(() => issuer.keySetRequests === before + 1);
      by.close();
    }
  });

  it('K6 there is never more than one read at a time, so none can overtake another', async () => {
    const waiting: (() => void)[] = [];
    issuer.keySetAnswer = (request, response, message) =>
      waiting.push(() => void json(200, { keys: [first.jwk] })(request, response, message));
    const verdicts = Array.from({ length: 50 }, () => outcome(fresh()));
    await until(() => waiting.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(waiting).toHaveLength(1);
    waiting[0]!();
    expect(new Set(await Promise.all(verdicts))).toEqual(new Set(['accepted']));
  });

  it('K7 other spellings of an issuer are unknown issuers, and cause no requests', async () => {
    const spellings = Array.from({ length: 1000 }, (_, index) => `${issuer.url}/${'/'.repeat(index % 50)}?${index}`);
    for (const iss of spellings) expect(await outcome(forge(first, claims({ iss })))).toBe('issuer_unknown');
    expect(issuer.server.requests).toHaveLength(0);
  });

  it('K14 a clock that was set back does not make keys younger, and a sleep makes them older', async () => {
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    clock.setWallClock(new Date((NOW + 10) * 1000));
    await clock.advance(470_000);
    clock.setWallClock(new Date((NOW + 1) * 1000));
    await clock.advance(20_000);
    expect(await outcome(token)).toBe('accepted');
    await until(() => issuer.keySetRequests === 2);
    clock.suspend(3 * HOUR);
    issuer.keySetAnswer = json(500, {});
    expect(await outcome(token)).toBe('issuer_unavailable');
  });

  const bodies: readonly (readonly [string, Answer])[] = [
    ['a page', (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>')],
    ['300 KB', json(200, { keys: [first.jwk], more: 'x'.repeat(300_000) })],
    [
      'a compressed answer',
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(Buffer.alloc(1000)),
    ],
    ['a redirect', (_request, response) => response.writeHead(302, { location: '/elsewhere' }).end()],
    ['no list of keys', json(200, { kays: [] })],
    ['an empty list', json(200, { keys: [] })],
    ['members said twice', (_request, response) => response.writeHead(200).end('{"keys":[],"keys":[]}')],
    ['a broken connection', (_request, response) => response.destroy()],
    ['429', json(429, {})],
    [
      'a redirect to an address of the machine\u2019s own network',
      (_request, response) => response.writeHead(307, { location: 'http://169.254.169.254/latest/meta-data/' }).end(),
    ],
    [
      'a megabyte in small pieces',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        for (let piece = 0; piece < 100; piece++) response.write(' '.repeat(10_000));
        response.end(JSON.stringify({ keys: [first.jwk] }));
      },
    ],
  ];
  it.each(bodies)('H7 with %s instead of a key set, the token stays undecided', async (_name, answer) => {
    issuer.keySetAnswer = answer;
    const verdict = (await verifier.verify(fresh())) as Refusal;
    expect([verdict.reason, verdict.retryAfterSeconds]).toEqual(['issuer_unavailable', 1]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'key_set.refresh_failed', failures: 1 }));
    expect(issuer.requestsFor('/elsewhere')).toHaveLength(0);
  });

  it('H7 the guard gives up on an issuer that never responds after 5 s', async () => {
    issuer.keySetAnswer = () => undefined;
    const verdict = verifier.verify(fresh());
    await until(() => issuer.keySetRequests === 1);
    await clock.advance(4999);
    await clock.advance(1);
    expect(await verdict).toMatchObject({ ok: false, reason: 'issuer_unavailable' });
    expect(events).toContainEqual(expect.objectContaining({ problem: 'no response within 5000 ms' }));
  });

  it('H7 the guard gives up on an issuer that drips bytes after 5 s', async () => {
    let stop = () => {};
    issuer.keySetAnswer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"keys":[');
      const dripping = setInterval(() => response.write(' '), 1);
      stop = () => clearInterval(dripping);
      response.on('close', stop);
    };
    const verdict = verifier.verify(fresh());
    await until(() => issuer.keySetRequests === 1);
    await clock.advance(4999);
    expect(events).toEqual([]);
    await clock.advance(1);
    expect(await verdict).toMatchObject({ ok: false, reason: 'issuer_unavailable' });
    expect(events).toContainEqual(expect.objectContaining({ problem: 'no response within 5000 ms' }));
    stop();
  });

  it.each<readonly [string, (own: string) => Partial<GuardOptions>, RegExp]>([
    [
      'by TLS at a port without TLS',
      (own) => ({
        issuers: [genericOAuth2({ issuer: own, jwksUri: `${own.replace('http:', 'https:')}/keys` })],
      }),
      /no response from https:.*(EPROTO|ERR_SSL)/,
    ],
    [
      'at an unknown host name',
      (own) => ({
        issuers: [genericOAuth2({ issuer: own, jwksUri: 'https://keys.example/keys' })],
        // A resolver that says what all of them say to such a name, without a question to anybody.
        agent: new Agent({
          lookup: (name, _options, done) =>
            done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }), ''),
        }),
      }),
      /no response from https:\/\/keys\.example .*ENOTFOUND/,
    ],
    [
      'at a closed port',
      (own) => ({ issuers: [genericOAuth2({ issuer: own, jwksUri: 'http://127.0.0.1:1/keys' })] }),
      /ECONNREFUSED/,
    ],
  ])('H7 keys %s are unavailable', async (_name, options, problem) => {
    const by = start(options(issuer.url));
    const told: VerificationEvent[] = [];
    by.events.subscribe((event) => told.push(event));
    expect(await outcome(fresh(), by)).toBe('issuer_unavailable');
    expect(told).toEqual([expect.objectContaining({ problem: expect.stringMatching(problem) })]);
    by.close();
  });

  it.each([
    ['of another issuer', { issuer: 'https://evil.example' }, /names the issuer "https:\/\/evil\.example" instead of/],
    ['with keys on another origin', { jwks_uri: 'https://evil.example/keys' }, /on another origin/],
    ['with keys on another port', { jwks_uri: 'http://127.0.0.1:1/keys' }, /on another origin/],
    ['with keys in a file', { jwks_uri: 'file:///etc/passwd' }, /no usable jwks_uri/],
    ['with keys in itself', { jwks_uri: 'data:application/json,{}' }, /no usable jwks_uri/],
    ['with keys over plain http from afar', { jwks_uri: 'http://169.254.169.254/' }, /no usable jwks_uri/],
    ['with keys behind a password', { jwks_uri: 'http://a:b@127.0.0.1/' }, /no usable jwks_uri/],
    ['without keys', { jwks_uri: undefined }, /no usable jwks_uri/],
  ])('H7 metadata %s is not followed', async (_name, metadata, problem) => {
    issuer.metadata = metadata;
    expect(await outcome(fresh())).toBe('issuer_unavailable');
    expect(events).toContainEqual(expect.objectContaining({ problem: expect.stringMatching(problem) }));
    expect(issuer.keySetRequests).toBe(0);
  });

  it.each([
    'file:///keys',
    'data:application/json,{}',
    'ftp://id.example/keys',
    'https://a:b@id.example/keys',
    'http://id.example',
  ])('K13b the boot refuses %s as the address of a key set', (jwksUri) => {
    const issuers = [genericOAuth2({ issuer: 'https://id.example', jwksUri })];
    expect(() => start({ issuers })).toThrow(/options\.issuers\[0\]\.jwksUri/);
  });

  it('ends background work when it is closed', async () => {
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    expect(clock.pendingTimers).toBe(1);
    issuer.keySetAnswer = () => undefined;
    await clock.advance(30_000);
    const waiting = outcome(fresh(next));
    await until(() => issuer.keySetRequests === 2);
    verifier.close();
    expect(await waiting).toBe('issuer_unavailable');
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(24 * HOUR);
    expect(issuer.keySetRequests).toBe(2);
  });

  it('uses at most 1,000 keys, and reports that', async () => {
    issuer.keys = [...Array.from({ length: 1000 }, (_, index) => ({ ...next.jwk, kid: `k${index}` })), first.jwk];
    expect(await outcome(fresh())).toBe('key_unknown');
    expect(await outcome(fresh(next, { kid: 'k999' }))).toBe('accepted');
    expect(events).toContainEqual(expect.objectContaining({ type: 'key_set.key_ignored', reason: 'beyond_limit' }));
  });

  it.each([
    ['ES384', 200],
    ['ES512', 112],
  ] as const)('K11 keys for %s take so long to read that at most %d are used', async (algorithm, used) => {
    const { jwk } = forgingKey(algorithm);
    issuer.keys = [first.jwk, ...Array.from({ length: 250 }, (_, index) => ({ ...jwk, kid: `k${index}` }))];
    expect(await outcome(fresh())).toBe('accepted');
    expect(events).toContainEqual({ type: 'key_set.changed', issuer: issuer.url, keys: used });
  });

  it('K11 at most 2,000 entries of a set are read, whatever they are', async () => {
    const point = { kty: 'EC', crv: 'P-521', x: 'AQ', y: 'AQ' };
    issuer.keys = [first.jwk, ...Array.from({ length: 5000 }, () => point), next.jwk];
    expect(await outcome(fresh())).toBe('accepted');
    expect(await outcome(fresh(next))).toBe('key_unknown');
    const reasons = events.flatMap((event) => (event.type === 'key_set.key_ignored' ? [event.reason] : []));
    expect(reasons).toEqual(['malformed', 'beyond_limit']);
  });

  it.each(['n', 'e'])('K11 an RSA key whose %s fills a key set delays no caller', async (name) => {
    const number = Buffer.alloc(150_000, 0xab).toString('base64url');
    issuer.keys = [first.jwk, { ...forgingKey('RS256', 'long').jwk, [name]: number }];
    const startedAt = performance.now();
    expect(await outcome(fresh())).toBe('accepted');
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(events).toContainEqual(expect.objectContaining({ kid: 'long', reason: 'weak' }));
  });

  it('does not count keys for other uses', async () => {
    issuer.keys = [
      ...Array.from({ length: 1000 }, (_, index) => ({ ...next.jwk, kid: `k${index}`, use: 'enc' })),
      first.jwk,
    ];
    expect(await outcome(fresh())).toBe('accepted');
  });

  it('reports many unused keys in one event', async () => {
    issuer.keys = [
      ...Array.from({ length: 11 }, (_, index) => ({ ...next.jwk, kid: `k${index}`, use: 'enc' })),
      first.jwk,
    ];
    await outcome(fresh());
    const ignored = events.filter(({ type }) => type.startsWith('key_set.key'));
    expect(ignored).toEqual([{ type: 'key_set.keys_ignored', issuer: issuer.url, keys: 11 }]);
  });

  it.each<readonly [string, string]>([
    ['a member twice', '{"kty":"EC","kid":"x","kid":"first"}'],
    ['a member twice further inside', '{"kty":"EC","kid":"]}","x5c":[{"a":1,"a":2}]}'],
    ['a name that can’t be read', String.raw`{"kty":"EC","\"":1}`],
    ['a depth beyond reason', `{"kty":"EC","more":${'['.repeat(40)}${']'.repeat(40)}}`],
  ])('S14 ignores a key with %s, and uses the others', async (_name, faulty) => {
    issuer.keySetAnswer = (_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(`{"keys":[${JSON.stringify(first.jwk)},${faulty},${JSON.stringify(next.jwk)}]}`);
    expect([await outcome(fresh()), await outcome(fresh(next))]).toEqual(['accepted', 'accepted']);
    const ignored = events.filter(({ type }) => type === 'key_set.key_ignored');
    expect(ignored).toEqual([{ type: 'key_set.key_ignored', issuer: issuer.url, kid: undefined, reason: 'malformed' }]);
  });

  it('S14 rejects a set with two lists of keys', async () => {
    issuer.keySetAnswer = (_request, response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(`{"keys":[],"keys":[${JSON.stringify(first.jwk)}]}`);
    expect(await outcome(fresh())).toBe('issuer_unavailable');
  });

  it('reports an unused key once, not with each read', async () => {
    issuer.keys = [first.jwk, { kty: 'oct', k: 'AAAA', kid: 'shared' }];
    await outcome(fresh());
    await outcome(fresh());
    await clock.advance(480_000);
    await until(() => issuer.keySetRequests === 2);
    const ignored = events.filter(({ type }) => type === 'key_set.key_ignored');
    expect(ignored).toEqual([{ type: 'key_set.key_ignored', issuer: issuer.url, kid: 'shared', reason: 'symmetric' }]);
  });
});

describe('configured keys', () => {
  it('are used unchanged, without a request', async () => {
    const by = start({ issuers: [genericOAuth2({ issuer: issuer.url, jwks: { keys: [first.jwk] } })] });
    expect(await outcome(fresh(), by)).toBe('accepted');
    expect(await outcome(fresh(next), by)).toBe('key_unknown');
    expect(issuer.server.requests).toHaveLength(0);
    by.close();
  });

  it('are read from a replaced file, and stay in use while it is missing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keys-'));
    const path = join(folder, 'jwks.json');
    const put = async (...keys: object[]) => {
      await writeFile(`${path}.new`, JSON.stringify({ keys }));
      await rename(`${path}.new`, path);
    };
    const by = start({ issuers: [genericOAuth2({ issuer: issuer.url, jwksFile: path })] });
    const seen: VerificationEvent[] = [];
    by.events.subscribe((event) => seen.push(event));
    expect(await outcome(fresh(), by)).toBe('issuer_unavailable');
    await put(first.jwk);
    await clock.advance(1000);
    const token = fresh();
    expect(await outcome(token, by)).toBe('accepted');
    await put(next.jwk);
    await clock.advance(1000);
    expect(await outcome(fresh(next), by)).toBe('accepted');
    expect(await outcome(token, by)).toBe('issuer_unavailable');
    await clock.advance(1000);
    expect(await outcome(token, by)).toBe('key_unknown');
    await rm(path);
    await clock.advance(20_000);
    expect(await outcome(fresh(next), by)).toBe('accepted');
    expect(seen).toContainEqual(
      expect.objectContaining({ problem: expect.stringMatching(/can't be read \(ENOENT\)/) }),
    );
    by.close();
    await rm(folder, { recursive: true });
  });
});

describe('cached tokens', () => {
  it('are decided without a promise, and never verified twice', async () => {
    const token = fresh();
    expect(verifier.verify(token)).toBeInstanceOf(Promise);
    await verifier.verify(token);
    const verdict = verifier.verify(token);
    expect(verdict).toMatchObject({ ok: true, caller: { clientId: 'billing', scopes: ['users.read'] } });
    expect(verifier.verify(token)).toEqual(verdict);
  });

  it('K8 are checked for each request: time, audience of another guard, scopes and clients of another route', async () => {
    const token = forge(first, claims({ exp: NOW + 60, nbf: NOW - 10 }));
    expect(await outcome(token)).toBe('accepted');
    expect(verifier.verify(token, { scopes: ['admin'], clients: undefined })).toMatchObject({
      reason: 'scope_insufficient',
    });
    expect(verifier.verify(token, { scopes: [], clients: ['other'] })).toMatchObject({ reason: 'client_not_allowed' });
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    clock.setWallClock(new Date((NOW - 60) * 1000));
    expect(verifier.verify(token)).toMatchObject({ reason: 'token_not_yet_valid' });
    clock.setWallClock(new Date((NOW + 89.999) * 1000));
    expect(verifier.verify(token)).toMatchObject({ ok: true });
    clock.setWallClock(new Date((NOW + 90) * 1000));
    expect(verifier.verify(token)).toMatchObject({ reason: 'token_expired' });
  });

  it('K9 are not confused with tokens that end alike', async () => {
    const token = fresh();
    expect(await outcome(token)).toBe('accepted');
    const [header, , signed] = token.split('.');
    const stranger = Buffer.from(JSON.stringify(claims({ scope: 'admin' }))).toString('base64url');
    expect(await outcome(`${header}.${stranger}.${signed}`)).toBe('signature_invalid');
    expect(verifier.verify(token)).toMatchObject({ ok: true });
  });

  it('K10 have callers that no request can change for others', async () => {
    const token = forge(first, claims({ roles: ['reader'], nested: { deep: [{}] } }));
    const { caller } = (await verifier.verify(token)) as { caller: MachineCaller };
    const roles = caller.claims.roles as string[];
    expect(() => roles.push('admin')).toThrow(TypeError);
    expect(() => Object.assign(caller.claims, { scope: 'admin' })).toThrow(TypeError);
    expect(() => Object.assign((caller.claims.nested as { deep: object[] }).deep[0]!, { x: 1 })).toThrow(TypeError);
    expect(() => (caller.scopes as string[]).push('admin')).toThrow(TypeError);
    caller.expiresAt.setFullYear(2999);
    const again = verifier.verify(token) as { caller: MachineCaller };
    expect(again.caller.expiresAt).toEqual(new Date((NOW + 1_000_000) * 1000));
    expect(again.caller.claims.roles).toEqual(['reader']);
  });

  it('K11 are limited in number, and never include a refused one', async () => {
    const by = start({ verifiedTokens: { maxEntries: 3 } });
    const tokens = Array.from({ length: 10 }, () => fresh());
    for (const token of tokens) expect(await outcome(token, by)).toBe('accepted');
    const known = tokens.filter((token) => !(by.verify(token) instanceof Promise));
    expect(known.length).toBeLessThanOrEqual(3);
    const forged = `${fresh().slice(0, -8)}AAAAAAAA`;
    await outcome(forged, by);
    expect(await outcome(forged, by)).toBe('signature_invalid');
    by.close();
    const none = start({ verifiedTokens: { maxBytes: 0 } });
    await outcome(tokens[0]!, none);
    const again = none.verify(tokens[0]!);
    expect(again).toBeInstanceOf(Promise);
    await again;
    none.close();
  });

  it('K13 are checked for revocation only after verification, so the response time reveals no revocation', async () => {
    const asked: string[] = [];
    const store: RevocationStore = {
      isRevoked({ tokenId }) {
        asked.push(tokenId!);
        return false;
      },
    };
    const by = start({ revocations: store });
    const good = fresh();
    const [header, , signed] = good.split('.');
    const payload = Buffer.from(JSON.stringify(claims({ jti: 'guessed' }))).toString('base64url');
    for (const token of [`${header}.${payload}.${signed}`, forge(next, claims({ jti: 'guessed' }), { kid: 'first' })]) {
      expect(await outcome(token, by)).toBe('signature_invalid');
    }
    expect(asked).toEqual([]);
    expect(await outcome(good, by)).toBe('accepted');
    // Known now: a token that differs in one character, wherever, is a stranger all the same.
    for (const at of [0, header!.length + 2, good.length - 80, good.length - 10]) {
      const token = `${good.slice(0, at)}${good[at] === 'A' ? 'B' : 'A'}${good.slice(at + 1)}`;
      expect(await outcome(token, by)).not.toBe('accepted');
    }
    expect(asked).toHaveLength(1);
    by.close();
  });

  it('C14 are looked up in the store each time, and refused if it fails', async () => {
    let answer: () => boolean | Promise<boolean> = () => false;
    const store: RevocationStore = { isRevoked: () => answer() };
    const by = start({ revocations: store });
    const token = fresh();
    expect(await outcome(token, by)).toBe('accepted');
    for (const [next, reason] of [
      [() => true, 'token_revoked'],
      [() => Promise.resolve(true), 'token_revoked'],
      [() => Promise.resolve(false), 'accepted'],
      [() => Promise.reject(new Error('down')), 'revocation_unavailable'],
      [
        () => {
          throw new Error('down');
        },
        'revocation_unavailable',
      ],
      [() => undefined as never, 'revocation_unavailable'],
      [() => 'no' as never, 'revocation_unavailable'],
      [() => Promise.resolve(undefined as never), 'revocation_unavailable'],
    ] as const) {
      answer = next;
      expect(await outcome(token, by)).toBe(reason);
    }
    answer = () => new Promise(() => undefined);
    const silent = outcome(token, by);
    await clock.advance(2000);
    expect(await silent).toBe('revocation_unavailable');
    by.close();
  });

  it('allow a named client with the scopes that count, until its end', async () => {
    const by = start({
      clients: [{ clientId: 'billing', scopes: ['users.read'], until: '2030-01-02' }, { clientId: 'other' }],
    });
    const token = forge(first, claims({ scope: 'users.read users.write' }));
    const verdict = (await by.verify(token)) as { caller: MachineCaller };
    expect([verdict.caller.scopes, verdict.caller.isNamed]).toEqual([['users.read'], true]);
    expect(await outcome(token, by, { scopes: ['users.write'], clients: undefined })).toBe('scope_insufficient');
    clock.setWallClock(new Date('2030-01-01T23:59:59.999Z'));
    expect(await outcome(token, by)).toBe('accepted');
    clock.setWallClock(new Date('2030-01-02T00:00:00Z'));
    expect(await outcome(token, by)).toBe('client_expired');
    by.close();
  });

  it('K8 include a new token of many concurrent calls, which is verified once and checked for each call', async () => {
    const { subtle } = globalThis.crypto;
    const verifySignature = jest.spyOn(subtle, 'verify');
    try {
      const [token, other] = [fresh(), fresh()];
      const routes = [{}, { scopes: ['admin'] }, { clients: ['nobody'] }] satisfies RoutePolicy[];
      const calls = Array.from({ length: 99 }, (_, at) => outcome(token, verifier, routes[at % 3]));
      expect(new Set(await Promise.all(calls))).toEqual(
        new Set(['accepted', 'scope_insufficient', 'client_not_allowed']),
      );
      expect(verifySignature).toHaveBeenCalledTimes(1);
      expect(await Promise.all([outcome(other), outcome(`${other.slice(0, -8)}AAAAAAAA`)])).toEqual([
        'accepted',
        'signature_invalid',
      ]);
      expect(verifySignature).toHaveBeenCalledTimes(3);
    } finally {
      verifySignature.mockRestore();
    }
  });

  it('K8 get the verdict of uncached ones: any tokens, times, routes, removals and revocations', async () => {
    // Its tokens are signed by two keys, one of which comes and goes.
    const pool = [first, next].flatMap((key) =>
      [
        {},
        { exp: NOW + 100 },
        { nbf: NOW + 50 },
        { iat: NOW + 70, exp: NOW + 200 },
        { aud: ['other', 'users-api'] },
        { sub: 'jane' },
        { sub: 'other', client_id: 'other', jti: 'b' },
        { scope: 'users.write', jti: 'c' },
        { act: {} },
        { scope: 'a\tb' },
        { scope: ' users.read  users.write', nbf: null, exp: NOW + 100.25, jti: 'd' },
        { aud: 'other' },
      ].map((more, index) => forge(key, claims({ jti: `t${index}`, tenant: index % 2 ? 'acme' : 'other', ...more }))),
    );
    const routes: (RoutePolicy | undefined)[] = [
      undefined,
      { scopes: ['users.read'], clients: undefined },
      { scopes: ['users.read', 'users.write'], scopesMode: 'any', clients: undefined },
      { scopes: [], clients: ['other'] },
      { scopes: [], clients: undefined, claims: { tenant: 'acme' } },
      { scopes: [], clients: undefined, sensitive: true },
    ];
    const steps = fc.array(
      fc.oneof(
        { weight: 8, arbitrary: fc.record({ token: fc.nat(pool.length - 1), route: fc.nat(routes.length - 1) }) },
        { weight: 2, arbitrary: fc.record({ seconds: fc.integer({ min: -200, max: 400 }) }) },
        { weight: 1, arbitrary: fc.record({ keys: fc.constantFrom([first], [next], [first, next]) }) },
        { weight: 1, arbitrary: fc.record({ revoke: fc.constantFrom('t0', 'b', 'c') }) },
      ),
      { minLength: 10, maxLength: 30 },
    );
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const time = manualClock();
        const revocations = new InMemoryRevocations({ clock: time });
        issuer.keys = [first.jwk, next.jwk];
        const clients = [{ clientId: 'billing', until: new Date((NOW + 300) * 1000) }, { clientId: 'other' }];
        const warm = start({ revocations, clients }, time);
        // The latest time at which the keys may have been read: an age is measured from there, also when time goes
        // back.
        let readAtMs = NOW * 1000;
        for (const step of sequence) {
          readAtMs = Math.max(time.now().wallMs, readAtMs);
          if ('seconds' in step) time.setWallClock(new Date(time.now().wallMs + step.seconds * 1000));
          else if ('revoke' in step) revocations.revoke({ issuer: issuer.url, tokenId: step.revoke });
          else if ('keys' in step) {
            issuer.keys = step.keys.map(({ jwk }) => jwk);
            // Beyond the keys' lifetime, so that they are read before anything else; then time is what it was.
            const { wallMs } = time.now();
            readAtMs += 700_000;
            time.setWallClock(new Date(readAtMs));
            const now = Math.floor(readAtMs / 1000);
            await warm.verify(forge(first, claims({ iat: now, exp: now + 60 })));
            time.setWallClock(new Date(wallMs));
          } else {
            const token = pool[step.token]!;
            const cold = start({ revocations, clients }, time);
            const [expected, found] = [
              await cold.verify(token, routes[step.route]),
              await warm.verify(token, routes[step.route]),
            ];
            cold.close();
            compared++;
            // The warm one may have asked the issuer a moment ago, and then does not call the token bad.
            const isDeferred = !found.ok && found.reason === 'issuer_unavailable';
            if (isDeferred) expect(expected).toMatchObject({ reason: 'key_unknown' });
            else expect(found).toEqual(expected);
          }
        }
        warm.close();
      }),
      { numRuns: 60 },
    );
    expect(compared).toBeGreaterThan(300);
  }, 60_000);
});
