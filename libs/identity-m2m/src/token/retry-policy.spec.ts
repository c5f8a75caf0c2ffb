import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { ManualClock } from '../testing/manual-clock.js';
import {
  boundedRetryAfterMs,
  dateAfter,
  RetryBackoff,
  type RetryCurve,
  retryDelayMs,
  unexplainedCurve,
} from './retry-policy.js';
import {
  type CredentialRefusal,
  isRetryable,
  TOKEN_FAILURE_KINDS,
  type TokenFailure,
  type TokenFailureKind,
} from './token-result.js';

const curves = fc.constantFrom<RetryCurve>('transient', 'malformed', 'certificate', 'configuration');
const unit = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const lowest = () => 0;
const highest = () => 1;

describe('delay after a failed token request', () => {
  test.each<{ curve: RetryCurve; room: number; delays: number[] }>([
    // The upper end of each range late in an outage, in seconds, failure after failure.
    { curve: 'transient', room: 24, delays: [1, 2, 4, 5, 5] },
    { curve: 'transient', room: 240, delays: [1, 2, 4, 8, 16, 30, 30] },
    { curve: 'transient', room: 100_000, delays: [1, 2, 4, 8, 16, 32, 60, 60] },
    { curve: 'certificate', room: 240, delays: [1, 2, 4, 8, 16, 30, 30] },
    { curve: 'malformed', room: 240, delays: [5, 10, 20, 30, 30] },
  ])('$curve with $room s of room: at most $delays s, at least half', ({ curve, room, delays }) => {
    delays.forEach((delay, priorFailures) => {
      const input = { curve, priorFailures, failingForMs: 3600_000, retryRoomMs: room * 1000 };
      expect(retryDelayMs({ ...input, random: highest })).toBe(delay * 1000);
      expect(retryDelayMs({ ...input, random: lowest })).toBe(delay * 500);
    });
  });

  test('is no longer than 5 s in the first 10 s of an outage, and then no longer than the outage has been', () => {
    const longest = (failingForMs: number) =>
      retryDelayMs({ curve: 'transient', priorFailures: 9, failingForMs, retryRoomMs: 1e9, random: highest });
    expect([0, 9_999, 10_000, 25_000, 60_000, 1e9].map(longest)).toEqual([5000, 5000, 10_000, 25_000, 60_000, 60_000]);
  });

  test('a wrong request waits for a minute, doubling to 15, and up to a fifth longer', () => {
    [60, 120, 240, 480, 900, 900].forEach((delay, priorFailures) => {
      const input = { curve: 'configuration' as const, priorFailures, failingForMs: 0, retryRoomMs: 0 };
      expect(retryDelayMs({ ...input, random: lowest })).toBe(delay * 1000);
      expect(retryDelayMs({ ...input, random: highest })).toBe(delay * 1200);
    });
  });

  test('Retry-After makes it longer, never shorter, and counts up to an hour', () => {
    const delay = (retryAfterMs: number, random = lowest) =>
      retryDelayMs({ curve: 'transient', priorFailures: 0, failingForMs: 0, retryRoomMs: 0, retryAfterMs, random });
    expect(delay(0)).toBe(500);
    expect(delay(20_000)).toBe(20_000);
    expect(delay(20_000, highest)).toBe(22_000);
    expect(delay(1e12)).toBe(3600_000);
  });

  it('is never zero and never beyond its bounds', () => {
    fc.assert(
      fc.property(
        fc.record({
          curve: curves,
          priorFailures: fc.nat(5000),
          failingForMs: fc.nat(1e9),
          retryRoomMs: fc.nat(1e9),
          retryAfterMs: fc.option(fc.nat(1e10), { nil: undefined }),
        }),
        unit,
        (input, u) => {
          const delay = retryDelayMs({ ...input, random: () => u });
          expect(delay).toBeGreaterThanOrEqual(500);
          expect(delay).toBeLessThanOrEqual(3960_000);
        },
      ),
    );
  });

  /** When attempts are made that all fail, in milliseconds after the first one, with no answer taking any time. */
  function attemptsOf(curve: 'transient' | 'malformed', retryRoomMs: number, draws: readonly number[]): number[] {
    const times = [0];
    for (const [priorFailures, u] of draws.entries()) {
      const failingForMs = times.at(-1)!;
      times.push(failingForMs + retryDelayMs({ curve, priorFailures, failingForMs, retryRoomMs, random: () => u }));
    }
    return times;
  }

  it('ends an outage of up to 10 s within 5 s, and a longer one within its own length and a minute', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<'transient' | 'malformed'>('transient', 'malformed'),
        fc.nat(1e6),
        fc.array(unit, { minLength: 20, maxLength: 20 }),
        (curve, room, draws) => {
          const times = attemptsOf(curve, room, draws);
          for (const [index, next] of times.entries()) {
            // The server recovers right after an attempt has failed: the worst moment.
            const outageMs = times[index - 1] ?? 0;
            expect(next - outageMs).toBeLessThanOrEqual(outageMs < 10_000 ? 5000 : Math.min(outageMs, 60_000));
          }
        },
      ),
    );
  });

  it('sends 134 requests to a server that is down for an hour where there is no token, and fewer where one has lived long', () => {
    const count = (room: number, u: number) =>
      attemptsOf('transient', room, Array<number>(1500).fill(u)).filter((at) => at < 3600_000).length;
    expect([count(300_000, 0.5), count(480_000, 0.5)]).toEqual([134, 87]);
  });
});

test('a status without an OAuth error is an outage for 2 minutes, and then a wrong request', () => {
  expect([0, 119_999, 120_000, 1e9].map(unexplainedCurve)).toEqual([
    'transient',
    'transient',
    'configuration',
    'configuration',
  ]);
});

test('waiting helps where the server or the network may recover, and not where an operator has to correct something', () => {
  expect(TOKEN_FAILURE_KINDS.filter(isRetryable)).toEqual(['transient', 'malformed', 'unexplained', 'blocked']);
});

describe('the delay that a server asks for', () => {
  test.each([
    { retryAfterMs: undefined, random: 1, delayMs: 0 },
    { retryAfterMs: 0, random: 1, delayMs: 0 },
    { retryAfterMs: 1000, random: 0, delayMs: 1000 },
    { retryAfterMs: 1000, random: 0.5, delayMs: 1050 },
    { retryAfterMs: 1000, random: 1, delayMs: 1100 },
    { retryAfterMs: 3599_999, random: 0, delayMs: 3599_999 },
    { retryAfterMs: 3600_001, random: 0, delayMs: 3600_000 },
    { retryAfterMs: 1e12, random: 1, delayMs: 3960_000 },
  ])('of $retryAfterMs ms is $delayMs ms for a random value of $random', ({ retryAfterMs, random, delayMs }) => {
    expect(boundedRetryAfterMs(retryAfterMs, () => random)).toBeCloseTo(delayMs, 3);
  });

  it('ends at a date, or never', () => {
    const now = { wallMs: Date.parse('2030-01-01T00:00:00Z'), monotonicMs: 7 };
    expect(dateAfter(now, 1500)).toEqual(new Date('2030-01-01T00:00:01.500Z'));
    expect(dateAfter(now, Infinity)).toBeUndefined();
  });
});

describe('backing off after failed attempts', () => {
  const context = { client: 'default', server: 'https://id.example/token' };

  function setUp() {
    const clock = new ManualClock();
    const backoff = new RetryBackoff(lowest);
    const fail = (kind: TokenFailureKind, more: Partial<TokenFailure> = {}) =>
      backoff.failed({ kind, detail: 'a failure', ...more }, clock.now(), 1e9, context);
    const refuse = (kind: 'credential' | 'blocked', refusal: Partial<CredentialRefusal> = {}) =>
      fail(kind, { refusal: { delayMs: 30_000, halted: false, isConfirmed: true, isWithheld: false, ...refusal } });
    const dueInMs = () => backoff.dueInMs(clock.now());
    const isWorthWaiting = (maxWaitMs: number) => backoff.isWorthWaiting(clock.now(), maxWaitMs);
    return { clock, backoff, fail, refuse, dueInMs, isWorthWaiting };
  }
  const delaysOf = (decisions: readonly { delayMs: number }[]) => decisions.map(({ delayMs }) => delayMs);

  it('needs a failure', () => {
    const { backoff, dueInMs, isWorthWaiting } = setUp();
    expect([backoff.lastError, dueInMs(), isWorthWaiting(0)]).toEqual([undefined, 0, true]);
    backoff.retryNow();
    expect([backoff.lastError, dueInMs(), isWorthWaiting(0)]).toEqual([undefined, 0, true]);
  });

  it('keeps the error, and counts down to the next attempt', async () => {
    const { clock, backoff, fail, dueInMs } = setUp();
    const decision = fail('transient');
    const problem = 'a failure. The client retries automatically.';
    expect(decision).toEqual({ error: backoff.lastError, problem, delayMs: 500, isNew: true });
    expect(decision.error).toMatchObject({ reason: 'outage', retryAt: new Date('2030-01-01T00:00:00.500Z') });
    expect(dueInMs()).toBe(500);
    await clock.advance(499);
    expect(dueInMs()).toBe(1);
    await clock.advance(1);
    expect(dueInMs()).toBe(0);
    await clock.advance(10_000);
    expect(dueInMs()).toBe(0);
  });

  it('is worth a wait that reaches the next attempt', () => {
    const { fail, isWorthWaiting } = setUp();
    fail('transient');
    expect([499, 500, 501].map(isWorthWaiting)).toEqual([false, true, true]);
  });

  test.each<{ kind: TokenFailureKind; isWorthIt: boolean }>([
    { kind: 'transient', isWorthIt: true },
    { kind: 'malformed', isWorthIt: true },
    { kind: 'unexplained', isWorthIt: true },
    { kind: 'blocked', isWorthIt: true },
    { kind: 'proxy', isWorthIt: false },
    { kind: 'certificate', isWorthIt: false },
    { kind: 'configuration', isWorthIt: false },
    { kind: 'credential', isWorthIt: false },
  ])('is worth waiting after a failure of kind $kind: $isWorthIt', async ({ kind, isWorthIt }) => {
    const { clock, fail, isWorthWaiting } = setUp();
    fail(kind);
    expect(isWorthWaiting(1e9)).toBe(isWorthIt);
    await clock.advance(3600_000);
    expect(isWorthWaiting(0)).toBe(isWorthIt);
  });

  test.each<{ kinds: TokenFailureKind[]; delays: number[] }>([
    { kinds: ['transient', 'transient', 'transient'], delays: [500, 1000, 2000] },
    { kinds: ['transient', 'unexplained', 'blocked'], delays: [500, 1000, 2000] },
    { kinds: ['certificate', 'certificate'], delays: [500, 1000] },
    { kinds: ['configuration', 'configuration'], delays: [60_000, 120_000] },
    { kinds: ['proxy', 'configuration', 'proxy'], delays: [60_000, 120_000, 240_000] },
    // Each curve counts its own failures.
    { kinds: ['malformed', 'transient', 'certificate', 'configuration'], delays: [2500, 500, 500, 60_000] },
    { kinds: ['transient', 'certificate', 'transient', 'certificate'], delays: [500, 500, 1000, 1000] },
  ])('follows the curves of $kinds: $delays ms', ({ kinds, delays }) => {
    const { fail } = setUp();
    expect(delaysOf(kinds.map((kind) => fail(kind)))).toEqual(delays);
  });

  it('waits no longer than the outage has lasted, since the first failure of any kind', async () => {
    const { clock, fail } = setUp();
    fail('configuration');
    await clock.advance(6000);
    fail('malformed');
    await clock.advance(6000);
    const decisions = Array.from({ length: 6 }, () => fail('transient'));
    expect(delaysOf(decisions)).toEqual([500, 1000, 2000, 4000, 6000, 6000]);
  });

  it('leaves room for retries while a token lives', () => {
    const { clock, backoff } = setUp();
    const failure = { kind: 'transient', detail: 'a failure' } as const;
    backoff.failed(failure, clock.now(), 0, context);
    const later = { wallMs: clock.now().wallMs + 60_000, monotonicMs: 60_000 };
    const fails = (retryRoomMs: number) => backoff.failed(failure, later, retryRoomMs, context).delayMs;
    for (let failure = 0; failure < 6; failure++) fails(0);
    expect([fails(0), fails(80_000), fails(1e9)]).toEqual([2500, 5000, 30_000]);
  });

  it('heeds Retry-After', () => {
    const { fail, dueInMs } = setUp();
    expect(fail('transient', { retryAfterMs: 20_000 }).delayMs).toBe(20_000);
    expect(dueInMs()).toBe(20_000);
  });

  it('ends with a success, after which every curve begins anew', async () => {
    const { clock, backoff, fail, dueInMs, isWorthWaiting } = setUp();
    fail('transient');
    fail('configuration');
    await clock.advance(12_000);
    backoff.reset();
    expect([backoff.lastError, dueInMs(), isWorthWaiting(0)]).toEqual([undefined, 0, true]);
    expect(fail('configuration').delayMs).toBe(60_000);
    const decisions = Array.from({ length: 5 }, () => fail('transient'));
    expect(delaysOf(decisions)).toEqual([500, 1000, 2000, 2500, 2500]);
  });

  it('makes way for an attempt now, keeps its error, and begins every curve anew', async () => {
    const { clock, backoff, fail, dueInMs, isWorthWaiting } = setUp();
    fail('configuration');
    const { error } = fail('transient');
    expect(isWorthWaiting(0)).toBe(false);
    backoff.retryNow();
    expect([backoff.lastError, dueInMs(), isWorthWaiting(0)]).toEqual([error, 0, true]);
    await clock.advance(12_000);
    expect(fail('configuration').delayMs).toBe(60_000);
    const decisions = Array.from({ length: 5 }, () => fail('transient'));
    expect(delaysOf(decisions)).toEqual([500, 1000, 2000, 2500, 2500]);
  });

  describe('a series of statuses without an OAuth error', () => {
    it('is an outage for 2 minutes, and then a wrong request', async () => {
      const { clock, fail, isWorthWaiting } = setUp();
      fail('unexplained');
      await clock.advance(119_999);
      const { error, delayMs } = fail('unexplained');
      expect({ reason: error.reason, delayMs }).toEqual({ reason: 'outage', delayMs: 1000 });
      expect(error.message).toMatch(/usually a gateway responds like this/);
      expect(isWorthWaiting(1e9)).toBe(true);
      await clock.advance(1);
      expect(fail('unexplained')).toMatchObject({ delayMs: 60_000, error: { reason: 'request_rejected' } });
      expect(isWorthWaiting(1e9)).toBe(false);
    });

    type SetUp = ReturnType<typeof setUp>;
    test.each<[string, (parts: SetUp) => unknown]>([
      ['another failure', ({ fail }) => fail('transient')],
      ['a refusal', ({ refuse }) => refuse('credential')],
      ['a success', ({ backoff }) => backoff.reset()],
      ['a call of retryNow', ({ backoff }) => backoff.retryNow()],
    ])('ends with %s', async (_name, interrupt) => {
      const parts = setUp();
      parts.fail('unexplained');
      await parts.clock.advance(60_000);
      interrupt(parts);
      await parts.clock.advance(60_000);
      expect(parts.fail('unexplained')).toMatchObject({ error: { reason: 'outage' } });
      await parts.clock.advance(119_999);
      expect(parts.fail('unexplained')).toMatchObject({ error: { reason: 'outage' } });
      await parts.clock.advance(1);
      expect(parts.fail('unexplained')).toMatchObject({ error: { reason: 'request_rejected' } });
    });
  });

  describe('a rejected credential', () => {
    it('is tried again as the quarantine decides, and its source is read every 5 s', async () => {
      const { clock, backoff, refuse, dueInMs, isWorthWaiting } = setUp();
      const decision = refuse('credential');
      const problem = 'a failure. Check the client id and the client secret, and that the client may use this grant.';
      expect(decision).toEqual({ error: backoff.lastError, problem, delayMs: 30_000, isNew: true });
      expect(decision.error).toMatchObject({
        reason: 'client_rejected',
        halted: false,
        retryAt: new Date('2030-01-01T00:00:30Z'),
      });
      expect(dueInMs()).toBe(5000);
      await clock.advance(4999);
      expect(dueInMs()).toBe(1);
      await clock.advance(1);
      expect([dueInMs(), isWorthWaiting(1e9)]).toEqual([0, false]);
    });

    test.each<{ kind: 'credential' | 'blocked'; delayMs: number; dueMs: number }>([
      { kind: 'credential', delayMs: 4999, dueMs: 4999 },
      { kind: 'credential', delayMs: 5001, dueMs: 5000 },
      { kind: 'credential', delayMs: Infinity, dueMs: 5000 },
      // Nothing but the server’s answer can change, so there is no other credential to look for.
      { kind: 'blocked', delayMs: 4750, dueMs: 4750 },
      { kind: 'blocked', delayMs: 30_000, dueMs: 30_000 },
    ])('of kind $kind for $delayMs ms: the next attempt in $dueMs ms', ({ kind, delayMs, dueMs }) => {
      const { refuse, dueInMs } = setUp();
      expect(refuse(kind, { delayMs }).delayMs).toBe(delayMs);
      expect(dueInMs()).toBe(dueMs);
    });

    it('is halted, without a time of the next attempt where there is none', () => {
      const { refuse } = setUp();
      const { error } = refuse('credential', { delayMs: Infinity, halted: true });
      expect(error).toMatchObject({ reason: 'client_rejected', halted: true });
      expect(error.retryAt).toBeUndefined();
    });

    it('is the known failure where it was withheld', () => {
      const { backoff, refuse, dueInMs } = setUp();
      const { error } = refuse('credential');
      const decision = refuse('credential', { isWithheld: true, delayMs: 25_000 });
      expect(decision.error).toBe(error);
      expect(decision).toMatchObject({ delayMs: 25_000, isNew: false });
      expect(backoff.lastError).toBe(error);
      expect(dueInMs()).toBe(5000);
    });

    test.each<{ before: TokenFailureKind | undefined; kind: 'credential' | 'blocked'; isWithheld: boolean }>([
      { before: undefined, kind: 'credential', isWithheld: true },
      { before: 'transient', kind: 'credential', isWithheld: true },
      { before: 'credential', kind: 'blocked', isWithheld: true },
      { before: 'blocked', kind: 'blocked', isWithheld: true },
      { before: 'credential', kind: 'credential', isWithheld: false },
    ])('of kind $kind is a new failure after $before, withheld: $isWithheld', ({ before, kind, isWithheld }) => {
      const { backoff, fail, refuse } = setUp();
      if (before) fail(before);
      const known = backoff.lastError;
      const decision = refuse(kind, { isWithheld });
      expect(decision.isNew).toBe(true);
      expect(decision.error).not.toBe(known);
      expect(backoff.lastError).toBe(decision.error);
    });

    it('counts on no curve', async () => {
      const { clock, fail, refuse } = setUp();
      refuse('credential');
      await clock.advance(12_000);
      const decisions = Array.from({ length: 5 }, () => fail('transient'));
      expect(delaysOf(decisions)).toEqual([500, 1000, 2000, 2500, 2500]);
    });
  });
});
