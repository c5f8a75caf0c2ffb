import type { ExecutionContext, Type } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { CredentialExtractor } from '../../config/credential-extractor.js';
import type { MicroservicesPackage } from '../../nest/packages.js';
import { type Refusal, refuse } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { AccessDecisions } from '../access-decisions.js';
import { type Credential, soleCredential } from '../credential.js';
import { refusalAnswer } from '../refusal-answer.js';
import { grpcCallOf, GrpcTransport } from './grpc.js';
import { type CredentialHeader, httpException, HttpTransport } from './http.js';
import { ContextTransport, type InboundTransport } from './inbound-transport.js';
import { KafkaTransport } from './kafka.js';
import { MessageTransport, mqttCredential, natsCredential, type PacketContext, packetCredential } from './message.js';
import { observeAcknowledgementModes, RabbitmqTransport } from './rabbitmq.js';
import { observeSharedDeliveries } from './shared-deliveries.js';

export interface InboundTransportsOptions {
  readonly decisions: AccessDecisions;
  readonly adapterHost: HttpAdapterHost;
  /** undefined if the application has no messages. */
  readonly microservices: MicroservicesPackage | undefined;
  readonly extractors: readonly CredentialExtractor[];
  /** Default: `Authorization: Bearer`. */
  readonly tokenHeader: CredentialHeader | undefined;
  /** `realm` of the challenges (RFC 9110 §11.5). */
  readonly realm: string | undefined;
}

type ContextClass = abstract new (...args: never[]) => object;

/** A transport for each class of context, the argument after the payload. */
type TransportsByContext = readonly (readonly [ContextClass, InboundTransport])[];

/** Every way in which calls with a credential reach this application. */
export class InboundTransports {
  readonly #external: TransportsByContext;
  readonly #grpc: InboundTransport | undefined;
  readonly #unknown: InboundTransport | undefined;
  readonly #custom: TransportsByContext;
  readonly #ofNest: TransportsByContext;

  constructor(private readonly options: InboundTransportsOptions) {
    const { decisions, microservices, extractors, realm } = options;
    this.#external = extractors.map((one) => [one.context, new ExternalTransport(one.transport, reader(one))]);
    this.#grpc = microservices && new GrpcTransport(microservices, realm);
    this.#unknown = microservices && new MessageTransport('unknown', microservices, () => refuse('transport_unknown'));
    this.#custom = microservices
      ? extractors.map((one) => [one.context, new MessageTransport(one.transport, microservices, reader(one))])
      : [];
    this.#ofNest = microservices ? nestTransports(microservices, decisions) : [];
  }

  /** Creates the transport of requests that Nest's router handles. */
  createHttp(): InboundTransport {
    const { adapterHost, realm, tokenHeader } = this.options;
    return new HttpTransport(adapterHost, realm, tokenHeader);
  }

  /**
   * Finds the transport of a call that Nest's router does not handle; undefined if no part of the call may be read. A
   * message whose credential can't be read has a transport that refuses it.
   */
  of(context: ExecutionContext): InboundTransport | undefined {
    const type: string = context.getType();
    if (type === 'rpc') return this.#ofMessage(context) ?? this.#unknown;
    // The second argument of a WebSocket handler is its payload, and that of a resolver holds its parameters.
    return type === 'ws' || type === 'graphql' ? undefined : soleTransport(transportsOf(context, this.#external));
  }

  /**
   * Returns why no message of a server can carry a credential, and what to do, for the log; undefined if messages can,
   * even if only by an extractor of the application.
   */
  noCredentialReason(server: object): string | undefined {
    const { microservices, extractors } = this.options;
    const [reason, context] = microservices ? noCredentialCase(server, microservices) : [undefined];
    const isRead = extractors.some((one) => one.context === context || context?.prototype instanceof one.context);
    return isRead ? undefined : reason;
  }

  #ofMessage(context: ExecutionContext): InboundTransport | undefined {
    const custom = transportsOf(context, this.#custom);
    if (custom.length > 0) return soleTransport(custom);
    return transportsOf(context, this.#ofNest)[0] ?? (grpcCallOf(context) ? this.#grpc : undefined);
  }
}

/**
 * Calls through `ExternalContextCreator`, by which libraries such as `@golevelup/nestjs-rabbitmq` run handlers outside
 * of Nest's own transports.
 *
 * Refuses with HTTP exceptions, as Nest itself does there. The library decides what happens to a refused message.
 */
class ExternalTransport extends ContextTransport<object> {
  refuse(_context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    return httpException(refusalAnswer(refusal, policy));
  }
}

function reader(extractor: CredentialExtractor): (context: object) => Credential {
  return (context) => soleCredential([...extractor.authorization(context)]);
}

/** Looks at the argument after the payload, never at the payload. */
function transportsOf(context: ExecutionContext, transports: TransportsByContext): InboundTransport[] {
  const beside = context.getArgByIndex<unknown>(1);
  if (typeof beside !== 'object' || beside === null) return [];
  return transports.flatMap(([contextClass, transport]) => (beside instanceof contextClass ? [transport] : []));
}

/** Returns none of several transports: with two extractors for one call, their order would decide. */
function soleTransport(transports: readonly InboundTransport[]): InboundTransport | undefined {
  return transports.length === 1 ? transports[0] : undefined;
}

function nestTransports(nest: MicroservicesPackage, decisions: AccessDecisions): TransportsByContext {
  const modes = observeAcknowledgementModes(nest.ServerRMQ);
  for (const server of [nest.ServerRMQ, nest.ServerKafka]) observeSharedDeliveries(server);
  return [
    [nest.TcpContext, new MessageTransport('tcp', nest, packetCredential)],
    [nest.RedisContext, new MessageTransport('redis', nest, packetCredential)],
    [nest.NatsContext, new MessageTransport('nats', nest, natsCredential)],
    [nest.MqttContext, new MessageTransport('mqtt', nest, mqttCredential)],
    [nest.RmqContext, new RabbitmqTransport(nest, decisions, modes)],
    [nest.KafkaContext, new KafkaTransport(nest, decisions)],
  ];
}

/** Messages without a place for a credential: packets before Nest 12.1, and MQTT before version 5. */
function noCredentialCase(server: object, nest: MicroservicesPackage): [string | undefined, Type<object>?] {
  if (server instanceof nest.ServerTCP) return [packetReason('TCP', nest.TcpContext), nest.TcpContext];
  if (server instanceof nest.ServerRedis) return [packetReason('Redis', nest.RedisContext), nest.RedisContext];
  if (server instanceof nest.ServerMqtt) return [mqttReason(server), nest.MqttContext];
  return [undefined];
}

function packetReason(transport: string, context: Type<PacketContext>): string | undefined {
  if (typeof (context.prototype as PacketContext).getMetadata === 'function') return undefined;
  return `by ${transport}: this version of @nestjs/microservices drops the metadata of packets, where the token is. Use version 12.1 or later on both sides, or another transport`;
}

function mqttReason({ options }: { readonly options?: { readonly protocolVersion?: unknown } }): string | undefined {
  if (options?.protocolVersion === 5) return undefined;
  return 'by MQTT: only messages of MQTT 5 have user properties, where the token is. Set protocolVersion: 5 on both sides';
}
