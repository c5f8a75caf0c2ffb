import type { ExecutionContext } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { CredentialExtractor } from '../../config/credential-extractor.js';
import { refuse } from '../../verification/refusal.js';
import { soleCredential } from '../credential.js';
import type { InboundDecisions } from '../inbound-decisions.js';
import type { MicroservicesPackage } from '../microservices-package.js';
import { observeAcknowledgementModes } from '../rabbitmq-acknowledgement.js';
import { grpcCallOf, GrpcTransport } from './grpc-metadata.js';
import { HttpTransport } from './http-transport.js';
import type { InboundTransport } from './inbound-transport.js';
import { KafkaTransport } from './kafka-headers.js';
import { MessageTransport } from './message-transport.js';
import { mqttCredential } from './mqtt-user-properties.js';
import { natsCredential } from './nats-headers.js';
import { packetCredential } from './packet-metadata.js';
import { RabbitmqTransport } from './rabbitmq-headers.js';

export interface InboundTransportsOptions {
  readonly decisions: InboundDecisions;
  readonly adapterHost: HttpAdapterHost;
  /** undefined where the application has no messages. */
  readonly microservices: MicroservicesPackage | undefined;
  readonly extractors: readonly CredentialExtractor[];
}

type ContextClass = abstract new (...args: never[]) => object;

/** Every way that calls can come into this application with a credential. */
export class InboundTransports {
  readonly #http: InboundTransport;
  readonly #grpc: InboundTransport | undefined;
  readonly #unknown: InboundTransport | undefined;
  readonly #byContext: readonly (readonly [ContextClass, InboundTransport])[];

  constructor({ decisions, adapterHost, microservices, extractors }: InboundTransportsOptions) {
    this.#http = new HttpTransport(adapterHost, decisions.realm);
    this.#grpc = microservices && new GrpcTransport(microservices, decisions.realm);
    this.#unknown = microservices && new MessageTransport('unknown', microservices, () => refuse('transport_unknown'));
    this.#byContext = microservices
      ? [...customTransports(microservices, extractors), ...nestTransports(microservices, decisions)]
      : [];
  }

  /**
   * The way that a call came; undefined where it is neither HTTP nor a message. A message that nobody said how to read
   * comes by one that refuses it.
   */
  of(context: ExecutionContext): InboundTransport | undefined {
    const type: string = context.getType();
    if (type === 'http') return this.#http;
    if (type !== 'rpc') return undefined;
    const carrier = context.getArgByIndex<unknown>(1);
    const known = this.#byContext.find(([contextClass]) => carrier instanceof contextClass);
    return known?.[1] ?? (grpcCallOf(context) ? this.#grpc : this.#unknown);
  }
}

function customTransports(
  microservices: MicroservicesPackage,
  extractors: readonly CredentialExtractor[],
): (readonly [ContextClass, InboundTransport])[] {
  return extractors.map((extractor) => [
    extractor.context,
    new MessageTransport(extractor.transport, microservices, (context) =>
      soleCredential([...extractor.authorization(context)]),
    ),
  ]);
}

function nestTransports(
  nest: MicroservicesPackage,
  decisions: InboundDecisions,
): (readonly [ContextClass, InboundTransport])[] {
  const modes = observeAcknowledgementModes(nest.ServerRMQ);
  return [
    [nest.TcpContext, new MessageTransport('tcp', nest, packetCredential)],
    [nest.RedisContext, new MessageTransport('redis', nest, packetCredential)],
    [nest.NatsContext, new MessageTransport('nats', nest, natsCredential)],
    [nest.MqttContext, new MessageTransport('mqtt', nest, mqttCredential)],
    [nest.RmqContext, new RabbitmqTransport(nest, decisions, modes)],
    [nest.KafkaContext, new KafkaTransport(nest, decisions)],
  ];
}
