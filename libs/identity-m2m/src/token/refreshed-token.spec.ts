import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { elapsedMs, type Instant } from '../foundation/clock.js';
import { EventStream } from '../foundation/event-stream.js';
import { ManualClock } from '../testing/manual-clock.js';
import { RefreshedToken, type RefreshedTokenOptions } from './refreshed-token.js';
import { AccessToken } from './access-token.js';
import { SecondTries, type TryProgress } from './single-flight.js';

import type { TokenUnavailableError } from './token-errors.js';
import type { OutboundEvent } from './outbound-events.js';
import type { Acquisition, TokenFailureKind, TokenResult } from './token-result.js';

const seconds = (s: number) => s * 1000;
const minutes = (m: number) => m * 60_000;

/** What the other side of the manager does with an attempt, which can be changed at any time. */
class TokenAuthority {
  lifetimeMs = seconds(3600);
  /** How long an answer takes. */
  latencyMs = 0;
  failing: { kind: TokenFailureKind; retryAfterMs?: number } | undefined;
  hanging = false;
  /** Hands out the last token again. */
  reissuing = false;
  refreshInMs: number | undefined;
  rotation: { fingerprint: string; previousFingerprint: string } | undefined;
  /** Fingerprint of the credential that is accepted. */
  credential = 'one';
  /** How a second try may join one that is silent. */
  second: 'beside' | 'instead' | undefined = 'beside';
  readonly progress: TryProgress[] = [];
  onAttempt: (progress: TryProgress) => void = () => {};
  readonly attempts: number[] = [];
  readonly signals: AbortSignal[] = [];
  /** When each token was asked for. */
  readonly requestedAt = new Map<string, Instant>();
  /** When a credential was shown that was refused. */
  readonly shown: number[] = [];
  mostAtOnce = 0;
  #underWay = 0;
  #refusedUntil = 0;

  constructor(private readonly clock: ManualClock) {}

  readonly attempt = async (signal: AbortSignal, progress: TryProgress): Promise<TokenResult<Acquisition>> => {
    progress.second = this.second;
    this.progress.push(progress);
    this.onAttempt(progress);
    this.attempts.push(this.clock.now().monotonicMs);
    this.signals.push(signal);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    const outcome = this.#answer();
    await Promise.race([outcome, aborted]);
    this.#underWay--;
    return outcome;
  };

  async #answer(): Promise<TokenResult<Acquisition>> {
    const requestedAt = this.clock.now();
    if (this.hanging) return new Promise(() => {});
    if (this.latencyMs > 0) await new Promise<void>((resolve) => this.clock.setTimer(this.latencyMs, resolve));
    const { failing } = this;
    if (failing) {
      const { kind } = failing;
      if (kind !== 'credential') return { ok: false, failure: { ...failing, kind, detail: 'a failure' } };
      const isWithheld = this.#refusedUntil > requestedAt.monotonicMs;
      if (!isWithheld) this.#refusedUntil = requestedAt.monotonicMs + seconds(30);
      const delayMs = this.#refusedUntil - requestedAt.monotonicMs;
      if (!isWithheld) this.shown.push(requestedAt.monotonicMs);
      return {
        ok: false,
        failure: { kind, detail: 'a refusal', refusal: { delayMs, halted: false, isConfirmed: true, isWithheld } },
      };
    }
    const reissues = this.reissuing && this.requestedAt.size > 0;
    const text = `token-${this.requestedAt.size + (reissues ? 0 : 1)}`;
    if (!reissues) this.requestedAt.set(text, requestedAt);
    return {
      ok: true,
      granted: {
        accessToken: new AccessToken(text),
        lifetime: { lifetimeMs: this.lifetimeMs, source: 'expires_in' },
        refreshInMs: this.refreshInMs,
      },
      requestedAt,
      receivedAt: this.clock.now(),
      credential: this.credential,
      rotation: this.rotation,
    };
  }
}

function setUp(options: Partial<RefreshedTokenOptions> = {}) {
  const clock = new ManualClock();
  const acquireTimeoutMs = options.acquireTimeoutMs ?? seconds(5);
  const authority = new TokenAuthority(clock);
  const events = new EventStream<OutboundEvent>();
  const seen: OutboundEvent[] = [];
  events.subscribe((event) => seen.push(event));
  const manager = new RefreshedToken({
    attempt: authority.attempt,
    policy: { skewMs: seconds(30), outageBudgetMs: seconds(300) },
    keepWarm: false,
    acquireTimeoutMs,
    secondTries: new SecondTries(clock, acquireTimeoutMs / 3),
    requestTimeoutMs: seconds(10),
    unsafeExpiredTokenGraceMs: 0,
    context: { client: 'default', server: 'https://id.example/token' },
    requestedAccess: { scope: 'users' },
    events,
    clock,
    random: () => 0,
    ...options,
  });
  const token = async () => (await manager.getToken()).reveal();
  /** What a call ends in, once it has: so that time can be moved while it waits. */
  const outcome = (signal?: AbortSignal) => {
    const call: { token?: string; error?: Error & Partial<TokenUnavailableError>; at?: number } = {};
    void manager.getToken(signal).then(
      (token) => Object.assign(call, { token: token.reveal(), at: clock.now().monotonicMs }),
      (error: Error) => Object.assign(call, { error, at: clock.now().monotonicMs }),
    );
    return call;
  };
  const eventTypes = () => seen.map(({ type }) => type);
  return { clock, authority, manager, token, outcome, events, seen, eventTypes };
}

describe('getting a token', () => {
  it('makes no second attempt for a listener that requests the token of its event', async () => {
    const { authority, manager, events } = setUp();
    authority.rotation = { fingerprint: 'new', previousFingerprint: 'old' };
    const found: Promise<AccessToken>[] = [];
    events.subscribe(() => found.push(manager.getToken()));
    await manager.getToken();
    expect((await Promise.all(found)).map((token) => token.reveal())).toEqual(['token-1', 'token-1']);
    expect(authority.attempts).toHaveLength(1);
  });

  it('does nothing before the first call', async () => {
    const { clock, authority, manager } = setUp();
    await clock.advance(minutes(60));
    expect(authority.attempts).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
    expect(manager.peek()).toBeUndefined();
    expect(manager.status()).toEqual({ freshness: 'none', refreshing: false, dormant: false });
  });

  it('makes one attempt for 10,000 concurrent first calls', async () => {
    const { authority, manager } = setUp();
    const tokens = await Promise.all(Array.from({ length: 10_000 }, () => manager.getToken()));
    expect(new Set(tokens).size).toBe(1);
    expect(authority.attempts).toHaveLength(1);
  });

  it('makes the attempts of one for 10,000 concurrent calls that fail', async () => {
    const { clock, authority, manager } = setUp();
    authority.failing = { kind: 'transient' };
    const calls = Promise.allSettled(Array.from({ length: 10_000 }, () => manager.getToken()));
    await clock.advance(3500);
    expect((await calls).every(({ status }) => status === 'rejected')).toBe(true);
    expect(authority.attempts).toEqual([0, 500, 1500, 3500]);
  });

  it('gives the token without a promise while it is fresh or stale', async () => {
    const { clock, manager, token } = setUp();
    expect(await token()).toBe('token-1');
    expect(manager.peek()?.reveal()).toBe('token-1');
    await clock.advance(seconds(2699));
    expect(manager.peek()?.reveal()).toBe('token-1');
  });

  it('counts the age from before the request, so that a slow answer does not lengthen the life', async () => {
    const { clock, authority, outcome, manager } = setUp();
    authority.latencyMs = seconds(4);
    const call = outcome();
    await clock.advance(seconds(4));
    expect(call).toEqual({ token: 'token-1', at: seconds(4) });
    expect(manager.status().expiresAt).toEqual(new Date('2030-01-01T01:00:00Z'));
  });

  it('does not accept a token that expired before it arrived, and requests no other at once', async () => {
    const { clock, authority, outcome } = setUp();
    authority.lifetimeMs = seconds(1);
    authority.latencyMs = 1100;
    const call = outcome();
    await clock.advance(1599);
    expect(authority.attempts).toHaveLength(1);
    await clock.advance(3201);
    expect(call.error).toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', reason: 'outage' });
    expect(authority.attempts).toEqual([0, 1600, 3700]);
  });
});

describe('refreshing in the background', () => {
  it('renews ahead of the end, by schedule, without a caller waiting', async () => {
    const { clock, authority, manager, eventTypes } = setUp();
    await manager.getToken();
    for (let second = 0; second < 2 * 3600; second += 10) {
      await clock.advance(seconds(10));
      expect(manager.peek()).toBeDefined();
    }
    expect(authority.attempts).toEqual([0, 2700, 5400].map(seconds));
    expect(eventTypes()).toEqual(['token.acquired', 'token.refreshed', 'token.refreshed']);
  });

  it('is started by a call as well, should the timer not have run', async () => {
    const { clock, authority, manager, token } = setUp();
    await manager.getToken();
    clock.suspend(seconds(2800));
    expect(await token()).toBe('token-1');
    await clock.advance(0);
    expect(await token()).toBe('token-2');
    expect(authority.attempts).toHaveLength(2);
  });

  it('goes dormant after two unused refreshes, and wakes with the next call', async () => {
    const { clock, authority, manager, token, eventTypes } = setUp();
    await manager.getToken();
    await clock.advance(minutes(24 * 60));
    // Acquired and used at 0; refreshed at 2700 (used since) and at 5400 (not used); not refreshed at 8100.
    expect(authority.attempts).toEqual([0, 2700, 5400].map(seconds));
    expect(eventTypes().at(-1)).toBe('token.dormant');
    expect(manager.status().dormant).toBe(true);
    expect(clock.pendingTimers).toBe(0);
    expect(await token()).toBe('token-4');
    expect(manager.status().dormant).toBe(false);
  });

  it('wakes from dormancy behind the back of a caller while the token is good', async () => {
    const { clock, authority, manager, token } = setUp();
    await manager.getToken();
    await clock.advance(seconds(8100 + 100));
    expect(manager.status()).toMatchObject({ dormant: true, freshness: 'stale' });
    expect(await token()).toBe('token-3');
    await clock.advance(0);
    expect(await token()).toBe('token-4');
    expect(authority.attempts).toHaveLength(4);
  });

  it('makes at most two token requests per life, however short the life', async () => {
    for (const life of [1, 2, 5, 9, 10, 20, 60]) {
      const { clock, authority, manager, outcome } = setUp();
      authority.lifetimeMs = seconds(life);
      await manager.getToken();
      for (let ms = 0; ms < 20 * life * 1000; ms += life * 25) {
        await clock.advance(life * 25);
        const call = outcome();
        await clock.advance(0);
        expect(call.token).toBeDefined();
      }
      expect(authority.attempts.length).toBeLessThanOrEqual(1 + 2 * 20);
    }
  });

  it('sets no timer for a life below 10 s', async () => {
    const { clock, authority, manager } = setUp();
    authority.lifetimeMs = seconds(9);
    await manager.getToken();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(minutes(5));
    expect(authority.attempts).toHaveLength(1);
  });

  it('re-arms a timer that is longer than a timer can be', async () => {
    const { clock, authority, manager } = setUp();
    authority.lifetimeMs = 40 * 24 * 3600_000;
    await manager.getToken();
    const refreshAt = authority.lifetimeMs * 0.75;
    expect(refreshAt).toBeGreaterThan(2 ** 31);
    await clock.advance(refreshAt - 1);
    expect(authority.attempts).toHaveLength(1);
    await clock.advance(1);
    expect(authority.attempts).toHaveLength(2);
  });
});

describe('a machine whose clocks misbehave', () => {
  it('does not serve a token that expired while the machine was suspended', async () => {
    const { clock, manager, token } = setUp();
    await manager.getToken();
    clock.suspend(minutes(61));
    expect(manager.peek()).toBeUndefined();
    expect(await token()).toBe('token-2');
  });

  it('does not keep a token longer when the wall clock is set back', async () => {
    const { clock, authority, manager, token } = setUp();
    await manager.getToken();
    clock.setWallClock(new Date('2029-06-01T00:00:00Z'));
    await clock.advance(minutes(59));
    await clock.advance(minutes(2));
    expect(authority.attempts.length).toBeGreaterThanOrEqual(2);
    expect(await token()).toBe('token-2');
    expect(manager.status().freshness).toBe('fresh');
  });

  it('loses nothing but a refresh when the wall clock is set forward', async () => {
    const { clock, authority, manager, token } = setUp();
    await manager.getToken();
    clock.setWallClock(new Date('2031-01-01T00:00:00Z'));
    expect(await token()).toBe('token-2');
    await clock.advance(minutes(10));
    expect(authority.attempts).toHaveLength(2);
  });
});

describe('a server that issues the same token again', () => {
  it('gets the next request half the remaining way, does not count as failing, and is remembered', async () => {
    const { clock, authority, manager, eventTypes } = setUp();
    await manager.getToken();
    authority.reissuing = true;
    await clock.advance(seconds(2701));
    expect(authority.attempts).toHaveLength(2);
    expect(manager.status()).toMatchObject({ freshness: 'fresh' });
    manager.peek();
    await clock.advance(seconds(435));
    expect(authority.attempts).toEqual([0, 2700, 2700 + 435].map(seconds));
    authority.reissuing = false;
    manager.peek();
    await clock.advance(seconds(300));
    expect(eventTypes()).toEqual(['token.acquired', 'token.reissued', 'token.reissued', 'token.refreshed']);
    const renewedAt = authority.attempts.at(-1)!;
    // The next token is not asked for before the age at which this server was seen to renew.
    manager.peek();
    await clock.advance(renewedAt - 1 - (clock.now().monotonicMs - renewedAt));
    expect(authority.attempts.at(-1)).toBe(renewedAt);
    await clock.advance(2);
    expect(authority.attempts.at(-1)).toBe(2 * renewedAt);
  });

  it('does not make a token live longer than it was known to', async () => {
    const { clock, authority, manager } = setUp();
    await manager.getToken();
    authority.reissuing = true;
    const end = manager.status().expiresAt;
    await clock.advance(seconds(3000));
    expect(manager.status().expiresAt).toEqual(end);
  });

  it('gets requests ever more often towards the known end, and callers do not wait meanwhile', async () => {
    const { clock, authority, manager } = setUp();
    await manager.getToken();
    authority.reissuing = true;
    for (let second = 0; second < 3598; second++) {
      await clock.advance(seconds(1));
      expect(manager.peek()?.reveal()).toBe('token-1');
    }
    // 2700 and half the way again and again; then, behind the point where callers would wait, up to once a second.
    expect(authority.attempts.length).toBeLessThan(15);
    authority.reissuing = false;
    await clock.advance(seconds(2));
    expect(manager.peek()?.reveal()).toBe('token-2');
  });

  it('is believed for 5 minutes once the token is past its known end, and not for a whole life', async () => {
    const { clock, authority, manager, outcome } = setUp();
    await manager.getToken();
    authority.reissuing = true;
    await clock.advance(seconds(3601));
    const call = outcome();
    await clock.advance(0);
    expect(call.token).toBe('token-1');
    const lifeMs = manager.status().expiresAt!.getTime() - clock.now().wallMs;
    expect(lifeMs).toBeLessThanOrEqual(seconds(300));
    authority.reissuing = false;
    await clock.advance(seconds(180));
    expect(manager.peek()?.reveal()).toBe('token-2');
  });
});

describe('a server that issued the same token again', () => {
  it('does not count as one that renews late because the token then expired unused', async () => {
    const { clock, authority, manager } = setUp();
    await manager.getToken();
    authority.reissuing = true;
    await clock.advance(seconds(2701));
    expect(authority.attempts).toHaveLength(2);
    await clock.advance(minutes(180));
    authority.reissuing = false;
    await manager.getToken();
    const { expiresAt, refreshAt } = manager.status();
    expect(expiresAt!.getTime() - refreshAt!.getTime()).toBe(seconds(900));
  });

  it('gets no request for each caller that needs a token that lives longer', async () => {
    const { clock, authority, manager } = setUp();
    await manager.getToken();
    authority.reissuing = true;
    await clock.advance(minutes(20));
    for (let i = 0; i < 100; i++) {
      await manager.getToken(undefined, seconds(3000));
      await clock.advance(100);
    }
    expect(authority.attempts).toHaveLength(2);
  });

  it('does not lengthen its life by taking long to answer', async () => {
    const { clock, authority, manager } = setUp({ requestTimeoutMs: seconds(60) });
    await manager.getToken();
    const start = clock.now().wallMs;
    authority.reissuing = true;
    authority.lifetimeMs = seconds(100);
    authority.latencyMs = seconds(8);
    await clock.advance(seconds(2709));
    expect(manager.status().expiresAt!.getTime() - start).toBe(seconds(2700 + 100));
  });
});

describe('an outage', () => {
  it('is not noticed while the token lives, and ends without a storm', async () => {
    const { clock, authority, manager } = setUp({ random: () => 0.5 });
    await manager.getToken();
    authority.failing = { kind: 'transient' };
    await clock.advance(seconds(2790));
    let attemptsInOutage = 0;
    for (let second = 0; second < 809; second++) {
      // A busy service: the load on the server must not depend on it.
      for (let call = 0; call < 20; call++) expect((await manager.getToken()).reveal()).toBe('token-1');
      attemptsInOutage = authority.attempts.length - 1;
      await clock.advance(seconds(1));
    }
    expect(attemptsInOutage).toBeGreaterThanOrEqual(12);
    expect(attemptsInOutage).toBeLessThanOrEqual(25);
    authority.failing = undefined;
    await clock.advance(minutes(1));
    expect(manager.peek()?.reveal()).toBe('token-2');
    expect(authority.attempts).toHaveLength(attemptsInOutage + 2);
  });

  it('makes calls fail fast once the token has expired, with the stored reason and the time of the next attempt', async () => {
    const { clock, authority, manager, outcome } = setUp({ random: () => 0.999 });
    await manager.getToken();
    authority.failing = { kind: 'transient' };
    for (let second = 0; second < 3700; second++) {
      outcome();
      await clock.advance(seconds(1));
    }
    const attempts = authority.attempts.length;
    const calls = Array.from({ length: 200 }, () => outcome());
    await clock.advance(0);
    const { error, at } = calls[199]!;
    expect(error).toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', reason: 'outage', client: 'default' });
    expect(error!.retryAt!.getTime()).toBeGreaterThan(clock.now().wallMs);
    expect(at).toBe(clock.now().monotonicMs);
    expect(authority.attempts).toHaveLength(attempts);
  });

  it('has callers wait over several attempts, while the next one is due within their timeout', async () => {
    const { clock, authority, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    const first = outcome();
    await clock.advance(1400);
    const second = outcome();
    await clock.advance(100);
    authority.failing = undefined;
    await clock.advance(1999);
    expect([first, second]).toEqual([{}, {}]);
    await clock.advance(1);
    for (const one of [first, second]) expect(one).toEqual({ token: 'token-1', at: 3500 });
    expect(authority.attempts).toEqual([0, 500, 1500, 3500]);
  });

  it('makes a caller fail as soon as the next attempt is due later than it can wait', async () => {
    const { clock, authority, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    const early = outcome();
    await clock.advance(3000);
    const late = outcome();
    await clock.advance(500);
    // The next one is due at 6000, which the second one can wait for.
    expect(early).toMatchObject({ at: 3500, error: { reason: 'outage' } });
    authority.failing = undefined;
    await clock.advance(2500);
    expect(late).toEqual({ token: 'token-1', at: 6000 });
  });

  it('lets no caller wait where waiting cannot help', async () => {
    for (const kind of ['certificate', 'configuration', 'credential'] as const) {
      const { clock, authority, outcome } = setUp();
      authority.failing = { kind };
      const first = outcome();
      await clock.advance(0);
      const second = outcome();
      await clock.advance(0);
      for (const call of [first, second]) expect(call).toMatchObject({ at: 0, error: expect.any(Error) });
      expect(authority.attempts).toHaveLength(1);
    }
  });

  it('backs off by the failures of each kind alone', async () => {
    const { clock, authority, outcome } = setUp();
    const attemptAfter = async (kind: TokenFailureKind, ms: number) => {
      authority.failing = { kind };
      outcome();
      await clock.advance(ms);
      return authority.attempts.length;
    };
    // Four resets: 0, 500, 1500 and 3500. Then a wrong request, which is its first.
    expect(await attemptAfter('transient', 3500)).toBe(4);
    expect(await attemptAfter('configuration', 2500)).toBe(5);
    expect(await attemptAfter('configuration', 59_999)).toBe(5);
    // The fifth reset is on the step after the fourth.
    expect(await attemptAfter('transient', 1)).toBe(6);
    expect(await attemptAfter('transient', 7999)).toBe(6);
    expect(await attemptAfter('transient', 1)).toBe(7);
  });

  it('is taken for a wrong request once the server has answered with a status alone for 2 minutes', async () => {
    const { clock, authority, outcome, seen } = setUp();
    authority.failing = { kind: 'unexplained' };
    for (let second = 0; second < 400; second++) {
      outcome();
      await clock.advance(seconds(1));
    }
    const codes = seen.flatMap((event) => (event.type === 'token.refresh_failed' ? event.error.code : []));
    expect(codes.indexOf('M2M_TOKEN_REQUEST_REJECTED')).toBe(codes.length - 3);
    const [before, first, second, third] = authority.attempts.slice(-4);
    expect(first).toBeGreaterThanOrEqual(seconds(120));
    expect([first! - before!, second! - first!, third! - second!]).toEqual([18_750, seconds(60), seconds(120)]);
  });

  it('begins the 2 minutes anew where another failure comes between', async () => {
    const { clock, authority, outcome, seen } = setUp();
    for (let second = 0; second < 600; second++) {
      authority.failing = { kind: second % 100 < 80 ? 'unexplained' : 'transient' };
      outcome();
      await clock.advance(seconds(1));
    }
    const codes = seen.flatMap((event) => (event.type === 'token.refresh_failed' ? event.error.code : []));
    expect(new Set(codes)).toEqual(new Set(['M2M_TOKEN_UNAVAILABLE']));
    expect(authority.attempts.length).toBeLessThan(45);
  });

  it('gives callers the old token near its end, and reports it once', async () => {
    const { clock, authority, manager, token, eventTypes } = setUp();
    await manager.getToken();
    authority.failing = { kind: 'transient' };
    await clock.advance(seconds(3575));
    expect(manager.status().freshness).toBe('expiring');
    expect([await token(), await token()]).toEqual(['token-1', 'token-1']);
    expect(eventTypes().filter((type) => type === 'token.served_stale')).toHaveLength(1);
  });

  it('gives up on a hanging attempt, and on a caller before that', async () => {
    const { clock, authority, outcome } = setUp();
    authority.hanging = true;
    const call = outcome();
    await clock.advance(seconds(5));
    expect(call).toMatchObject({ at: seconds(5), error: { reason: 'wait_timeout' } });
    expect(authority.signals.map(({ aborted }) => aborted)).toEqual([false, false]);
    await clock.advance(seconds(5));
    expect(authority.signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    await clock.advance(1667);
    expect(authority.signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    authority.hanging = false;
    const next = outcome();
    await clock.advance(seconds(1));
    expect(next.token).toBe('token-1');
  });

  it('gives a background attempt less time than the token has left', async () => {
    const { clock, authority, manager } = setUp();
    authority.lifetimeMs = seconds(60);
    await manager.getToken();
    authority.hanging = true;
    await clock.advance(seconds(30 + 6));
    expect(authority.signals[1]!.aborted).toBe(true);
    expect(manager.status()).toMatchObject({ refreshing: false, freshness: 'stale' });
  });

  it('obeys Retry-After, and reports when calls will fail before it ends', async () => {
    const { clock, authority, manager, seen } = setUp();
    await manager.getToken();
    authority.failing = { kind: 'transient', retryAfterMs: seconds(600) };
    await clock.advance(seconds(2700));
    authority.failing = { kind: 'transient', retryAfterMs: seconds(1200) };
    await clock.advance(seconds(599));
    expect(authority.attempts).toHaveLength(2);
    await clock.advance(seconds(1));
    expect(authority.attempts).toHaveLength(3);
    expect(seen.filter((event) => event.type === 'token.refresh_failed').map(({ degraded }) => degraded)).toEqual([
      false,
      true,
    ]);
  });

  it('is reported with the expiry of the token that calls use, as long as they can', async () => {
    const { clock, authority, manager, seen } = setUp();
    await manager.getToken();
    const { expiresAt } = manager.status();
    authority.failing = { kind: 'transient', retryAfterMs: seconds(600) };
    await clock.advance(seconds(3660));
    await manager.getToken().catch(() => {});
    await clock.advance(seconds(660));
    const failures = seen.filter((event) => event.type === 'token.refresh_failed');
    expect(failures.map((failure) => failure.expiresAt)).toEqual([expiresAt, expiresAt, undefined]);
  });

  it('is not worked against for longer than a minute after the last caller has gone', async () => {
    const { clock, authority, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    outcome();
    await clock.advance(minutes(60));
    expect(authority.attempts.at(-1)).toBeLessThan(seconds(60 + 38));
    expect(clock.pendingTimers).toBe(0);
    const attempts = authority.attempts.length;
    outcome();
    await clock.advance(0);
    expect(authority.attempts).toHaveLength(attempts + 1);
  });

  it('backs off alike when its failures are of changing kinds', async () => {
    const { clock, authority, outcome } = setUp();
    for (let minute = 0; minute < 600; minute++) {
      authority.failing = { kind: minute % 2 === 0 ? 'transient' : 'malformed' };
      outcome();
      await clock.advance(seconds(6));
    }
    expect(authority.attempts.length).toBeLessThan(250);
  });

  it('starts the back-off anew after a success', async () => {
    const { clock, authority, manager, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    outcome();
    await clock.advance(seconds(10));
    authority.failing = undefined;
    await clock.advance(seconds(20));
    expect(manager.peek()).toBeDefined();
    authority.failing = { kind: 'transient' };
    const before = authority.attempts.length;
    manager.peek();
    await clock.advance(seconds(2700 + 30));
    const gaps = authority.attempts.slice(before).map((at, i, all) => at - (all[i - 1] ?? at));
    expect(gaps.slice(0, 4)).toEqual([0, 500, 1000, 2000]);
  });
});

describe('a rejected credential', () => {
  it('keeps a live token in use, and callers off the network', async () => {
    const { clock, authority, manager, token, outcome, eventTypes } = setUp();
    await manager.getToken();
    authority.failing = { kind: 'credential' };
    await clock.advance(seconds(2729));
    expect(authority.shown).toEqual([seconds(2700)]);
    expect(eventTypes()).toEqual(['token.acquired', 'token.refresh_failed', 'credential.quarantined']);
    await clock.advance(seconds(866));
    expect(await token()).toBe('token-1');
    await clock.advance(seconds(6));
    const call = outcome();
    await clock.advance(0);
    expect(call).toMatchObject({ at: seconds(3601), error: { code: 'M2M_CLIENT_REJECTED', halted: false } });
    expect(authority.shown.every((at, index, all) => index === 0 || at - all[index - 1]! >= seconds(30))).toBe(true);
  });

  it('is looked at anew within seconds, so that a corrected one is found', async () => {
    const { clock, authority, outcome } = setUp();
    authority.failing = { kind: 'credential' };
    outcome();
    await clock.advance(seconds(11));
    expect(authority.shown).toHaveLength(1);
    authority.failing = undefined;
    await clock.advance(seconds(5));
    const call = outcome();
    await clock.advance(0);
    expect(call.token).toBe('token-1');
  });
});

describe('a caller that cancels', () => {
  it('ends only its own wait, with its own reason', async () => {
    const { clock, authority, outcome } = setUp();
    authority.latencyMs = seconds(1);
    const leaving = new AbortController();
    const first = outcome(leaving.signal);
    const second = outcome();
    await clock.advance(500);
    leaving.abort(new Error('client closed the connection'));
    await clock.advance(0);
    expect(first.error?.message).toBe('client closed the connection');
    await clock.advance(500);
    expect(second).toEqual({ token: 'token-1', at: seconds(1) });
    expect(authority.signals[0]!.aborted).toBe(false);
  });

  it('does not end the attempt even if it was the last to wait', async () => {
    const { clock, authority, outcome, manager } = setUp();
    authority.latencyMs = seconds(1);
    const leaving = new AbortController();
    const call = outcome(leaving.signal);
    leaving.abort();
    await clock.advance(seconds(1));
    expect(call.error).toBeDefined();
    expect(manager.peek()?.reveal()).toBe('token-1');
  });

  it('gets an error at once if its signal was aborted before', async () => {
    const { authority, manager } = setUp();
    await expect(manager.getToken(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    expect(authority.attempts).toHaveLength(0);
  });
});

describe('renewing a token that a resource server rejected', () => {
  it('makes one attempt for 500 calls that were rejected with it', async () => {
    const { authority, manager } = setUp();
    const rejected = await manager.getToken();
    const renewed = await Promise.all(Array.from({ length: 500 }, () => manager.renew(rejected)));
    expect(new Set(renewed.map((token) => token?.reveal()))).toEqual(new Set(['token-2']));
    expect(authority.attempts).toHaveLength(2);
  });

  it('makes none for a call that was rejected with a token since replaced', async () => {
    const { authority, manager } = setUp();
    const rejected = await manager.getToken();
    await manager.renew(rejected);
    expect((await manager.renew(rejected))?.reveal()).toBe('token-2');
    expect(authority.attempts).toHaveLength(2);
  });

  it('brings nothing where the server issues the same token again, or is backed off from', async () => {
    const { authority, manager } = setUp();
    const rejected = await manager.getToken();
    authority.reissuing = true;
    expect(await manager.renew(rejected)).toBeUndefined();
    authority.failing = { kind: 'configuration' };
    expect(await manager.renew(rejected)).toBeUndefined();
    expect(await manager.renew(rejected)).toBeUndefined();
    expect(authority.attempts).toHaveLength(3);
    expect(manager.peek()?.reveal()).toBe('token-1');
  });

  it('waits over several attempts, as long as a call waits for its first token', async () => {
    const { clock, authority, manager } = setUp();
    const rejected = await manager.getToken();
    authority.failing = { kind: 'transient' };
    const renewed: (string | undefined)[] = [];
    const renew = () => void manager.renew(rejected).then((token) => renewed.push(token?.reveal()));
    renew();
    await clock.advance(100);
    renew();
    authority.failing = undefined;
    await clock.advance(400);
    expect(renewed).toEqual(['token-2', 'token-2']);
    expect(authority.attempts).toEqual([0, 0, 500]);
  });

  it('gives up when the next attempt is due later than it may wait, or its own signal aborts', async () => {
    const { clock, authority, manager } = setUp();
    const rejected = await manager.getToken();
    authority.failing = { kind: 'transient' };
    const ends: [string, number][] = [];
    const end = (of: string) => () => ends.push([of, clock.now().monotonicMs]);
    const leaving = new AbortController();
    void manager.renew(rejected).then(end('patient'));
    void manager.renew(rejected, leaving.signal).catch(end('gone'));
    await clock.advance(1000);
    leaving.abort();
    await clock.advance(seconds(10));
    expect(ends).toEqual([
      ['gone', 1000],
      ['patient', 3500],
    ]);
    expect(manager.peek()?.reveal()).toBe('token-1');
  });
});

describe('the token before', () => {
  /** A manager whose token was replaced by its schedule a moment ago; it lives for another half a minute. */
  async function refreshed(change: (system: ReturnType<typeof setUp>) => unknown = () => {}) {
    const system = setUp();
    system.authority.lifetimeMs = seconds(60);
    const first = await system.manager.getToken();
    await change(system);
    await system.clock.advance(seconds(30));
    const second = await system.manager.getToken();
    expect(second.reveal()).toBe('token-2');
    return { ...system, first, second };
  }

  it('is there for five seconds after the schedule has replaced it', async () => {
    const { clock, manager, first, second } = await refreshed();
    expect(manager.previousToken(second)).toBe(first);
    expect(manager.previousToken(first)).toBeUndefined();
    expect(manager.previousToken(new AccessToken('another'))).toBeUndefined();
    await clock.advance(4999);
    expect(manager.previousToken(second)).toBe(first);
    await clock.advance(1);
    expect(manager.previousToken(second)).toBeUndefined();
  });

  it('is not there while there is but one', async () => {
    const { manager } = setUp();
    expect(manager.previousToken(await manager.getToken())).toBeUndefined();
  });

  it('has to live as long as the caller wants it to', async () => {
    const { manager, first, second } = await refreshed();
    expect(manager.previousToken(second, seconds(29))).toBe(first);
    expect(manager.previousToken(second, seconds(30))).toBeUndefined();
  });

  it('is not used once it has expired', async () => {
    const system = setUp();
    system.authority.lifetimeMs = seconds(60);
    await system.manager.getToken();
    system.authority.failing = { kind: 'transient' };
    await system.clock.advance(seconds(58));
    system.authority.failing = undefined;
    await system.clock.advance(seconds(1));
    while (system.manager.status().lastError) await system.clock.advance(100);
    const second = await system.manager.getToken();
    const ageMs = system.clock.now().monotonicMs;
    expect(system.manager.previousToken(second) !== undefined).toBe(ageMs < seconds(60));
    await system.clock.advance(seconds(60) - ageMs);
    expect(system.manager.previousToken(second)).toBeUndefined();
  });

  it.each<[string, (system: ReturnType<typeof setUp>) => unknown]>([
    ['was rejected, which renewed it', ({ manager }) => manager.renew(manager.peek()!)],
    [
      'was rejected while it could not be renewed',
      async ({ manager, authority, clock }) => {
        authority.failing = { kind: 'transient' };
        const renewed = manager.renew(manager.peek()!);
        await clock.advance(seconds(5));
        expect(await renewed).toBeUndefined();
        authority.failing = undefined;
      },
    ],
    ['was granted for another credential', ({ authority }) => (authority.credential = 'two')],
  ])('is not used where it %s', async (_why, change) => {
    const system = setUp();
    system.authority.lifetimeMs = seconds(60);
    await system.manager.getToken();
    await change(system);
    while (system.manager.peek()?.reveal() !== 'token-2') await system.clock.advance(100);
    expect(system.manager.previousToken(system.manager.peek()!)).toBeUndefined();
  });

  it('is not used where it was rejected afterwards', async () => {
    const { manager, first, second } = await refreshed();
    expect((await manager.renew(first))?.reveal()).toBe('token-2');
    expect(manager.previousToken(second)).toBeUndefined();
  });

  it('is not used where the one after it was rejected and renewed', async () => {
    const { clock, manager, second } = await refreshed();
    await clock.advance(1000);
    const third = await manager.renew(second);
    expect(third?.reveal()).toBe('token-3');
    expect(manager.previousToken(third!)).toBeUndefined();
    expect(manager.previousToken(second)).toBeUndefined();
  });

  it('is not there where the server issued the same token again', async () => {
    const system = setUp();
    system.authority.lifetimeMs = seconds(60);
    const first = await system.manager.getToken();
    system.authority.reissuing = true;
    await system.clock.advance(seconds(31));
    expect((await system.manager.getToken()).reveal()).toBe('token-1');
    expect(system.manager.previousToken(first)).toBeUndefined();
  });
});

describe('shutting down', () => {
  it('first stops background refreshes, and serves callers as before', async () => {
    const { clock, authority, manager, outcome } = setUp();
    await manager.getToken();
    manager.stopRefreshing();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(seconds(3700));
    expect(authority.attempts).toHaveLength(1);
    const call = outcome();
    await clock.advance(0);
    expect(call.token).toBe('token-2');
    expect(clock.pendingTimers).toBe(0);
  });

  it('makes the attempt that a caller waits for already', async () => {
    const { clock, authority, manager, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    outcome();
    await clock.advance(0);
    authority.failing = undefined;
    const call = outcome();
    await clock.advance(0);
    manager.stopRefreshing();
    await clock.advance(seconds(1));
    expect(call.token).toBe('token-1');
    expect(clock.pendingTimers).toBe(0);
  });

  it('makes none for a caller that has cancelled', async () => {
    const { clock, authority, manager, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    const caller = new AbortController();
    outcome(caller.signal);
    await clock.advance(0);
    outcome(caller.signal);
    await clock.advance(0);
    caller.abort();
    manager.stopRefreshing();
    await clock.advance(minutes(1));
    expect(authority.attempts).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('then leaves no timer, aborts the attempt, and ends the waits', async () => {
    const { clock, authority, manager, outcome } = setUp();
    authority.hanging = true;
    const call = outcome();
    await clock.advance(0);
    manager.close();
    await clock.advance(0);
    expect(call.error).toMatchObject({ reason: 'shut_down' });
    expect(authority.signals[0]!.aborted).toBe(true);
    expect(clock.pendingTimers).toBe(0);
    expect(manager.status().refreshing).toBe(false);
    await expect(manager.getToken()).rejects.toMatchObject({ reason: 'shut_down' });
  });

  it('leaves a live token to calls that are still under way, to its very end', async () => {
    const { clock, manager, token } = setUp();
    const held = await manager.getToken();
    manager.close();
    expect(clock.pendingTimers).toBe(0);
    expect(manager.peek()?.reveal()).toBe('token-1');
    await clock.advance(seconds(3590));
    expect(manager.peek()).toBeUndefined();
    expect(await token()).toBe('token-1');
    expect(await manager.renew(held)).toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('an unsafe grace for expired tokens', () => {
  it('is off by default, and bounded', async () => {
    for (const { unsafeExpiredTokenGraceMs, served } of [
      { unsafeExpiredTokenGraceMs: 0, served: false },
      { unsafeExpiredTokenGraceMs: seconds(60), served: true },
      { unsafeExpiredTokenGraceMs: seconds(5), served: false },
    ]) {
      const { clock, authority, manager, outcome } = setUp({ unsafeExpiredTokenGraceMs });
      await manager.getToken();
      authority.failing = { kind: 'transient' };
      await clock.advance(seconds(3610));
      const call = outcome();
      await clock.advance(seconds(5));
      expect(call.token !== undefined).toBe(served);
    }
  });
});

describe('a second try beside an unanswered one', () => {
  /** An authority of which the test settles each try by hand. */
  function byHand(options: Partial<RefreshedTokenOptions> = {}) {
    const tries: {
      settle: (outcome: TokenResult<Acquisition>) => void;
      fail: (error: Error) => void;
      signal: AbortSignal;
    }[] = [];
    const system = setUp({
      attempt: (signal, progress) => {
        progress.second = system.authority.second;
        system.authority.progress.push(progress);
        return new Promise((settle, fail) => tries.push({ settle, fail, signal }));
      },
      ...options,
    });
    /** Too short a life for a timer, so that no try is made but for callers. */
    const granted = (text: string, tookMs = 0) => {
      const now = system.clock.now();
      return {
        ok: true as const,
        granted: {
          accessToken: new AccessToken(text),
          lifetime: { lifetimeMs: seconds(5), source: 'expires_in' as const },
        },
        requestedAt: { wallMs: now.wallMs - tookMs, monotonicMs: now.monotonicMs - tookMs },
        receivedAt: now,
        credential: 'one',
      };
    };
    const failed = (kind: TokenFailureKind): TokenResult<Acquisition> => ({
      ok: false,
      failure: { kind, detail: kind },
    });
    return { ...system, tries, granted, failed };
  }

  it('begins a third of the time after which a caller gives up, and is the last', async () => {
    const { clock, outcome, tries, eventTypes } = byHand({ acquireTimeoutMs: seconds(3) });
    outcome();
    await clock.advance(999);
    expect(tries).toHaveLength(1);
    await clock.advance(1);
    expect(tries).toHaveLength(2);
    for (let n = 0; n < 90; n++) {
      outcome();
      await clock.advance(100);
    }
    expect(tries).toHaveLength(2);
    expect(eventTypes()).toEqual(['token.second_attempt']);
  });

  it('begins with the first caller, where the first request has had no response for long', async () => {
    const { clock, manager, outcome, tries } = byHand();
    manager.warmUp();
    await clock.advance(seconds(4));
    expect(tries).toHaveLength(1);
    outcome();
    await clock.advance(0);
    expect(tries).toHaveLength(2);
  });

  it('does not begin for callers that have cancelled', async () => {
    const { clock, outcome, tries } = byHand();
    const leaving = new AbortController();
    outcome(leaving.signal);
    await clock.advance(1000);
    leaving.abort();
    await clock.advance(seconds(5));
    expect(tries).toHaveLength(1);
  });

  it('does not begin while the first one is in a queue, and then counts the silence from its end', async () => {
    const { clock, authority, outcome, tries } = byHand();
    outcome();
    await clock.advance(0);
    authority.progress[0]!.silentSince = undefined;
    await clock.advance(seconds(3));
    authority.progress[0]!.silentSince = clock.now();
    outcome();
    await clock.advance(1600);
    expect(tries).toHaveLength(1);
    await clock.advance(seconds(2));
    expect(tries).toHaveLength(2);
  });

  it.each(['first', 'second'] as const)('lets the %s bring the token, and ends the other', async (winner) => {
    const { clock, manager, outcome, tries, granted } = byHand();
    const call = outcome();
    await clock.advance(1667);
    const [won, lost] = winner === 'first' ? [tries[0]!, tries[1]!] : [tries[1]!, tries[0]!];
    won.settle(granted('of-the-winner'));
    await clock.advance(0);
    expect(call.token).toBe('of-the-winner');
    expect([won.signal.aborted, lost.signal.aborted]).toEqual([false, true]);
    // What the other one does from here on is of no account.
    lost.settle(granted('too-late'));
    await clock.advance(0);
    expect(manager.peek()?.reveal()).toBe('of-the-winner');
    expect(clock.pendingTimers).toBe(0);
  });

  it('brings the token where both do at once: that of the one that was there first', async () => {
    const { clock, manager, outcome, tries, granted, eventTypes } = byHand();
    const call = outcome();
    await clock.advance(1667);
    tries[1]!.settle(granted('of-the-second'));
    tries[0]!.settle(granted('of-the-first'));
    await clock.advance(0);
    expect(call.token).toBe('of-the-second');
    expect(manager.peek()?.reveal()).toBe('of-the-second');
    expect(eventTypes()).toEqual(['token.second_attempt', 'token.acquired']);
  });

  it('continues where the first one fails, and the other way round', async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ] as const) {
      for (const failure of ['transient', 'unexplained', 'malformed', 'blocked'] as const) {
        const { clock, manager, outcome, tries, granted, failed, eventTypes } = byHand();
        const call = outcome();
        await clock.advance(1667);
        tries[order[0]]!.settle(failed(failure));
        await clock.advance(1000);
        expect(manager.status().refreshing).toBe(true);
        expect(tries).toHaveLength(2);
        tries[order[1]]!.settle(granted('token'));
        await clock.advance(0);
        expect(call.token).toBe('token');
        expect(eventTypes()).toEqual(['token.second_attempt', 'token.acquired']);
      }
    }
  });

  it.each(['credential', 'configuration', 'certificate'] as const)(
    'ends where one of the two fails in a way that waiting cannot correct: %s',
    async (kind) => {
      const { clock, outcome, tries, failed } = byHand();
      const call = outcome();
      await clock.advance(1667);
      tries[1]!.settle(failed(kind));
      await clock.advance(0);
      expect(call.error).toBeDefined();
      expect(tries[0]!.signal.aborted).toBe(true);
    },
  );

  it('fails once where both fail, and then there is none until a token was granted promptly', async () => {
    const { clock, outcome, tries, granted, failed, seen } = byHand();
    outcome();
    await clock.advance(1667);
    tries[0]!.settle(failed('transient'));
    tries[1]!.fail(new Error('unheard of'));
    await clock.advance(0);
    expect(seen.filter(({ type }) => type === 'token.refresh_failed')).toHaveLength(1);
    await clock.advance(500);
    /** Lets the attempt under way be silent for 4 s, and sees whether there is a second try. */
    const isJoined = async () => {
      const { length } = tries;
      outcome();
      await clock.advance(seconds(4));
      return tries.length > length;
    };
    expect(await isJoined()).toBe(false);
    tries.at(-1)!.settle(granted('slow', seconds(4)));
    await clock.advance(seconds(6));
    outcome();
    expect(await isJoined()).toBe(false);
    tries.at(-1)!.settle(granted('prompt', seconds(1)));
    await clock.advance(seconds(6));
    outcome();
    expect(await isJoined()).toBe(true);
  });

  it('is made for calls whose token was rejected, which are not served by the one that is held', async () => {
    const { clock, manager, outcome, tries, granted } = byHand();
    outcome();
    await clock.advance(0);
    tries[0]!.settle(granted('rejected', 0));
    await clock.advance(seconds(1));
    const renewed = manager.renew(manager.peek()!);
    await clock.advance(1667);
    expect(tries).toHaveLength(3);
    tries[2]!.settle(granted('renewed', 0));
    await clock.advance(0);
    expect((await renewed)?.reveal()).toBe('renewed');
    expect(tries[1]!.signal.aborted).toBe(true);
  });

  it('takes the place of the first where the credential was never accepted, or is not made at all', async () => {
    const { clock, authority, outcome, tries, seen, granted } = byHand();
    authority.second = 'instead';
    const call = outcome();
    await clock.advance(1667);
    const [first, second] = authority.progress;
    expect([first!.isSecond, second!.isSecond]).toEqual([false, true]);
    expect([first!.other, second!.other]).toEqual([second, first]);
    first!.abort();
    expect(tries.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect(seen).toMatchObject([{ type: 'token.second_attempt', isFirstAborted: true, scope: 'users' }]);
    tries[0]!.settle(granted('of-one-that-was-aborted'));
    await clock.advance(0);
    expect(call).toEqual({});
    tries[1]!.settle(granted('token'));
    await clock.advance(0);
    expect(call.token).toBe('token');

    const none = byHand();
    none.authority.second = undefined;
    none.outcome();
    await none.clock.advance(seconds(9));
    expect(none.tries).toHaveLength(1);
  });

  it('is ended with the manager, and brings nothing after that', async () => {
    const { clock, manager, outcome, tries, granted } = byHand();
    const call = outcome();
    await clock.advance(1667);
    manager.close();
    await clock.advance(0);
    expect(call.error).toMatchObject({ reason: 'shut_down' });
    expect(tries.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    tries.forEach(({ settle }, index) => settle(granted(`late-${index}`)));
    await clock.advance(minutes(10));
    expect(manager.peek()).toBeUndefined();
    expect(tries).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is not begun any more once the manager was disposed of', async () => {
    const { clock, manager, outcome, tries } = byHand();
    outcome();
    await clock.advance(1000);
    manager.close();
    await clock.advance(seconds(30));
    expect(tries).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is one at a time for all tokens of a client, and the next begins with the end of the one before', async () => {
    const clock = new ManualClock();
    const secondTries = new SecondTries(clock, 1000);
    const managers = Array.from({ length: 3 }, () => byHand({ clock, secondTries, acquireTimeoutMs: seconds(3) }));
    managers.forEach(({ outcome }) => outcome());
    await clock.advance(1000);
    const tries = () => managers.map(({ tries }) => tries.length);
    expect(tries()).toEqual([2, 1, 1]);
    managers[0]!.tries[1]!.settle({
      ...managers[0]!.granted('token'),
      requestedAt: clock.now(),
      receivedAt: clock.now(),
    });
    await clock.advance(0);
    expect(tries()).toEqual([2, 2, 1]);
    managers[1]!.tries[0]!.settle(managers[1]!.failed('transient'));
    managers[1]!.tries[1]!.settle(managers[1]!.failed('transient'));
    await clock.advance(0);
    // It did not help: none for the third.
    expect(tries()).toEqual([2, 2, 1]);
    await clock.advance(100);
    expect(tries()[2]).toBe(1);
  });
});

describe('retryNow()', () => {
  it.each([
    { kind: 'transient', retryAfterMs: seconds(600) },
    { kind: 'configuration' },
    { kind: 'unexplained', retryAfterMs: seconds(600) },
    { kind: 'certificate', retryAfterMs: seconds(600) },
    { kind: 'credential' },
  ] as const)('ends the wait after a failure: $kind', async (failing) => {
    const { clock, authority, manager, outcome } = setUp();
    authority.failing = failing;
    outcome();
    await clock.advance(seconds(3));
    outcome();
    const before = authority.attempts.length;
    await clock.advance(0);
    expect(authority.attempts).toHaveLength(before);
    authority.failing = undefined;
    manager.retryNow();
    const call = outcome();
    await clock.advance(0);
    expect(call.token).toBe('token-1');
    expect(authority.attempts).toHaveLength(before + 1);
  });

  it('serves callers that wait already, and refreshes a token that lives', async () => {
    const { clock, authority, manager, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    const waiting = outcome();
    await clock.advance(2000);
    authority.failing = undefined;
    manager.retryNow();
    await clock.advance(0);
    expect(waiting).toEqual({ token: 'token-1', at: 2000 });
    authority.failing = { kind: 'configuration' };
    await clock.advance(seconds(2700));
    authority.failing = undefined;
    manager.retryNow();
    await clock.advance(0);
    expect(manager.peek()?.reveal()).toBe('token-2');
  });

  it('begins every curve anew', async () => {
    const { clock, authority, manager, outcome } = setUp();
    authority.failing = { kind: 'transient' };
    for (let n = 0; n < 120; n++) {
      outcome();
      await clock.advance(seconds(1));
    }
    manager.retryNow();
    const before = authority.attempts.length;
    outcome();
    await clock.advance(3500);
    const [at = 0, ...next] = authority.attempts.slice(before);
    expect(next.map((one) => one - at)).toEqual([500, 1500, 3500]);
  });

  it('does nothing where no caller waits and nothing has failed', async () => {
    const { clock, authority, manager } = setUp();
    manager.retryNow();
    await clock.advance(minutes(1));
    expect(authority.attempts).toEqual([]);
    await manager.getToken();
    manager.retryNow();
    await clock.advance(minutes(1));
    expect(authority.attempts).toHaveLength(1);
  });
});

describe('a token that is kept warm', () => {
  it('is refreshed as ever while no call uses it', async () => {
    const { clock, authority, manager, eventTypes } = setUp({ keepWarm: true });
    await manager.getToken();
    await clock.advance(minutes(24 * 60));
    expect(authority.attempts).toHaveLength(1 + (24 * 3600) / 2700);
    expect(eventTypes()).not.toContain('token.dormant');
    expect(manager.peek()).toBeDefined();
  });

  it('is requested again after an outage that outlasted it and the last caller', async () => {
    const { clock, authority, manager } = setUp({ keepWarm: true });
    await manager.getToken();
    authority.failing = { kind: 'transient' };
    await clock.advance(minutes(12 * 60));
    authority.failing = undefined;
    await clock.advance(seconds(60));
    expect(manager.peek()).toBeDefined();
  });

  it('is requested until it is there, where the first attempt failed', async () => {
    const { clock, authority, manager } = setUp({ keepWarm: true });
    authority.failing = { kind: 'transient' };
    manager.warmUp();
    await clock.advance(minutes(60));
    authority.failing = undefined;
    await clock.advance(seconds(40));
    expect(manager.peek()).toBeDefined();
  });

  it('is left alone where it lives too short for a timer, and when the application shuts down', async () => {
    const { clock, authority, manager } = setUp({ keepWarm: true });
    authority.lifetimeMs = seconds(9);
    await manager.getToken();
    await clock.advance(minutes(10));
    expect(authority.attempts).toHaveLength(1);
    authority.lifetimeMs = seconds(60);
    await manager.getToken();
    manager.stopRefreshing();
    await clock.advance(minutes(10));
    expect(authority.attempts).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('the schedule', () => {
  it('is kept by every attempt, whatever comes of them and however many callers there are', async () => {
    const kinds = ['transient', 'unexplained', 'malformed', 'certificate', 'configuration', 'credential'] as const;
    const step = fc.record({
      failing: fc.option(fc.record({ kind: fc.constantFrom(...kinds), retryAfterMs: fc.constantFrom(0, seconds(90)) })),
      latencyMs: fc.constantFrom(0, 10, 1500, seconds(4), seconds(12)),
      forMs: fc.integer({ min: 1, max: seconds(200) }),
      callEveryMs: fc.constantFrom(50, 1000, seconds(70)),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.constantFrom(15, 300),
        async (steps, life) => {
          const { clock, authority, manager, events, outcome } = setUp({ random: Math.random });
          authority.lifetimeMs = seconds(life);
          /** Until when no attempt may begin. */
          let closedUntil = 0;
          let firstTries = 0;
          let early = false;
          events.subscribe((event) => {
            if (event.type !== 'token.refresh_failed') return;
            const delayMs = event.retryAt!.getTime() - clock.now().wallMs;
            // A refused credential is looked at earlier, and then kept back.
            const isRefusal = event.error.code === 'M2M_CLIENT_REJECTED';
            closedUntil = clock.now().monotonicMs + Math.floor(isRefusal ? Math.min(delayMs, seconds(5)) : delayMs);
          });
          authority.onAttempt = ({ isSecond }) => {
            if (isSecond) return;
            firstTries++;
            early ||= clock.now().monotonicMs < closedUntil;
          };
          for (const { failing, latencyMs, forMs, callEveryMs } of steps) {
            authority.failing = failing ?? undefined;
            authority.latencyMs = latencyMs;
            for (let ms = 0; ms < forMs; ms += callEveryMs) {
              outcome();
              await clock.advance(Math.min(callEveryMs, 10_000));
            }
          }
          expect([early, firstTries > 0]).toEqual([false, true]);
          expect(authority.mostAtOnce).toBeLessThanOrEqual(2);
          manager.close();
          // The authority has timers of its own.
          await clock.advance(seconds(12));
          expect(clock.pendingTimers).toBe(0);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('whatever happens', () => {
  it('never returns an expired token, never makes more than two attempts at once, never attempts before it is due', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: minutes(20) }) }),
      fc.record({ do: fc.constant('call' as const) }),
      fc.record({
        do: fc.constant('fail' as const),
        kind: fc.constantFrom('transient', 'unexplained', 'certificate', 'credential'),
      }),
      fc.record({ do: fc.constant('recover' as const) }),
      fc.record({ do: fc.constant('latency' as const), ms: fc.integer({ min: 0, max: seconds(20) }) }),
      fc.record({ do: fc.constant('suspend' as const), ms: fc.integer({ min: 1, max: minutes(90) }) }),
      fc.record({ do: fc.constant('setBack' as const), ms: fc.integer({ min: 1, max: minutes(90) }) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.constantFrom(2, 15, 60, 300, 3600),
        async (steps, life) => {
          const { clock, authority, manager, seen } = setUp({ random: Math.random });
          authority.lifetimeMs = seconds(life);
          for (const s of steps) {
            if (s.do === 'advance') await clock.advance(s.ms);
            if (s.do === 'suspend') clock.suspend(s.ms);
            if (s.do === 'setBack') clock.setWallClock(new Date(clock.now().wallMs - s.ms));
            if (s.do === 'fail') authority.failing = { kind: s.kind as TokenFailureKind };
            if (s.do === 'recover') authority.failing = undefined;
            if (s.do === 'latency') authority.latencyMs = s.ms;
            if (s.do === 'call') {
              const call = manager.getToken().then(
                (token) => elapsedMs(authority.requestedAt.get(token.reveal())!, clock.now()) < seconds(life),
                (error: TokenUnavailableError) => error.code.startsWith('M2M_'),
              );
              await clock.advance(seconds(6));
              expect(await call).toBe(true);
            }
          }
          const hadSecondTry = seen.some(({ type }) => type === 'token.second_attempt');
          expect(authority.mostAtOnce).toBeLessThanOrEqual(hadSecondTry ? 2 : 1);
          const failures = seen.filter((event) => event.type === 'token.refresh_failed');
          failures.forEach(({ retryAt, error }) => expect(error.retryAt).toEqual(retryAt));
          manager.close();
        },
      ),
      { numRuns: 150 },
    );
  });
});
