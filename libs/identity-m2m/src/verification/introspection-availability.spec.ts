import { beforeEach, describe, expect, it, test } from '@jest/globals';
import { unsignedIntrospection } from '../../../../test/support/unsigned-introspection.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import { ManualClock } from '../testing/manual-clock.js';
import { IntrospectionAvailability, wantedPauseMs } from './introspection-availability.js';
import { IntrospectionError, IntrospectionRejectedError } from './introspection-endpoint.js';
import type { VerificationEvent } from './verification-events.js';

const issuer = 'https://id.example';
const { signal } = new AbortController();
const DOWN = new IntrospectionError('down');
const REJECTED = new IntrospectionRejectedError('not this token');
const other = { tokens: 'opaque', isLead: false } as const;
const lead = { tokens: 'opaque', isLead: true } as const;

let clock: ManualClock;
let events: VerificationEvent[];
/** Tokens of the probes. */
let probes: string[];
let signals: AbortSignal[];
/** How the issuer answers a probe. */
let respond: () => Response | Promise<Response>;
let availability: IntrospectionAvailability;

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  probes = [];
  signals = [];
  respond = up;
  const endpoint = unsignedIntrospection({
    issuer,
    fetch: async (_url, init) => {
      probes.push((init!.body as URLSearchParams).get('token')!);
      signals.push(init!.signal!);
      return respond();
    },
    clock,
  });
  availability = new IntrospectionAvailability({ issuer, endpoint, clock, emit: (event) => events.push(event) });
});

const up = () => new Response('{"active":false}', { headers: { 'content-type': 'application/json' } });
const down = () => new Response(null, { status: 500 });
const rejecting = () => new Response(null, { status: 400 });
const hanging = () => new Promise<Response>(() => {});
const busy = (seconds: number) => () => new Response(null, { status: 503, headers: { 'retry-after': `${seconds}` } });
const enter = () => availability.enter(clock.now());
const unanswered = (error: unknown = DOWN, request: typeof other | typeof lead = other) =>
  availability.unanswered(error, request, signal);
const answered = () => availability.answered(clock.now());
const of = (type: VerificationEvent['type']) => events.filter((event) => event.type === type);
const pauses = () => of('introspection.paused').map((event) => 'pauseMs' in event && event.pauseMs);
/** Makes the issuer count as down, until a request is sent ahead. */
async function pause(): Promise<void> {
  respond = down;
  for (let failure = 0; failure < 3; failure++) await unanswered();
  expect(pauses().at(-1)).toBe(1000);
}

describe('an issuer that answers', () => {
  it('gets requests at once', () => {
    expect(enter()).toEqual({ isLead: false });
    expect(availability.waitMs(clock.now())).toBe(0);
  });

  it('is probed after three failures without an answer between them', async () => {
    expect([await unanswered(), await unanswered()]).toEqual(['answered', 'answered']);
    answered();
    expect([await unanswered(), await unanswered()]).toEqual(['answered', 'answered']);
    expect(probes).toEqual([]);
    expect(await unanswered()).toBe('answered');
    expect(probes).toHaveLength(1);
    expect(events.map((event) => 'failures' in event && event.failures)).toEqual([1, 2, 1, 2, 3]);
  });

  it('is probed with a made-up token that looks like any other', async () => {
    for (let probe = 0; probe < 2; probe++) {
      await unanswered(REJECTED);
      clock.suspend(5000);
    }
    expect(probes).toEqual([expect.stringMatching(/^[\w-]{32}$/), expect.stringMatching(/^[\w-]{32}$/)]);
    expect(probes[0]).not.toBe(probes[1]);
  });

  it('counts no failures from before its answer to a probe', async () => {
    for (let failure = 0; failure < 3; failure++) await unanswered();
    clock.suspend(5000);
    expect([await unanswered(), await unanswered(), probes.length]).toEqual(['answered', 'answered', 1]);
    expect(of('introspection.recovered')).toEqual([]);
  });

  it('is probed at once where it asks for a pause, which may be about one token', async () => {
    expect(await unanswered(new IntrospectionError('busy', 1000))).toBe('answered');
    expect([probes.length, enter()]).toEqual([1, { isLead: false }]);
  });

  it('reports the failures of one token without control characters', async () => {
    await availability.unanswered(new IntrospectionError('d\u00f6wn\n'), { tokens: 'signed', isLead: false }, signal);
    await unanswered('text');
    const failed = { type: 'introspection.failed', issuer };
    expect(events).toEqual([
      { ...failed, tokens: 'signed', failures: 1, problem: 'd?wn?' },
      { ...failed, tokens: 'opaque', failures: 2, problem: 'unknown' },
    ]);
  });
});

describe('probes', () => {
  it('are sent 5 s apart, and until then the last one counts', async () => {
    respond = rejecting;
    for (const [passedMs, count, outcome] of [
      [0, 1, 'rejected'],
      [0, 1, 'rejected'],
      [4999, 1, 'rejected'],
      [1, 2, 'answered'],
      [4999, 2, 'answered'],
    ] as const) {
      clock.suspend(passedMs);
      if (count === 2) respond = up;
      expect([await unanswered(REJECTED), probes.length]).toEqual([outcome, count]);
    }
  });

  it('are shared by all that wait, also beyond their interval', async () => {
    let release = (_response: Response) => {};
    respond = () => new Promise((resolve) => (release = resolve));
    const waiting = [unanswered(REJECTED)];
    await clock.advance(4000);
    clock.suspend(1000);
    waiting.push(unanswered(REJECTED));
    await clock.advance(0);
    expect(probes).toHaveLength(1);
    release(down());
    expect(await Promise.all(waiting)).toEqual(['failed', 'failed']);
    expect(of('introspection.paused')).toHaveLength(1);
  });

  it('are given up after 5 s', async () => {
    respond = hanging;
    const waiting = unanswered(REJECTED);
    await clock.advance(4999);
    expect([signals[0]!.aborted, events]).toEqual([false, []]);
    await clock.advance(1);
    expect(await waiting).toBe('failed');
    expect(signals[0]!.aborted).toBe(true);
    expect(of('introspection.paused')).toMatchObject([{ problem: 'no response within 5000 ms' }]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('leave no timer behind', async () => {
    for (const answer of [up, down, rejecting]) {
      respond = answer;
      await unanswered(REJECTED);
      clock.suspend(5000);
    }
    expect([probes.length, clock.pendingTimers]).toEqual([3, 0]);
  });

  it('go on where one that waits is given up', async () => {
    let release = (_response: Response) => {};
    respond = () => new Promise((resolve) => (release = resolve));
    const abort = new AbortController();
    const waiting = availability.unanswered(REJECTED, other, abort.signal);
    await clock.advance(0);
    abort.abort(new Error('gone'));
    expect(await waiting).toBe('answered');
    expect(signals[0]!.aborted).toBe(false);
    release(down());
    await clock.advance(0);
    expect(enter()).toEqual({ waitMs: 1000 });
  });
});

describe('an issuer that is down', () => {
  it('gets no request for a pause, and then one ahead of the others', async () => {
    await pause();
    expect(of('introspection.paused')).toEqual([
      {
        type: 'introspection.paused',
        issuer,
        pauses: 1,
        pauseMs: 1000,
        problem: 'introspection at https://id.example/introspect returned HTTP 500',
      },
    ]);
    expect(enter()).toEqual({ waitMs: 1000 });
    clock.suspend(999);
    expect(enter()).toEqual({ waitMs: 1 });
    clock.suspend(1);
    expect(availability.waitMs(clock.now())).toBe(0);
    expect(enter()).toEqual({ isLead: true });
    expect(enter()).toEqual({ waitMs: 1000 });
    clock.suspend(60_000);
    expect(enter()).toEqual({ waitMs: 1000 });
  });

  it('is up once it answers that request', async () => {
    await pause();
    clock.suspend(1000);
    enter();
    answered();
    expect(of('introspection.recovered')).toEqual([{ type: 'introspection.recovered', issuer }]);
    expect([enter(), enter()]).toEqual([{ isLead: false }, { isLead: false }]);
    answered();
    expect(of('introspection.recovered')).toHaveLength(1);
    clock.suspend(4000);
    await pause();
    expect(pauses()).toEqual([1000, 1000]);
  });

  it('is paused for twice as long each time that request fails, up to 30 s, whatever it asks for', async () => {
    await pause();
    let now = 0;
    for (const pauseMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      expect(enter()).toEqual({ waitMs: pauseMs });
      clock.suspend(pauseMs);
      now += pauseMs;
      expect(enter()).toEqual({ isLead: true });
      expect(await unanswered(new IntrospectionError('busy', 25_000), lead)).toBe('failed');
    }
    expect(pauses()).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    expect(of('introspection.paused').map((event) => 'pauses' in event && event.pauses)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    // One probe at a time at which the last one was 5 s old.
    expect([now, probes.length]).toEqual([91_000, 6]);
  });

  it('is up where it answers the probe, although the request ahead failed', async () => {
    await pause();
    clock.suspend(5000);
    expect(enter()).toEqual({ isLead: true });
    respond = up;
    expect(await unanswered(DOWN, lead)).toBe('answered');
    expect([enter(), of('introspection.recovered').length]).toEqual([{ isLead: false }, 1]);
  });

  it('is not paused by a request that was sent before the pause', async () => {
    await pause();
    clock.suspend(1000);
    expect(await unanswered()).toBe('failed');
    expect([pauses(), enter()]).toEqual([[1000], { isLead: true }]);
  });

  it('is not paused again by the request ahead while it is paused', async () => {
    await pause();
    clock.suspend(4500);
    expect(enter()).toEqual({ isLead: true });
    clock.suspend(500);
    await unanswered();
    expect([pauses(), enter()]).toEqual([[1000, 2000], { waitMs: 2000 }]);
    clock.suspend(1000);
    expect(await unanswered(DOWN, lead)).toBe('failed');
    expect([pauses(), enter()]).toEqual([[1000, 2000], { waitMs: 1000 }]);
  });

  it.each([0, 7])('is paused as long as it asks a probe for, or as long as its pauses are: %i s', async (seconds) => {
    respond = busy(seconds);
    await unanswered(REJECTED);
    expect(enter()).toEqual({ waitMs: Math.max(seconds * 1000, 1000) });
  });

  it('gets no second request ahead where a request from before fails', async () => {
    await pause();
    clock.suspend(1000);
    expect(enter()).toEqual({ isLead: true });
    await unanswered();
    expect(enter()).toEqual({ waitMs: 1000 });
  });

  it('is up once it rejects a request, which may be about its token', async () => {
    await pause();
    clock.suspend(1000);
    enter();
    expect(await unanswered(REJECTED, lead)).toBe('rejected');
    expect(of('introspection.recovered')).toHaveLength(1);
    expect(enter()).toEqual({ isLead: false });
  });

  it('is up once it rejects a probe', async () => {
    await pause();
    clock.suspend(5000);
    enter();
    respond = rejecting;
    expect(await unanswered(DOWN, lead)).toBe('rejected');
    expect([of('introspection.recovered').length, enter()]).toEqual([1, { isLead: false }]);
  });

  it('gets another request ahead where it is down again while an earlier one hangs', async () => {
    await pause();
    clock.suspend(1000);
    expect(enter()).toEqual({ isLead: true });
    answered();
    clock.suspend(4000);
    await pause();
    clock.suspend(1000);
    expect(enter()).toEqual({ isLead: true });
  });

  it('gets another request ahead once the first one has failed', async () => {
    await pause();
    clock.suspend(1000);
    enter();
    await unanswered(DOWN, lead);
    clock.suspend(2000);
    expect(enter()).toEqual({ isLead: true });
  });
});

describe('an issuer that rejects a request', () => {
  test.each<[string, () => Response, string]>([
    ['answers', up, 'answered'],
    ['rejects', rejecting, 'rejected'],
    ['fails', down, 'failed'],
  ])('is distinguished by a probe, which it %s', async (_name, answer, outcome) => {
    respond = answer;
    expect(await unanswered(REJECTED)).toBe(outcome);
    const hasAnswered = outcome === 'answered';
    expect(of('introspection.rejected')).toEqual([
      { type: 'introspection.rejected', issuer, tokens: 'opaque', hasAnswered, problem: 'not this token' },
    ]);
    expect(of('introspection.failed')).toEqual([]);
  });

  it('has answered before, and may be wrong about its address or options otherwise', async () => {
    respond = rejecting;
    answered();
    await availability.unanswered(REJECTED, { tokens: 'signed', isLead: false }, signal);
    expect(of('introspection.rejected')).toMatchObject([{ tokens: 'signed', hasAnswered: true }]);
  });
});

describe('a request that takes long', () => {
  const after = (tookMs: number) => {
    const askedAt = clock.now();
    clock.suspend(tookMs);
    availability.answered(askedAt);
  };
  const overdueAfter = (ms: number) => {
    const askedAt = clock.now();
    clock.suspend(ms);
    return availability.isOverdue(askedAt, clock.now());
  };

  it('is not overdue where the issuer has not answered yet', () => {
    expect(overdueAfter(10_000)).toBe(false);
  });

  test.each<[readonly number[], number]>([
    [[0], 1000],
    [[250], 1000],
    [[251], 1004],
    [[500], 2000],
    [[500, 500], 2000],
    [[500, 900], 2400],
    [[1000, 0], 3000],
    [[1000, 0, 0], 2250],
  ])('is overdue by the usual time of an answer: after %j ms, from %i ms on', (took, patienceMs) => {
    took.forEach(after);
    const askedAt = clock.now();
    clock.suspend(patienceMs - 1);
    expect(availability.isOverdue(askedAt, clock.now())).toBe(false);
    clock.suspend(1);
    expect(availability.isOverdue(askedAt, clock.now())).toBe(true);
  });

  it('is overdue only while the issuer has answered others in the last 6 s', () => {
    after(0);
    expect(overdueAfter(6000)).toBe(true);
    after(0);
    expect(overdueAfter(6001)).toBe(false);
  });
});

describe('the availability of a verifier that is closed', () => {
  it('ends the probe under way, and reports nothing', async () => {
    respond = hanging;
    const waiting = unanswered(REJECTED);
    await clock.advance(0);
    availability.close();
    expect(signals[0]!.reason).toEqual(new IntrospectionError('the verifier was closed'));
    expect(await waiting).toBe('failed');
    expect([events, clock.pendingTimers]).toEqual([[], 0]);
  });

  it('sends no probe, and reports nothing', async () => {
    availability.close();
    for (let failure = 0; failure < 4; failure++) await unanswered();
    await unanswered(REJECTED);
    expect([probes, events]).toEqual([[], []]);
  });
});

describe('the pause that an error asks for', () => {
  test.each<[unknown, number]>([
    [new IntrospectionError('busy'), 0],
    [new IntrospectionError('busy', 0), 0],
    [new IntrospectionError('busy', 7000), 7000],
    [new IntrospectionRejectedError('busy', 7000), 7000],
    [new IntrospectionError('busy', 30_000), 30_000],
    [new IntrospectionError('busy', 30_001), 30_000],
    [new DiscoveryError('outage', 'busy', { retryAfterMs: 7000 }), 7000],
    [new DiscoveryError('outage', 'busy', { retryAfterMs: 30_001 }), 30_000],
    [new DiscoveryError('outage', 'busy'), 0],
    [Object.assign(new Error('busy'), { retryAfterMs: 7000 }), 0],
    [undefined, 0],
  ])('of %p is %i ms', (error, pauseMs) => {
    expect(wantedPauseMs(error)).toBe(pauseMs);
  });
});
