import { beforeEach, describe, expect, it, test } from '@jest/globals';
import { unsignedIntrospection } from '../../../../test/support/unsigned-introspection.js';
import { ManualClock } from '../testing/manual-clock.js';
import { Introspection, type IntrospectionResult } from './introspection.js';
import { IntrospectionAvailability } from './introspection-availability.js';
import { IntrospectionError } from './introspection-endpoint.js';
import type { VerificationEvent } from './verification-events.js';

const issuer = 'https://id.example';
const START = new Date('2030-01-01T00:00:00Z');
const EPOCH = START.getTime() / 1000;

let clock: ManualClock;
let events: VerificationEvent[];
/** Tokens that the issuer was asked about, without those of probes. */
let asked: string[];
let signals: Map<string, AbortSignal>;
let respond: (token: string) => Response | Promise<Response>;
let answerProbe: () => Response | Promise<Response>;
let introspection: Introspection;

const json = (body: object) => new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } });
const active = (claims: object = { exp: EPOCH + 3600 }) => json({ active: true, ...claims });
const inactive = () => json({ active: false });
const status = (code: number, headers = {}) => new Response(null, { status: code, headers });
const isProbe = (token: string) => /^[\w-]{32}$/.test(token);

beforeEach(() => {
  clock = new ManualClock(START);
  events = [];
  asked = [];
  signals = new Map();
  respond = () => active();
  answerProbe = inactive;
  const endpoint = unsignedIntrospection({
    issuer,
    fetch: async (_url, init) => {
      const token = (init!.body as URLSearchParams).get('token')!;
      if (isProbe(token)) return answerProbe();
      asked.push(token);
      signals.set(token, init!.signal!);
      return respond(token);
    },
    clock,
  });
  const availability = new IntrospectionAvailability({ issuer, endpoint, clock, emit: (event) => events.push(event) });
  introspection = new Introspection({ tokens: 'signed', endpoint, availability, clock });
});

function gate() {
  let release = (_response: Response) => {};
  const promise = new Promise<Response>((done) => (release = done));
  return { promise, release };
}
const hang = () => new Promise<Response>(() => {});
const settle = () => clock.advance(0);
const text = (result: IntrospectionResult) =>
  result.active === 'unknown' ? `in ${result.retryAfterSeconds} s` : result.active ? 'active' : 'inactive';
const ask = async (token = 'a') => text(await introspection.ask(token));
/** What is known at once. */
function known(token = 'a'): string {
  const result = introspection.ask(token);
  return result instanceof Promise ? 'asked' : text(result);
}

describe('the response about a token', () => {
  it('is requested once for all calls that wait, and then known without a promise', async () => {
    const [first, second] = [introspection.ask('a'), introspection.ask('a')];
    expect(first).toBe(second);
    const result = await first;
    expect(result).toEqual({ active: true, claims: { exp: EPOCH + 3600 } });
    expect(introspection.ask('a')).toBe(result);
    expect(known('b')).toBe('asked');
    await settle();
    expect([asked, clock.pendingTimers]).toEqual([['a', 'b'], 0]);
  });

  it('can’t be changed at any level', async () => {
    respond = () => active({ exp: EPOCH + 3600, roles: [{ name: 'x' }] });
    const result = await introspection.ask('a');
    const claims = 'claims' in result ? result.claims : {};
    const roles = claims.roles as readonly object[];
    const all = [result, claims, roles, roles[0]];
    expect(all.map(Object.isFrozen)).toEqual([true, true, true, true]);
  });

  test.each<[string, () => Response, number]>([
    ['active', () => active(), 60_000],
    ['active for longer than a minute', () => active({ exp: EPOCH + 61 }), 60_000],
    ['active for less than a minute', () => active({ exp: EPOCH + 59.5 }), 59_500],
    ['inactive', inactive, 10_000],
  ])('that it is %s counts for its time, from the request on', async (_name, answer, holdsMs) => {
    const { promise, release } = gate();
    respond = () => promise;
    const waiting = ask();
    await clock.advance(3000);
    release(answer());
    const result = await waiting;
    respond = hang;
    clock.suspend(holdsMs - 3001);
    expect(known()).toBe(result);
    clock.suspend(1);
    expect(known()).toBe('asked');
  });

  test.each<[string, object]>([
    ['no expiry', {}],
    ['an expiry that is no number', { exp: String(EPOCH + 3600) }],
    ['an expiry that has come', { exp: EPOCH }],
    ['an expiry that is over', { exp: EPOCH - 10 }],
  ])('that it is active with %s counts for no other call', async (_name, claims) => {
    respond = () => active(claims);
    expect(await ask()).toBe('active');
    expect(known()).toBe('asked');
  });

  it('takes room by the length of its claims', async () => {
    respond = () => active({ exp: EPOCH + 3600, padding: 'x'.repeat(1_000_000) });
    for (let index = 0; index < 11; index++) await ask(`t${index}`);
    expect(known('t0')).toBe('active');
    const before = asked.length;
    await ask('t11');
    const again = Array.from({ length: 12 }, (_, index) => known(`t${index}`)).filter((one) => one === 'asked');
    expect([before, again.length]).toEqual([11, 1]);
  });
});

describe('a token without a response', () => {
  it('is undecided after 5 s, and its request ends', async () => {
    respond = hang;
    const waiting = ask();
    await clock.advance(4999);
    expect(signals.get('a')!.aborted).toBe(false);
    await clock.advance(1);
    expect(await waiting).toBe('in 1 s');
    expect(signals.get('a')!.reason).toEqual(new IntrospectionError('no response within 5000 ms'));
    expect(events).toMatchObject([{ type: 'introspection.failed', tokens: 'signed', failures: 1 }]);
    respond = () => active();
    expect(await ask()).toBe('active');
    expect(clock.pendingTimers).toBe(0);
  });

  it('is undecided where its request fails, and no other is affected', async () => {
    respond = (token) => (token === 'a' ? status(500) : active());
    expect([await ask('a'), await ask('b'), await ask('a')]).toEqual(['in 1 s', 'active', 'in 1 s']);
    expect(asked).toEqual(['a', 'b', 'a']);
  });

  test.each<[string, string]>([
    ['0', 'in 1 s'],
    ['7', 'in 7 s'],
    ['60', 'in 30 s'],
  ])('waits as long as the issuer asks for, within bounds: %s s', async (seconds, expected) => {
    respond = () => status(503, { 'retry-after': seconds });
    expect(await ask()).toBe(expected);
  });

  it('waits for the pause of an issuer that is down, rounded up', async () => {
    respond = () => status(500);
    answerProbe = () => status(503, { 'retry-after': '7' });
    expect([await ask(), await ask(), await ask()]).toEqual(['in 1 s', 'in 1 s', 'in 7 s']);
    expect([known(), known('b')]).toEqual(['in 7 s', 'in 7 s']);
    clock.suspend(999);
    expect(known()).toBe('in 7 s');
    clock.suspend(1);
    expect(known()).toBe('in 6 s');
    expect(asked).toHaveLength(3);
    clock.suspend(6000);
    respond = hang;
    expect([known(), known('b')]).toEqual(['asked', 'in 1 s']);
    await settle();
    expect(asked).toHaveLength(4);
  });

  it('ends the outage with the request that is sent ahead, and not with one before', async () => {
    respond = () => status(500);
    answerProbe = () => status(500);
    for (let failure = 0; failure < 3; failure++) await ask();
    clock.suspend(1000);
    expect(await ask()).toBe('in 2 s');
    clock.suspend(2000);
    respond = () => active();
    expect(await ask()).toBe('active');
    expect(events.at(-1)).toEqual({ type: 'introspection.recovered', issuer });
    expect(known('b')).toBe('asked');
  });
});

describe('a token that the issuer rejects', () => {
  beforeEach(() => {
    respond = () => status(400);
  });

  it('is inactive where the issuer answers requests about others, for 10 s', async () => {
    expect(await introspection.ask('a')).toEqual({ active: false });
    clock.suspend(9999);
    expect(known()).toBe('inactive');
    clock.suspend(1);
    expect(known()).toBe('asked');
    await settle();
    expect(asked).toHaveLength(2);
  });

  test.each([400, 500])('is undecided where the issuer answers no others (%i)', async (code) => {
    answerProbe = () => status(code);
    expect(await ask()).toBe('in 5 s');
    respond = () => active();
    answerProbe = inactive;
    clock.suspend(5000);
    expect(await ask()).toBe('active');
  });
});

describe('open requests', () => {
  const open = (count: number) => {
    for (let index = 0; index < count; index++) expect(known(`t${index}`)).toBe('asked');
  };

  it('are 100 at most, and other tokens wait', async () => {
    const { promise, release } = gate();
    respond = () => promise.then(() => active());
    open(100);
    expect([known('a'), known('t0'), known('t99')]).toEqual(['in 1 s', 'asked', 'asked']);
    release(active());
    await settle();
    expect([known('a'), known('t0')]).toEqual(['asked', 'active']);
    await settle();
    expect(asked).toHaveLength(101);
  });

  it('make room by failing as well', async () => {
    respond = hang;
    open(100);
    await clock.advance(5000);
    await settle();
    clock.suspend(30_000);
    expect(known('a')).toBe('asked');
  });

  it('give the place of the oldest up where the issuer hangs for its token alone', async () => {
    await ask('before');
    respond = hang;
    known('oldest');
    await clock.advance(500);
    open(99);
    await clock.advance(499);
    expect(known('a')).toBe('in 1 s');
    await clock.advance(1);
    const oldest = ask('oldest');
    expect(known('a')).toBe('asked');
    expect(await oldest).toBe('in 1 s');
    expect(signals.get('oldest')!.reason).toEqual(
      new IntrospectionError('no response, although other requests got one'),
    );
    expect(signals.get('t0')!.aborted).toBe(false);
    expect(known('b')).toBe('in 1 s');
  });

  it('are shared also where the same token was given up before', async () => {
    await ask('before');
    respond = hang;
    known('a');
    open(99);
    await clock.advance(1000);
    const first = ask('a');
    expect(known('x')).toBe('asked');
    // Before the end of the request that was given up is noticed.
    const again = introspection.ask('a');
    expect(await first).toBe('in 1 s');
    await settle();
    expect(introspection.ask('a')).toBe(again);
    expect(asked.filter((token) => token === 'a')).toHaveLength(2);
  });
});

describe('introspection that is closed', () => {
  it('ends its requests, and decides nothing', async () => {
    await ask('a');
    respond = hang;
    const waiting = ask('b');
    await settle();
    introspection.close();
    expect(signals.get('b')!.reason).toEqual(new IntrospectionError('the verifier was closed'));
    expect(await waiting).toBe('in 1 s');
    expect([known('a'), known('b'), known('c')]).toEqual(['in 1 s', 'in 1 s', 'in 1 s']);
    expect([asked, events, clock.pendingTimers]).toEqual([['a', 'b'], [], 0]);
  });

  it('ends the probe under way', async () => {
    respond = () => status(400);
    answerProbe = hang;
    const waiting = ask();
    await settle();
    introspection.close();
    expect(await waiting).toBe('in 5 s');
    expect([events, clock.pendingTimers]).toEqual([[], 0]);
  });
});
