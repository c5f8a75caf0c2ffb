import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { EventStream } from '../foundation/event-stream.js';
import type { InboundEvent } from '../guard/inbound-events.js';
import type { RefusalReason, RefusalDetail } from '../verification/refusal.js';
import { logInboundEvents } from './inbound-log.js';
import { recordLog } from '../../../../test/support/recorded-log.js';

let lines: string[];
let events: EventStream<InboundEvent>;

beforeEach(() => {
  lines = recordLog();
  events = new EventStream();
  logInboundEvents(events);
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
  it('has a debug line for each refusal, with the token’s fingerprint and the client, and none for accepted calls', () => {
    for (const event of [
      accepted,
      refused('credential_missing'),
      refused('token_expired', { ...nobody, tokenFingerprint: 'abc' } as never),
      refused('scope_insufficient', caller),
      { type: 'message.skipped', transport: 'kafka', reason: 'token_expired' } as const,
    ]) {
      events.emit(event);
    }
    expect(lines).toEqual([
      'debug: guard refused TCP UsersController.create: credential_missing',
      'debug: guard refused TCP UsersController.create: token_expired; token abc',
      'debug: guard refused TCP UsersController.create: scope_insufficient; client billing, token abc',
      'debug: guard: message.skipped by kafka: token_expired',
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
