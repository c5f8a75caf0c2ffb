import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { CredentialExtractor } from '../../config/credential-extractor.js';
import { refuse } from '../../verification/refusal.js';
import { type Credential, soleCredential } from '../credential.js';
import type { HandlerRules } from '../handler-access.js';
import { type TokenHeader, HttpTransport } from './http.js';
import type { AccessDecisions } from '../access-decisions.js';
import type { MicroservicesPackage } from '../../nest/packages.js';
import { muteness } from './mute-servers.js';
import { observeAcknowledgementModes, RabbitmqTransport } from './rabbitmq.js';
import { observeSharedDeliveries } from './shared-deliveries.js';
import { ExternalTransport } from './external.js';
import { grpcCallOf, GrpcTransport } from './grpc.js';
import type { InboundTransport } from './inbound-transport.js';
import { KafkaTransport } from './kafka.js';
import { MessageTransport, mqttCredential, natsCredential, packetCredential } from './message.js';

export interface InboundTransportsOptions {
  readonly decisions: AccessDecisions;
  readonly adapterHost: HttpAdapterHost;
  /** undefined where the application has no messages. */
  readonly microservices: MicroservicesPackage | undefined;
  readonly extractors: readonly CredentialExtractor[];
  /** undefined: `Authorization: Bearer`. */
  readonly tokenHeader: TokenHeader | undefined;
}

type ContextClass = abstract new (...args: never[]) => object;

/** A transport for each class of what stands beside the payload. */
type TransportsByContext = readonly (readonly [ContextClass, InboundTransport])[];

/** Every way that calls can come into this application with a credential. */
export class InboundTransports {
  readonly #http: InboundTransport;
  readonly #external: TransportsByContext;
  readonly #grpc: InboundTransport | undefined;
  readonly #unknown: InboundTransport | undefined;
  readonly #custom: TransportsByContext;
  readonly #ofNest: TransportsByContext;
  readonly #mutenessOf: (server: object) => string | undefined;

  constructor({ decisions, adapterHost, microservices, extractors, tokenHeader }: InboundTransportsOptions) {
    const { realm } = decisions;
    this.#http = new HttpTransport(adapterHost, realm, tokenHeader);
    this.#external = extractors.map((one) => [one.context, new ExternalTransport(one.transport, reader(one))]);
    this.#grpc = microservices && new GrpcTransport(microservices, realm);
    this.#unknown = microservices && new MessageTransport('unknown', microservices, () => refuse('transport_unknown'));
    this.#custom = microservices
      ? extractors.map((one) => [one.context, new MessageTransport(one.transport, microservices, reader(one))])
      : [];
    this.#ofNest = microservices ? nestTransports(microservices, decisions) : [];
    this.#mutenessOf = (server) => microservices && muteness(server, microservices, extractors);
  }

  /**
   * Finds the way that a call came; undefined where nothing of it may be read. A message that no reader knows comes by a
   * transport that refuses it.
   */
  of(context: ExecutionContext, { isRoute }: HandlerRules): InboundTransport | undefined {
    const type: string = context.getType();
    if (type === 'http' && isRoute) return this.#http;
    if (type === 'rpc') return this.#ofMessage(context) ?? this.#unknown;
    // The second argument of a WebSocket handler is its payload, and that of a resolver holds its parameters.
    return type === 'ws' || type === 'graphql' ? undefined : soleTransport(transportsOf(context, this.#external));
  }

  /** Why no message of a server can have a credential, and what to do about it; undefined where it can. */
  mutenessOf(server: object): string | undefined {
    return this.#mutenessOf(server);
  }

  #ofMessage(context: ExecutionContext): InboundTransport | undefined {
    const custom = transportsOf(context, this.#custom);
    if (custom.length > 0) return soleTransport(custom);
    return transportsOf(context, this.#ofNest)[0] ?? (grpcCallOf(context) ? this.#grpc : undefined);
  }
}

function reader(extractor: CredentialExtractor): (context: object) => Credential {
  return (context) => soleCredential([...extractor.authorization(context)]);
}

/** Looks at what stands beside the payload, and never at the payload. */
function transportsOf(context: ExecutionContext, transports: TransportsByContext): InboundTransport[] {
  const beside = context.getArgByIndex<unknown>(1);
  if (typeof beside !== 'object' || beside === null) return [];
  return transports.flatMap(([contextClass, transport]) => (beside instanceof contextClass ? [transport] : []));
}

/** With two extractors for one call, which of them is asked would be a matter of their order. */
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
