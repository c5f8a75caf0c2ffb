import { describe, expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import * as microservices from '@nestjs/microservices';
import { lastValueFrom, type Observable, of } from 'rxjs';
import { type Refusal, refuse } from '../../verification/refusal.js';
import { AccessDecisions } from '../access-decisions.js';
import type { InboundEvent } from '../inbound-events.js';
import { MessageRefusal } from '../message-handler.js';
import { kafkaCredential, KafkaTransport } from './kafka.js';
import { observeSharedDeliveries } from './shared-deliveries.js';

const TOKEN = 'eyJh.e30.c2ln';
const expired = refuse('token_expired');
const undecided = refuse('issuer_unavailable');
const skipped = { type: 'message.skipped', transport: 'kafka', reason: 'token_expired' };
const retried = { type: 'message.retried', transport: 'kafka', reason: 'issuer_unavailable' };

class Handlers {
  @microservices.EventPattern('event')
  event(_data: unknown) {}

  @microservices.MessagePattern('message')
  message(_data: unknown) {}
}

const kafkaContext = (headers: object = {}) => ({ getMessage: () => ({ headers }) });

function setUp() {
  const decisions = new AccessDecisions(undefined);
  const events: InboundEvent[] = [];
  decisions.events.subscribe((event) => events.push(event));
  const transport = new KafkaTransport(microservices, decisions);
  const refused = (refusal: Refusal, context: object, handler: keyof Handlers = 'event') =>
    transport.refuse(
      {
        getArgByIndex: (at: number) => [{}, context][at],
        getHandler: () => Handlers.prototype[handler],
      } as unknown as ExecutionContext,
      refusal,
      {},
    );
  return { events, refused };
}

describe('the credential of a Kafka message', () => {
  it.each([
    [{ authorization: `Bearer ${TOKEN}` }, { ok: true, token: TOKEN }],
    [{ Authorization: `Bearer ${TOKEN}` }, { ok: true, token: TOKEN }],
    [{ authorization: `Bearer ${TOKEN},Bearer ${TOKEN}` }, refuse('credential_malformed')],
    [{ authorization: null }, refuse('credential_malformed')],
    [{}, refuse('credential_missing')],
    [undefined, refuse('credential_missing')],
  ])('with the headers %j', (headers, credential) => {
    expect(kafkaCredential({ getMessage: () => ({ ...(headers && { headers }) }) })).toEqual(credential);
  });
});

describe('a refused Kafka message', () => {
  const reply = { kafka_correlationId: '1', kafka_replyTopic: 'replies' };

  it('is answered if its sender waits for a reply', () => {
    const { events, refused } = setUp();
    const error = refused(expired, kafkaContext(reply), 'message');
    expect(error).toBeInstanceOf(microservices.RpcException);
    expect((error as microservices.RpcException).getError()).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(events).toEqual([]);
  });

  it.each<[string, object, keyof Handlers]>([
    ['an event', reply, 'event'],
    ['a message without a correlation id', { kafka_replyTopic: 'replies' }, 'message'],
    ['a message without a reply topic', { kafka_correlationId: '1' }, 'message'],
    ['a message without headers', {}, 'message'],
  ])('is skipped if its sender waits for none: %s', (_what, headers, handler) => {
    const { events, refused } = setUp();
    expect(refused(expired, kafkaContext(headers), handler)).toEqual(new MessageRefusal(undefined));
    expect(events).toEqual([skipped]);
  });

  it('is delivered again if the guard could not decide', () => {
    const { events, refused } = setUp();
    const error = refused(undecided, kafkaContext());
    expect(error).toBeInstanceOf(microservices.KafkaRetriableException);
    expect(error.message).toBe('The access token cannot be verified at the moment. Try again later.');
    expect(events).toEqual([retried]);
  });
});

describe('a Kafka message with two handlers', () => {
  /** Delivers a message whose handlers are refused for these reasons. Returns the error of the delivery. */
  async function deliver(...refusals: readonly Refusal[]) {
    const { events, refused } = setUp();
    const both = () => {
      for (const refusal of refusals) {
        expect(refused(refusal, context)).toEqual(new MessageRefusal(undefined));
      }
      expect(events).toEqual([]);
      return of('handled');
    };
    const first = Object.assign(both, { isEventHandler: true, next: () => undefined });
    class Server {
      getHandlerByPattern(): (data: unknown, context: object) => unknown {
        return first;
      }
    }
    observeSharedDeliveries(Server);
    const context = kafkaContext();
    const result = (await new Server().getHandlerByPattern()({}, context)) as Observable<unknown>;
    const error: unknown = await lastValueFrom(result).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { error, events };
  }

  it.each<[string, readonly Refusal[], unknown[]]>([
    ['not skipped, if one is allowed', [expired], []],
    ['skipped, if both are refused', [expired, refuse('key_unknown')], [skipped]],
  ])('is %s', async (_what, refusals, expected) => {
    const { error, events } = await deliver(...refusals);
    expect([error, events]).toEqual([undefined, expected]);
  });

  it.each([[[undecided]], [[expired, undecided]], [[undecided, expired]]])(
    'is delivered again after both, if the guard could not decide about one: %j',
    async (refusals) => {
      const { error, events } = await deliver(...refusals);
      expect(error).toBeInstanceOf(microservices.KafkaRetriableException);
      expect(events).toEqual([retried]);
    },
  );
});
