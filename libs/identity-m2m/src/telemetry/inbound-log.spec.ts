import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { EventStream } from '../foundation/event-stream.js';
import type { InboundEvent } from '../guard/inbound-events.js';
import type { RefusalReason, RefusalDetail } from '../verification/refusal.js';
import type { VerificationEvent } from '../verification/verification-events.js';
import { logInboundEvents, logVerificationEvents } from './inbound-log.js';
import { recordLog } from '../../../../test/support/recorded-log.js';

let lines: string[];

beforeEach(() => {
  lines = recordLog();
});
afterEach(() => Logger.overrideLogger(false));

const caller = { clientId: 'billing', issuer: 'https://id.example', tokenFingerprint: 'abc' };
const nobody = { clientId: undefined, issuer: undefined, tokenFingerprint: undefined };
const accepted: InboundEvent = { type: 'caller.accepted', transport: 'http', ...caller };
const refused = (reason: RefusalReason, who: typeof caller | typeof nobody = nobody, detail: RefusalDetail = {}) => ({
  type: 'caller.refused' as const,
  transport: 'tcp',
  route: 'UsersController.create',
  reason,
  claim: detail.claim,
  found: detail.found,
  expected: detail.expected,
  ...who,
});
const loud = () => lines.filter((line) => !line.startsWith('debug: '));

describe('the log of the guard', () => {
  let events: EventStream<InboundEvent>;
  beforeEach(() => {
    events = new EventStream();
    logInboundEvents(events);
  });

  it('has a debug line for each refusal, with the token’s fingerprint and the client, and none for accepted calls', () => {
    for (const event of [
      accepted,
      refused('credential_missing'),
      refused('token_expired', { ...nobody, tokenFingerprint: 'abc' } as never),
      refused('scope_insufficient', caller),
    ]) {
      events.emit(event);
    }
    expect(lines).toEqual([
      'debug: guard refused TCP UsersController.create: credential_missing',
      'debug: guard refused TCP UsersController.create: token_expired; token abc',
      'debug: guard refused TCP UsersController.create: scope_insufficient; client billing, token abc',
    ]);
  });

  it('has a debug line for each refused message that was settled', () => {
    for (const event of [
      { type: 'message.skipped', transport: 'kafka', reason: 'token_expired' },
      { type: 'message.retried', transport: 'kafka', reason: 'issuer_unavailable' },
      { type: 'message.dead_lettered', transport: 'rabbitmq', reason: 'token_expired' },
    ] as const) {
      events.emit(event);
    }
    expect(lines).toEqual([
      'debug: guard skipped a Kafka message: token_expired',
      'debug: guard retried a Kafka message: issuer_unavailable',
      'debug: guard dead-lettered a RabbitMQ message: token_expired',
    ]);
  });

  it('names the wrong claim, its value and the expected one', () => {
    for (const detail of [
      { claim: 'aud', found: '"a"', expected: '"b"' },
      { claim: 'aud', expected: '"b"' },
      { found: '20000 characters', expected: 'at most 16384' },
      { expected: 'introspection of its issuer' },
    ]) {
      events.emit({ ...refused('audience_mismatch', nobody, detail), transport: 'http', route: 'GET /users' });
    }
    events.emit({ ...refused('transport_unknown'), transport: 'constructor', route: undefined });
    expect(lines).toEqual([
      'debug: guard refused HTTP GET /users: audience_mismatch (aud "a", expected "b")',
      'debug: guard refused HTTP GET /users: audience_mismatch (no aud, expected "b")',
      'debug: guard refused HTTP GET /users: audience_mismatch (20000 characters, expected at most 16384)',
      'debug: guard refused HTTP GET /users: audience_mismatch (expected introspection of its issuer)',
      'debug: guard refused constructor: transport_unknown',
    ]);
  });

  it('has no line above debug level for what any caller can cause, with and without keys', () => {
    for (let times = 0; times < 3; times++) {
      events.emit(refused('issuer_unavailable'));
      events.emit(accepted);
    }
    expect(lines).toHaveLength(3);
    expect(loud()).toEqual([]);
  });

  it('warns once about valid messages that may be lost', () => {
    const deadLettered = (reason: RefusalReason) =>
      events.emit({ type: 'message.dead_lettered', transport: 'rabbitmq', reason });
    deadLettered('token_expired');
    expect(loud()).toEqual([]);
    for (let times = 0; times < 3; times++) deadLettered('issuer_unavailable');
    expect(loud()).toEqual([expect.stringMatching(/^warn: guard: RabbitMQ messages that the guard cannot decide on/)]);
  });

  it('warns once about messages that stay unsettled', () => {
    for (let times = 0; times < 3; times++) {
      events.emit({ type: 'message.unsettled', transport: 'rabbitmq', reason: 'credential_missing' });
    }
    expect(loud()).toEqual([expect.stringMatching(/^warn: guard: refused messages of RabbitMQ stay unsettled/)]);
  });
});

describe('the log of verification events', () => {
  const issuer = 'https://id.example';
  let events: EventStream<VerificationEvent>;
  beforeEach(() => {
    events = new EventStream();
    logVerificationEvents(events);
  });

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
      `log: guard: read new keys of ${issuer}; usable keys: 2`,
      `warn: guard: ignored a key of ${issuer}: old, weak`,
      `warn: guard: ignored a key of ${issuer}: no kid, symmetric`,
      `warn: guard: ignored 90 keys of ${issuer}`,
    ]);
  });
});
