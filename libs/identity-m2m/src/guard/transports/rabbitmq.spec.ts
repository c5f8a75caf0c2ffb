import { describe, expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import * as microservices from '@nestjs/microservices';
import { catchError, lastValueFrom, type Observable, of, toArray } from 'rxjs';
import { refuse } from '../../verification/refusal.js';
import { AccessDecisions } from '../access-decisions.js';
import type { InboundEvent } from '../inbound-events.js';
import { MessageRefusal } from '../message-handler.js';
import { type Delivered, observeAcknowledgementModes, rabbitmqCredential, RabbitmqTransport } from './rabbitmq.js';
import { observeSharedDeliveries } from './shared-deliveries.js';

const TOKEN = 'eyJh.e30.c2ln';
const expired = refuse('token_expired');
const answer = { code: 'UNAUTHENTICATED', error: 'invalid_token', message: 'The access token is not valid here.' };

/** Records what is settled, as a broker would see it. */
class Channel {
  readonly settled: unknown[][] = [];
  ack = (message: Delivered, allUpTo?: boolean) => void this.settled.push(['ack', message.fields.deliveryTag, allUpTo]);
  nack = (message: Delivered, allUpTo?: boolean, requeue?: boolean) =>
    void this.settled.push(['nack', message.fields.deliveryTag, allUpTo, requeue]);
  reject = (message: Delivered, requeue?: boolean) =>
    void this.settled.push(['reject', message.fields.deliveryTag, requeue]);
  ackAll = () => void this.settled.push(['ackAll']);
  nackAll = (requeue?: boolean) => void this.settled.push(['nackAll', requeue]);
}

interface Handler {
  (data: unknown, context: object): unknown;
  isEventHandler?: boolean;
  next?: Handler;
}

/** An application that consumes messages of a queue. */
function setUp(noAck?: unknown) {
  const event: { first: Handler } = { first: () => undefined };
  class Server {
    readonly noAck = noAck;
    channels: unknown[] = [];
    setupChannel(...args: unknown[]) {
      this.channels.push(args);
      return 'set up';
    }
    getHandlerByPattern(): Handler {
      return event.first;
    }
  }
  const modes = observeAcknowledgementModes(Server);
  observeSharedDeliveries(Server);
  const server = new Server();
  const channel = new Channel();
  const decisions = new AccessDecisions(undefined);
  const events: InboundEvent[] = [];
  decisions.events.subscribe((event) => events.push(event));
  const transport = new RabbitmqTransport(microservices, decisions, modes);
  const messageWith = (deliveryTag: number) => {
    const message = { fields: { deliveryTag } };
    return { message, context: { getMessage: () => message, getChannelRef: () => channel } };
  };
  const refused = (context: object) =>
    transport.refuse(
      { getArgByIndex: (at: number) => [{}, context][at], getHandler: () => () => 1 } as unknown as ExecutionContext,
      expired,
      {},
    );
  /** Delivers a message to two handlers, of which the first one does this. */
  const deliverToTwo = (context: object, call: () => unknown) => {
    event.first = Object.assign(() => call(), { isEventHandler: true, next: () => undefined });
    return server.getHandlerByPattern()({}, context);
  };
  return { server, channel, modes, events, messageWith, refused, deliverToTwo };
}

const deadLettered = { type: 'message.dead_lettered', transport: 'rabbitmq', reason: 'token_expired' };

describe('the credential of a RabbitMQ message', () => {
  it.each([
    [{ authorization: `Bearer ${TOKEN}` }, { ok: true, token: TOKEN }],
    [{ Authorization: `Bearer ${TOKEN}` }, { ok: true, token: TOKEN }],
    [{}, refuse('credential_missing')],
    [undefined, refuse('credential_missing')],
  ])('with the headers %j', (headers, credential) => {
    expect(rabbitmqCredential({ getMessage: () => ({ properties: { headers } }) })).toEqual(credential);
  });

  it('of a message without properties is missing', () => {
    expect(rabbitmqCredential({ getMessage: () => ({}) })).toEqual(refuse('credential_missing'));
  });
});

describe('the acknowledgement mode of a channel', () => {
  it.each<[unknown, string]>([
    [true, 'automatic'],
    [false, 'manual'],
    [undefined, 'unknown'],
    ['false', 'unknown'],
  ])('with noAck: %p is %s, and the server sets its channel up as usual', (noAck, mode) => {
    const { server, channel, modes } = setUp(noAck);
    expect(modes.of(channel)).toBe('unknown');
    expect(server.setupChannel(channel, 'queue')).toBe('set up');
    expect([server.channels, modes.of(channel)]).toEqual([[[channel, 'queue']], mode]);
  });

  it('is recorded once, however often a server is observed', () => {
    const { server } = setUp(true);
    const { setupChannel } = server.constructor.prototype as { setupChannel: unknown };
    observeAcknowledgementModes(server.constructor as never);
    expect((server.constructor.prototype as { setupChannel: unknown }).setupChannel).toBe(setupChannel);
  });

  it('is unknown on servers of other versions', () => {
    expect(observeAcknowledgementModes(class {}).of({})).toBe('unknown');
  });
});

describe('a refused RabbitMQ message', () => {
  it('that is acknowledged when delivered is not settled again', () => {
    const { server, channel, events, messageWith, refused } = setUp(true);
    server.setupChannel(channel);
    const error = refused(messageWith(1).context);
    expect([channel.settled, events]).toEqual([[], []]);
    expect((error as microservices.RpcException).getError()).toEqual(answer);
  });

  it('of another server is left to the filters of the application', () => {
    const { channel, events, messageWith, refused } = setUp();
    const error = refused(messageWith(1).context);
    expect([channel.settled, events]).toEqual([[], [{ ...deadLettered, type: 'message.unsettled' }]]);
    expect((error as microservices.RpcException).getError()).toEqual(answer);
  });

  it('is rejected without requeueing, and its sender gets an answer', () => {
    const { server, channel, events, messageWith, refused } = setUp(false);
    server.setupChannel(channel);
    const error = refused(messageWith(1).context);
    expect([channel.settled, events]).toEqual([[['nack', 1, false, false]], [deadLettered]]);
    expect(error).toBeInstanceOf(MessageRefusal);
    expect((error as MessageRefusal).answer).toEqual(answer);
  });

  it.each([
    ['one was refused', 1, ['handled']],
    ['both were refused', 2, ['handled', answer]],
  ])(
    'of two handlers is rejected once, after both; its sender gets an answer if both were refused: %s',
    async (_what, refusals, replies) => {
      const { server, channel, events, messageWith, refused, deliverToTwo } = setUp(false);
      server.setupChannel(channel);
      const { context } = messageWith(1);
      const result = (await deliverToTwo(context, () => {
        for (let handler = 0; handler < refusals; handler++) {
          expect((refused(context) as MessageRefusal).answer).toBeUndefined();
        }
        return of('handled');
      })) as Observable<unknown>;
      expect(channel.settled).toEqual([]);
      expect(
        await lastValueFrom(
          result.pipe(
            catchError((error: unknown) => of(error)),
            toArray(),
          ),
        ),
      ).toEqual(replies);
      expect([channel.settled, events]).toEqual([[['nack', 1, false, false]], [deadLettered]]);
    },
  );
});

describe('a message of two handlers, of which one is refused', () => {
  type Settle = (channel: Channel, message: Delivered) => void;

  /** Delivers message 2. One of its handlers is refused, the other one settles it like this. */
  async function deliver(settle: Settle) {
    const { server, channel, events, messageWith, refused, deliverToTwo } = setUp(false);
    server.setupChannel(channel);
    server.setupChannel(channel);
    const { context, message } = messageWith(2);
    await deliverToTwo(context, () => {
      refused(context);
      settle(channel, message);
    });
    return { channel, events, message };
  }

  it.each<[string, Settle, unknown[]]>([
    ['acknowledges it', (channel, message) => channel.ack(message), ['ack', 2, undefined]],
    ['acknowledges a copy of it', (channel, message) => channel.ack({ ...message }), ['ack', 2, undefined]],
    ['rejects it', (channel, message) => channel.nack(message, false, true), ['nack', 2, false, true]],
    ['rejects it by reject()', (channel, message) => channel.reject(message, false), ['reject', 2, false]],
    ['acknowledges all up to a later one', (channel) => channel.ack(at(3), true), ['ack', 3, true]],
    ['acknowledges all up to itself', (channel) => channel.ack(at(2), true), ['ack', 2, true]],
    ['rejects all up to a later one', (channel) => channel.nack(at(3), true, false), ['nack', 3, true, false]],
    ['acknowledges all', (channel) => channel.ackAll(), ['ackAll']],
    ['rejects all', (channel) => channel.nackAll(true), ['nackAll', true]],
  ])('is not rejected if the other %s', async (_how, settle, settled) => {
    const { channel, events } = await deliver(settle);
    expect([channel.settled, events]).toEqual([[settled], []]);
  });

  it.each<[string, Settle]>([
    ['acknowledges another message', (channel) => channel.ack(at(3))],
    ['acknowledges all up to an earlier one', (channel) => channel.ack(at(1), true)],
    ['rejects another message', (channel) => channel.reject(at(1), false)],
  ])('is rejected if the other %s', async (_how, settle) => {
    const { channel, events } = await deliver(settle);
    expect([channel.settled.at(-1), events]).toEqual([['nack', 2, false, false], [deadLettered]]);
  });

  it('is not settled by a late handler, which may settle other messages and all up to a later one', async () => {
    const { channel, message } = await deliver(() => undefined);
    channel.ack(message);
    channel.nack({ ...message }, false, true);
    channel.reject(message);
    expect(channel.settled).toEqual([['nack', 2, false, false]]);
    channel.ack(at(1));
    channel.ack(message, true);
    expect(channel.settled.slice(1)).toEqual([
      ['ack', 1, undefined],
      ['ack', 2, true],
    ]);
  });

  it('is rejected if all messages were settled before it was delivered', async () => {
    const { server, channel, events, messageWith, refused, deliverToTwo } = setUp(false);
    server.setupChannel(channel);
    channel.ackAll();
    const { context } = messageWith(2);
    // Until the next tick of the clock, which the delivery has to be after.
    for (const since = performance.now(); performance.now() === since;);
    await deliverToTwo(context, () => void refused(context));
    expect([channel.settled, events]).toEqual([[['ackAll'], ['nack', 2, false, false]], [deadLettered]]);
  });
});

function at(deliveryTag: number): Delivered {
  return { fields: { deliveryTag } };
}
