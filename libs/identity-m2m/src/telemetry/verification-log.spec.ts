import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { EventStream } from '../foundation/event-stream.js';
import type { VerificationEvent } from '../verification/verification-events.js';
import { logVerificationEvents } from './inbound-log.js';
import { recordLog } from '../../../../test/support/recorded-log.js';

let lines: string[];
let events: EventStream<VerificationEvent>;

beforeEach(() => {
  lines = recordLog();
  events = new EventStream();
  logVerificationEvents(events);
});
afterEach(() => Logger.overrideLogger(false));

const issuer = 'https://id.example';

describe('the log of verification events', () => {
  it('warns once about an outage, however long it is, and reports its end', () => {
    for (const failures of [1, 2, 3]) {
      events.emit({ type: 'key_set.refresh_failed', issuer, failures, problem: 'no answer' });
      events.emit({ type: 'introspection.paused', issuer, pauses: failures, pauseMs: 2000, problem: 'no answer' });
    }
    events.emit({ type: 'key_set.recovered', issuer });
    events.emit({ type: 'introspection.recovered', issuer });
    const keys = `guard: the keys of ${issuer} could not be read: no answer`;
    const question = `guard: introspection at ${issuer} failed; next attempt in 2 s: no answer`;
    expect(lines).toEqual([
      `warn: ${keys}`,
      `warn: ${question}`,
      `debug: ${keys}`,
      `debug: ${question}`,
      `debug: ${keys}`,
      `debug: ${question}`,
      `log: guard: the keys of ${issuer} can be read again`,
      `log: guard: introspection at ${issuer} works again`,
    ]);
  });

  it('has only a debug line for a token without a response, because any caller can cause many', () => {
    for (let failures = 1; failures <= 5; failures++) {
      events.emit({ type: 'introspection.failed', issuer, tokens: 'opaque', failures, problem: 'HTTP 500' });
    }
    expect(new Set(lines)).toEqual(
      new Set([`debug: guard: introspection of one opaque token at ${issuer} failed: HTTP 500`]),
    );
  });

  it('warns once about what any caller can cause any number of times', () => {
    for (const name of ['a', 'b']) {
      events.emit({ type: 'key_set.look_up_deferred', issuer, retryAfterSeconds: 5 });
      events.emit({ type: 'issuer.accepted', issuer: name });
      events.emit({ type: 'issuer.denied', issuer: name });
      events.emit({ type: 'issuer.resolution_failed', issuer: name, failures: 1, problem: 'down' });
      events.emit({ type: 'issuer.resolver_overloaded' });
      events.emit({ type: 'issuer.evicted', issuer: name });
    }
    const levels = lines.map((line) => line.split(':')[0]);
    expect(levels.slice(0, 6)).toEqual(['warn', 'log', 'debug', 'warn', 'warn', 'warn']);
    expect(levels.slice(6)).toEqual(['debug', 'log', 'debug', 'debug', 'debug', 'debug']);
    for (let problem = 0; problem < 50; problem++) {
      events.emit({ type: 'issuer.resolution_failed', issuer, failures: 1, problem: `p${problem}` });
    }
    expect(lines.filter((line) => line.startsWith('warn')).length).toBeLessThanOrEqual(20);
  });

  it('in-C9: has few lines about issuers that callers cause to be accepted again and again', () => {
    const tell = (name: string) => {
      events.emit({ type: 'issuer.accepted', issuer: name });
      events.emit({ type: 'key_set.changed', issuer: name, keys: 1 });
      events.emit({ type: 'key_set.key_ignored', issuer: name, kid: 'e', reason: 'not_for_signatures' });
      events.emit({ type: 'key_set.refresh_failed', issuer: name, failures: 1, problem: 'no answer' });
    };
    const written = () => lines.filter((line) => !line.startsWith('debug'));
    tell('tenant');
    expect(written()).toHaveLength(4);
    tell('tenant');
    expect(written()).toHaveLength(4);
    for (let at = 0; at < 3000; at++) tell(`tenant-${at}`);
    expect(written()).toHaveLength(200);
    // Those of the options are not affected.
    events.emit({ type: 'key_set.refresh_failed', issuer, failures: 1, problem: 'no answer' });
    events.emit({ type: 'key_set.refresh_failed', issuer, failures: 1, problem: 'no answer' });
    expect(written()).toHaveLength(202);
  });

  it('has the number of usable keys, and the ignored ones', () => {
    events.emit({ type: 'key_set.changed', issuer, keys: 2 });
    events.emit({ type: 'key_set.key_ignored', issuer, kid: 'old', reason: 'weak' });
    events.emit({ type: 'key_set.key_ignored', issuer, kid: undefined, reason: 'symmetric' });
    events.emit({ type: 'key_set.keys_ignored', issuer, keys: 90 });
    expect(lines).toEqual([
      `log: guard: the keys of ${issuer} changed; usable keys: 2`,
      `warn: guard: ignored a key of ${issuer}: old, weak`,
      `warn: guard: ignored a key of ${issuer}: no kid, symmetric`,
      `warn: guard: ignored 90 keys of ${issuer}`,
    ]);
  });
});
