import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { EventStream } from '../foundation/event-stream.js';
import type { RequestedAccess, OutboundEvent } from '../token/outbound-events.js';
import { TokenUnavailableError } from '../token/token-errors.js';
import { logOutboundEvents } from './outbound-log.js';
import { recordLog } from '../../../../test/support/recorded-log.js';

let lines: string[];
let events: EventStream<OutboundEvent>;

beforeEach(() => {
  lines = recordLog();
  events = new EventStream();
  logOutboundEvents(events);
});
afterEach(() => Logger.overrideLogger(false));

const date = new Date('2030-01-01T00:00:00Z');
const granted = (type: 'token.acquired' | 'token.refreshed', asked: RequestedAccess = {}): OutboundEvent => ({
  type,
  client: 'main',
  ...asked,
  fingerprint: 'abc',
  requestedAt: date,
  refreshAt: date,
  expiresAt: new Date(date.getTime() + 3600_000),
  lifetimeSource: 'expires_in',
  previousFingerprint: 'before',
});
const failed = (asked: RequestedAccess = {}): OutboundEvent => ({
  type: 'token.refresh_failed',
  client: 'main',
  ...asked,
  error: new TokenUnavailableError('outage', 'No token.', { client: 'main' }),
  server: 'https://id.example/token',
  problem: 'HTTP 503. The client retries automatically.',
  expiresAt: undefined,
  retryAt: date,
  degraded: false,
});
const levels = () => lines.map((line) => line.slice(0, line.indexOf(':')));

describe('the log of a client', () => {
  it('has a line for the first token, and only debug lines for the following ones', () => {
    events.emit(granted('token.acquired'));
    for (let n = 0; n < 3; n++) events.emit(granted('token.refreshed'));
    expect(levels()).toEqual(['log', 'debug', 'debug', 'debug']);
  });

  it('has one warning when an outage begins, and one line when it ends', () => {
    for (let n = 0; n < 3; n++) events.emit(failed());
    events.emit(granted('token.refreshed'));
    events.emit(granted('token.refreshed'));
    expect(levels()).toEqual(['warn', 'debug', 'debug', 'log', 'debug']);
    expect(lines[3]).toMatch(/the outage is over$/);
  });

  it('tells for a failed token request what calls do meanwhile, and when the next attempt is', () => {
    const failure = failed() as Extract<OutboundEvent, { type: 'token.refresh_failed' }>;
    events.emit(failure);
    events.emit({ ...failure, scope: 'a', expiresAt: new Date(date.getTime() + 60_000), retryAt: undefined });
    events.emit({ ...failure, scope: 'b', retryAt: undefined });
    const start =
      'warn: client "main": token request to https://id.example/token failed (M2M_TOKEN_UNAVAILABLE): HTTP 503. The client retries automatically.';
    expect(lines).toEqual([
      `${start} Next attempt at 2030-01-01T00:00:00.000Z. Calls that cannot wait until then fail.`,
      `${start} No further attempt. Calls use the current token, which expires at 2030-01-01T00:01:00.000Z.`,
      `${start} No further attempt. Calls fail.`,
    ]);
  });

  it('has a line when attempts are halted, with the time of the next one and what to correct', () => {
    for (const halted of [false, true]) {
      events.emit({ type: 'credential.quarantined', client: 'main', retryAt: date, halted });
    }
    events.emit({ type: 'credential.quarantined', client: 'main', retryAt: undefined, halted: true });
    const start = 'error: client "main": the server rejected the credential repeatedly; attempts are halted';
    const advice = 'Correct the credential, or call retryNow() after a correction at the server';
    expect(lines).toEqual([
      `${start}, except for rare probes; next attempt at 2030-01-01T00:00:00.000Z. ${advice}`,
      `${start}. ${advice}`,
    ]);
  });

  it('has debug lines for what the client repeats', () => {
    events.emit({ type: 'call.replayed', client: 'main', origin: 'https://api.example', fingerprint: 'abc' });
    for (const isFirstAborted of [false, true]) {
      events.emit({ type: 'token.second_attempt', client: 'main', isFirstAborted });
    }
    expect(lines).toEqual([
      'debug: client "main": call to https://api.example repeated with another token, abc',
      'debug: client "main": sent another token request, because the first has no response yet',
      'debug: client "main": aborted a token request that had no response, and sent another one',
    ]);
  });

  it('call-5: has a line when a token is no longer refreshed, with the option that keeps it warm', () => {
    events.emit({ type: 'token.dormant', client: 'main', scope: 'reports' });
    expect(lines).toEqual([
      expect.stringMatching(/^log: client "main": .*not refreshed until the next call.*keepWarm/),
    ]);
  });

  it('has a warning for tokens that could not be revoked', () => {
    events.emit({ type: 'token.revocation_failed', client: 'main', fingerprints: ['a', 'b'], problem: 'HTTP 503' });
    expect(lines).toEqual([expect.stringMatching(/^warn: client "main": could not revoke 2 .*\(HTTP 503\)/)]);
  });

  it('has a line for retryNow(), and only a debug line for a second attempt', () => {
    events.emit({ type: 'client.retry_now', client: 'main' });
    events.emit({ type: 'token.second_attempt', client: 'main', isFirstAborted: false });
    expect(levels()).toEqual(['log', 'debug']);
  });

  it('keeps reporting the outage of one token after another token was acquired', () => {
    for (let n = 0; n < 3; n++) {
      events.emit(failed({ scope: 'broken' }));
      events.emit(granted('token.refreshed', { scope: 'healthy' }));
    }
    expect(levels()).toEqual(['warn', 'debug', 'debug', 'debug', 'debug', 'debug']);
    events.emit(granted('token.acquired', { scope: 'broken' }));
    expect(lines.at(-1)).toMatch(/^log: .*the outage is over$/);
  });
});
