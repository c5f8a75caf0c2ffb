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
