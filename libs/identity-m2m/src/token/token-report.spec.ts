import { describe, expect, it, test } from '@jest/globals';
import { EventStream } from '../foundation/event-stream.js';
import { AccessToken } from './access-token.js';
import type { AcquiredToken, HeldToken } from './held-token.js';
import type { OutboundEvent } from './outbound-events.js';
import { TokenReport, tokenStatus } from './token-report.js';
import { TokenUnavailableError } from './token-errors.js';
import type { CredentialRefusal, TokenFailure } from './token-result.js';

const START = Date.parse('2030-01-01T00:00:00Z');
const SINCE = { wallMs: START, monotonicMs: 0 };
const REQUESTED = { scope: 'users', audience: 'https://api.example.com' };
const FACTS = { client: 'users', ...REQUESTED };
const at = (ms: number) => ({ wallMs: START + ms, monotonicMs: ms });

const held = (text: string): HeldToken => ({
  token: new AccessToken(text),
  since: SINCE,
  schedule: { refreshAtMs: 2000, waitAtMs: 3000, expiresAtMs: 4000, renewableAtMs: 1000, timed: true },
  isReissued: false,
  isServedStale: false,
  credential: 'one',
});

const acquired = (token: AccessToken, rotation?: AcquiredToken['rotation']): AcquiredToken => ({
  granted: { accessToken: token, lifetime: { lifetimeMs: 4000, source: 'jwt' } },
  requestedAt: SINCE,
  receivedAt: SINCE,
  credential: 'one',
  rotation,
});

const tokenFacts = ({ token }: HeldToken) => ({
  ...FACTS,
  fingerprint: token.fingerprint,
  requestedAt: new Date(START),
  expiresAt: new Date(START + 4000),
  refreshAt: new Date(START + 2000),
});

function setUp() {
  const events = new EventStream<OutboundEvent>();
  const seen: OutboundEvent[] = [];
  events.subscribe((event) => seen.push(event));
  const context = { client: 'users', server: 'https://id.example.com' };
  return { report: new TokenReport(context, REQUESTED, events), seen };
}

describe('the report of a grant', () => {
  it('reports the first token', () => {
    const { report, seen } = setUp();
    const token = held('a');
    report.granted(acquired(token.token), token, undefined);
    expect(seen).toEqual([{ type: 'token.acquired', ...tokenFacts(token), lifetimeSource: 'jwt' }]);
  });

  it('reports a new token with the one before', () => {
    const { report, seen } = setUp();
    const [before, token] = [held('a'), held('b')];
    report.granted(acquired(token.token), token, before);
    expect(seen).toEqual([
      {
        type: 'token.refreshed',
        ...tokenFacts(token),
        lifetimeSource: 'jwt',
        previousFingerprint: before.token.fingerprint,
      },
    ]);
  });

  it('reports the same token again', () => {
    const { report, seen } = setUp();
    const token = held('a');
    report.granted(acquired(new AccessToken('a')), token, { ...token });
    expect(seen).toEqual([{ type: 'token.reissued', ...tokenFacts(token) }]);
  });

  it('reports a rotated credential first', () => {
    const { report, seen } = setUp();
    const token = held('a');
    const rotation = { fingerprint: 'new', previousFingerprint: 'old' };
    report.granted(acquired(token.token, rotation), token, undefined);
    expect(seen.map(({ type }) => type)).toEqual(['credential.rotated', 'token.acquired']);
    expect(seen[0]).toEqual({ type: 'credential.rotated', client: 'users', ...rotation });
  });
});

describe('the report of a failure', () => {
  const error = new TokenUnavailableError('outage', 'no response', { client: 'users' });
  const decision = (delayMs: number) => ({ error, problem: 'HTTP 503. Wait.', delayMs, isNew: true });
  const refusal = (more: Partial<CredentialRefusal> = {}): CredentialRefusal => ({
    delayMs: 500,
    halted: false,
    isConfirmed: true,
    isWithheld: false,
    ...more,
  });
  const credential = (more: Partial<CredentialRefusal> = {}): TokenFailure => ({
    kind: 'credential',
    detail: 'refused',
    refusal: refusal(more),
  });

  test.each([
    { hasToken: true, delayMs: 999, degraded: false },
    { hasToken: true, delayMs: 1000, degraded: true },
    { hasToken: true, delayMs: Infinity, degraded: true },
    { hasToken: false, delayMs: 0, degraded: true },
  ])(
    'shows whether calls fail before the next attempt in $delayMs ms: $degraded',
    ({ hasToken, delayMs, degraded }) => {
      const { report, seen } = setUp();
      report.failed({ kind: 'transient', detail: '' }, decision(delayMs), hasToken ? held('a') : undefined, at(3000));
      const retryAt = delayMs === Infinity ? undefined : new Date(START + 3000 + delayMs);
      const expiresAt = hasToken ? new Date(START + 4000) : undefined;
      const facts = { server: 'https://id.example.com', problem: 'HTTP 503. Wait.', expiresAt, retryAt, degraded };
      expect(seen).toEqual([{ type: 'token.refresh_failed', ...FACTS, ...facts, error }]);
    },
  );

  test.each([true, false])('reports the quarantine of a rejected credential, halted: %s', (halted) => {
    const { report, seen } = setUp();
    report.failed(credential({ halted }), decision(500), undefined, at(0));
    expect(seen.map(({ type }) => type)).toEqual(['token.refresh_failed', 'credential.quarantined']);
    expect(seen[1]).toEqual({
      type: 'credential.quarantined',
      client: 'users',
      retryAt: new Date(START + 500),
      halted,
    });
  });

  test.each([
    { name: 'was withheld', failure: credential({ isWithheld: true }) },
    { name: 'may have met a gateway', failure: { ...credential(), kind: 'blocked' as const } },
  ])('reports no quarantine where the credential $name', ({ failure }) => {
    const { report, seen } = setUp();
    report.failed(failure, decision(500), undefined, at(0));
    expect(seen.map(({ type }) => type)).toEqual(['token.refresh_failed']);
  });

  test.each([-40_000, 0, 40_000])('reports a clock that differs by %s ms', (clockSkewMs) => {
    const { report, seen } = setUp();
    report.failed(credential({ clockSkewMs }), decision(500), undefined, at(0));
    expect(seen.at(-1)).toEqual({ type: 'client.clock_skew', client: 'users', clockSkewMs });
    expect(seen).toHaveLength(3);
  });
});

describe('the report', () => {
  it('reports a token that was used close to its expiry', () => {
    const { report, seen } = setUp();
    report.servedStale(held('a'));
    expect(seen).toEqual([{ type: 'token.served_stale', ...tokenFacts(held('a')) }]);
  });

  test.each([true, false])('reports a second request, the first aborted: %s', (isFirstAborted) => {
    const { report, seen } = setUp();
    report.secondTry(isFirstAborted);
    expect(seen).toEqual([{ type: 'token.second_attempt', ...FACTS, isFirstAborted }]);
  });

  it('reports a token that is no longer refreshed', () => {
    const { report, seen } = setUp();
    report.dormant();
    expect(seen).toEqual([{ type: 'token.dormant', ...FACTS }]);
  });

  it('has an error for a caller that waited too long', () => {
    const cause = new TokenUnavailableError('outage', 'no response', { client: 'users' });
    const error = setUp().report.waitTimeoutError(500, cause);
    expect([error.reason, error.client, error.cause]).toEqual(['wait_timeout', 'users', cause]);
    expect(error.message).toBe(
      'No access token for client "users" from https://id.example.com within 500 ms. The token request continues; try again.',
    );
    expect('cause' in setUp().report.waitTimeoutError(500, undefined)).toBe(false);
  });

  it('has an error for a caller of a closed client', () => {
    const error = setUp().report.closedError();
    expect([error.reason, error.client]).toEqual(['shut_down', 'users']);
    expect(error.message).toBe('No access token for client "users": the client is closed.');
  });
});

describe('the status of a token', () => {
  const state = { isRefreshing: false, isDormant: false, lastError: undefined };

  it('has only the state where there is none', () => {
    expect(tokenStatus(undefined, at(0), state)).toStrictEqual({
      freshness: 'none',
      refreshing: false,
      dormant: false,
    });
  });

  test.each([
    { ageMs: 1999, freshness: 'fresh' },
    { ageMs: 2000, freshness: 'stale' },
    { ageMs: 3000, freshness: 'expiring' },
    { ageMs: 4000, freshness: 'expired' },
  ])('at the age of $ageMs ms is $freshness', ({ ageMs, freshness }) => {
    expect(tokenStatus(held('a'), at(ageMs), state)).toStrictEqual({
      freshness,
      fingerprint: new AccessToken('a').fingerprint,
      expiresAt: new Date(START + 4000),
      refreshAt: new Date(START + 2000),
      refreshing: false,
      dormant: false,
    });
  });

  it('has the last error, and whether it is refreshed or dormant', () => {
    const lastError = new TokenUnavailableError('outage', 'no response', { client: 'users' });
    const status = tokenStatus(undefined, at(0), { isRefreshing: true, isDormant: false, lastError });
    expect(status).toStrictEqual({ freshness: 'none', refreshing: true, dormant: false, lastError });
    expect(tokenStatus(undefined, at(0), { ...state, isDormant: true })).toMatchObject({
      refreshing: false,
      dormant: true,
    });
  });
});
