import type { ExecutionContext } from '@nestjs/common';
import type { MicroservicesPackage } from '../../nest/packages.js';
import { type Refusal, refuse } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import { type Credential, credentialIn } from '../credential.js';
import { isEventHandler, MessageRefusal } from '../message-handler.js';
import { refusalAnswer, rpcAnswer } from '../refusal-answer.js';
import { ContextTransport } from './inbound-transport.js';

/** A transport of `@nestjs/microservices`, or a custom strategy of the application. */
export class MessageTransport<Context extends object> extends ContextTransport<Context> {
  constructor(
    name: string,
    protected readonly microservices: MicroservicesPackage,
    credentialOf: (context: Context) => Credential,
  ) {
    super(name, credentialOf);
  }

  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    if (isEventHandler(context)) return new MessageRefusal(undefined);
    return new this.microservices.RpcException(rpcAnswer(refusalAnswer(refusal, policy)));
  }
}

/** The contexts of TCP and Redis. Nest 11 drops the metadata of packets, and the credential with it. */
export interface PacketContext {
  getMetadata?(): unknown;
}

/** TCP and Redis: reads `metadata.authorization` of Nest's packet. The sender may have put any JSON there. */
export function packetCredential(context: PacketContext): Credential {
  const metadata = context.getMetadata?.();
  if (metadata === undefined || metadata === null) return refuse('credential_missing');
  if (typeof metadata !== 'object' || Array.isArray(metadata)) return refuse('credential_malformed');
  return credentialIn(Object.entries(metadata));
}

export interface NatsContext {
  getHeaders(): NatsHeaders | undefined;
}

/** Headers of each of NATS's packages for Node.js. */
export interface NatsHeaders {
  keys(): readonly string[];
  /** Returns the values of exactly this name. */
  values(name: string): readonly string[];
}

/**
 * NATS: reads the header `authorization`.
 *
 * Names of NATS headers are case-sensitive, so a message can carry `authorization` and `Authorization`: these are two
 * credentials.
 */
export function natsCredential(context: NatsContext): Credential {
  const headers = context.getHeaders();
  if (!headers) return refuse('credential_missing');
  return credentialIn(headers.keys().flatMap((name) => headers.values(name).map((value) => [name, value] as const)));
}

export interface MqttContext {
  getPacket(): { readonly properties?: { readonly userProperties?: object } };
}

/**
 * MQTT 5: reads the user property `authorization` (MQTT 5 §3.3.2.3.7). MQTT 3.1.1 has no properties, so its messages
 * carry no credential. A repeated property arrives as a list: more than one credential.
 */
export function mqttCredential(context: MqttContext): Credential {
  const properties = context.getPacket().properties?.userProperties;
  return properties ? credentialIn(Object.entries(properties)) : refuse('credential_missing');
}
