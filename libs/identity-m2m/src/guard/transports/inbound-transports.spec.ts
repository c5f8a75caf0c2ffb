import { describe, expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import * as microservices from '@nestjs/microservices';
import type { CredentialExtractor } from '../../config/credential-extractor.js';
import { refuse } from '../../verification/refusal.js';
import { AccessDecisions } from '../access-decisions.js';
import { InboundTransports, type InboundTransportsOptions } from './inbound-transports.js';

const TOKEN = 'eyJh.e30.c2ln';

class Delivery {
  authorization: string[] = [`Bearer ${TOKEN}`];
}
class SpecialDelivery extends Delivery {}

const extractorOf = (context: CredentialExtractor['context'], transport: string): CredentialExtractor => ({
  context,
  transport,
  authorization: (delivery) => (delivery as Delivery).authorization,
});

function transportsWith(options: Partial<InboundTransportsOptions> = {}): InboundTransports {
  return new InboundTransports({
    decisions: new AccessDecisions(undefined),
    adapterHost: { httpAdapter: { setHeader: () => undefined } } as unknown as HttpAdapterHost,
    microservices,
    extractors: [],
    tokenHeader: undefined,
    realm: undefined,
    ...options,
  });
}

const contextOf = (type: string, ...args: unknown[]) =>
  ({
    getType: () => type,
    getArgs: () => args,
    getArgByIndex: (index: number) => args[index],
    getHandler: () => () => undefined,
  }) as unknown as ExecutionContext;

/** An object of a class, without its state. */
const one = ({ prototype }: { readonly prototype: object }) => Object.create(prototype) as object;
const grpcMetadata = { get: () => [] };
const grpcCall = { metadata: grpcMetadata, getPeer: () => 'peer' };

describe('the transport of a call that Nest’s router does not handle', () => {
  const delivery = extractorOf(Delivery, 'delivery');
  const special = extractorOf(SpecialDelivery, 'special');

  it.each<[string, string, unknown[], readonly CredentialExtractor[], string | undefined]>([
    ['TCP', 'rpc', [{}, one(microservices.TcpContext)], [], 'tcp'],
    ['Redis', 'rpc', [{}, one(microservices.RedisContext)], [], 'redis'],
    ['NATS', 'rpc', [{}, one(microservices.NatsContext)], [], 'nats'],
    ['MQTT', 'rpc', [{}, one(microservices.MqttContext)], [], 'mqtt'],
    ['RabbitMQ', 'rpc', [{}, one(microservices.RmqContext)], [], 'rabbitmq'],
    ['Kafka', 'rpc', [{}, one(microservices.KafkaContext)], [], 'kafka'],
    ['gRPC', 'rpc', [{}, grpcMetadata, grpcCall], [], 'grpc'],
    ['a message with a context of another class', 'rpc', [{}, new Delivery()], [], 'unknown'],
    ['a message with an extractor', 'rpc', [{}, new Delivery()], [delivery], 'delivery'],
    ['a message with an extractor for its base class', 'rpc', [{}, new SpecialDelivery()], [delivery], 'delivery'],
    ['a message with two extractors', 'rpc', [{}, new SpecialDelivery()], [delivery, special], 'unknown'],
    ['a message whose payload has the class of a context', 'rpc', [new Delivery(), {}], [delivery], 'unknown'],
    ['a call of a library with an extractor', 'http', [{}, new Delivery()], [delivery], 'delivery'],
    ['a call of a library with two extractors', 'http', [{}, new SpecialDelivery()], [delivery, special], undefined],
    ['a call of a library without an extractor', 'http', [{}, new Delivery()], [], undefined],
    ['a call of a library with the context of a message', 'http', [{}, one(microservices.TcpContext)], [], undefined],
    ['a WebSocket message with an extractor', 'ws', [{}, new Delivery()], [delivery], undefined],
    ['a GraphQL operation with an extractor', 'graphql', [{}, new Delivery()], [delivery], undefined],
  ])('is found for %s', (_what, type, args, extractors, name) => {
    expect(transportsWith({ extractors }).of(contextOf(type, ...args))?.name).toBe(name);
  });

  it('refuses a message whose credential it can’t read', () => {
    const context = contextOf('rpc', {}, new Delivery());
    expect(transportsWith().of(context)!.read(context)).toEqual(refuse('transport_unknown'));
  });

  it('does not exist for messages in an application without them', () => {
    const transports = transportsWith({ microservices: undefined, extractors: [delivery] });
    expect(transports.of(contextOf('rpc', {}, one(microservices.TcpContext)))).toBeUndefined();
    expect(transports.of(contextOf('rpc', {}, new Delivery()))).toBeUndefined();
  });
});

describe('the credential that an extractor reads', () => {
  const contextWith = (authorization: unknown) => {
    const delivery = Object.assign(new Delivery(), { authorization });
    return contextOf('http', {}, delivery);
  };
  const read = (authorization: unknown) => {
    const context = contextWith(authorization);
    return transportsWith({ extractors: [extractorOf(Delivery, 'delivery')] })
      .of(context)!
      .read(context);
  };

  it.each([
    [[`Bearer ${TOKEN}`], { ok: true, token: TOKEN }],
    [[`Bearer ${TOKEN}`, `Bearer ${TOKEN}`], refuse('credential_repeated')],
    [[], refuse('credential_missing')],
    // The extractor's result is not iterable.
    [5, refuse('credential_malformed')],
  ])('is the only one of %j', (authorization, credential) => {
    expect(read(authorization)).toEqual(credential);
  });

  it('is refused by an exception of HTTP if a library calls the handler', () => {
    const context = contextWith([]);
    const transport = transportsWith({ extractors: [extractorOf(Delivery, 'delivery')] }).of(context)!;
    const policy = { scopes: ['a', 'b'], scopesMode: 'any' } as const;
    expect(transport.refuse(context, refuse('scope_insufficient'), policy)).toMatchObject({
      name: 'ForbiddenException',
      response: { statusCode: 403, message: 'The access token needs one of the scopes: a b.' },
    });
  });
});

describe('a server whose messages carry no credential', () => {
  const serverOf = (server: { readonly prototype: object }, options: object = {}) =>
    Object.assign(one(server), { options });

  it.each<[string, object, readonly CredentialExtractor[], RegExp | undefined]>([
    ['MQTT 3.1.1', serverOf(microservices.ServerMqtt), [], /^by MQTT: only messages of MQTT 5/],
    ['MQTT 5', serverOf(microservices.ServerMqtt, { protocolVersion: 5 }), [], undefined],
    ['MQTT with an extractor', serverOf(microservices.ServerMqtt), [extractorOf(microservices.MqttContext, 'mqtt')], undefined], // prettier-ignore
    ['MQTT with one for all contexts', serverOf(microservices.ServerMqtt), [extractorOf(microservices.BaseRpcContext, 'any')], undefined], // prettier-ignore
    ['MQTT with one for others', serverOf(microservices.ServerMqtt), [extractorOf(microservices.NatsContext, 'nats')], /^by MQTT/], // prettier-ignore
    ['NATS', serverOf(microservices.ServerNats), [], undefined],
    ['another strategy', {}, [], undefined],
  ])('is named with the reason: %s', (_what, server, extractors, reason) => {
    const found = transportsWith({ extractors }).noCredentialReason(server);
    if (reason) expect(found).toMatch(reason);
    else expect(found).toBeUndefined();
  });

  it('can’t exist in an application without messages', () => {
    const server = serverOf(microservices.ServerMqtt);
    expect(transportsWith({ microservices: undefined }).noCredentialReason(server)).toBeUndefined();
  });
});
