import {
  ClientKafka,
  ClientMqtt,
  ClientNats,
  ClientRedis,
  ClientRMQ,
  ClientTCP,
  MqttRecord,
  NatsRecord,
  type ReadPacket,
  RmqRecord,
} from '@nestjs/microservices';
import { ClientProxyConfigurationError } from './client-proxy-configuration-error.js';
import { packageOfNest } from '../../nest/packages.js';

/** Where the messages of one transport carry their token: beside the payload, never in it. */
export interface TokenPlace {
  /** Whether the caller has put a credential there; it is left as it is. */
  isTaken(packet: ReadPacket): boolean;
  /** A copy of the packet with the token. What the caller made, records and headers too, is never changed. */
  put(packet: ReadPacket, authorization: string): ReadPacket;
}

/**
 * The place for tokens in a client's messages; undefined for a transport that is not Nest's own.
 *
 * @throws {@link ClientProxyConfigurationError} where the transport has none in this version or with these options.
 */
export function tokenPlaceOf(client: object): TokenPlace | undefined {
  if (client instanceof ClientTCP) return packetMetadataOf(client, 'TCP');
  if (client instanceof ClientRedis) return packetMetadataOf(client, 'Redis');
  if (client instanceof ClientNats) return natsHeaders();
  if (client instanceof ClientRMQ) return rabbitmqHeaders;
  if (client instanceof ClientMqtt) return userPropertiesOf(client);
  return client instanceof ClientKafka ? kafkaHeaders : undefined;
}

/** Whether headers of any kind have a credential among them, however its name is spelt. */
export function hasAuthorization(headers: object | null | undefined): boolean {
  if (headers == null) return false;
  return Object.entries(headers).some(([name, value]) => isAuthorization(name) && value !== undefined);
}

const isAuthorization = (name: string) => name.toLowerCase() === 'authorization';

/**
 * TCP and Redis. Nest 11 knows no metadata: its servers would not see the token, and the call would go out as if
 * without.
 */
function packetMetadataOf(client: ClientTCP | ClientRedis, transport: string): TokenPlace {
  if (typeof (client as Partial<ClientTCP>).setOnDispatchHook === 'function') return packetMetadata;
  throw new ClientProxyConfigurationError(
    'no_place_for_token',
    `A token cannot be attached to a ${transport} client of this version of @nestjs/microservices: its packets have no metadata. Use version 12.1 or later on both sides, or another transport.`,
  );
}

const packetMetadata: TokenPlace = {
  isTaken: ({ metadata }) => hasAuthorization(metadata),
  put: (packet, authorization) => ({ ...packet, metadata: { ...packet.metadata, authorization } }),
};

/** MQTT 5 §3.3.2.3.7. Earlier versions have no properties. */
function userPropertiesOf(client: ClientMqtt): TokenPlace {
  const { options } = client as unknown as { options?: { protocolVersion?: number } };
  if (options?.protocolVersion === 5) return userProperties;
  throw new ClientProxyConfigurationError(
    'no_place_for_token',
    `A token cannot be attached to an MQTT client of protocol version ${options?.protocolVersion ?? 4}: only messages of MQTT 5 have user properties. Set protocolVersion: 5.`,
  );
}

const userProperties: TokenPlace = {
  isTaken: ({ data }) => data instanceof MqttRecord && hasAuthorization(data.options?.properties?.userProperties),
  put(packet, authorization) {
    const record = recordOf(packet, MqttRecord);
    const { properties, ...options } = record.options ?? {};
    if (options.retain) {
      throw new ClientProxyConfigurationError(
        'message_retained',
        'A token cannot be put on a message with the flag "retain": the broker would keep it, and hand it to whoever subscribes later. Send the message without the flag, or by a client that no token is attached to.',
      );
    }
    const withToken = { ...properties, userProperties: { ...properties?.userProperties, authorization } };
    return { ...packet, data: new MqttRecord(record.data, { ...options, properties: withToken }) };
  },
};

const rabbitmqHeaders: TokenPlace = {
  isTaken: ({ data }) => data instanceof RmqRecord && hasAuthorization(data.options?.headers),
  put(packet, authorization) {
    const { data, options } = recordOf(packet, RmqRecord);
    const headers = { ...options?.headers, authorization };
    return { ...packet, data: new RmqRecord(data, { ...options, headers }) };
  },
};

/** The part of the NATS client's headers, in each of its packages, that is needed here. */
interface NatsHeaders {
  keys(): string[];
  values(key: string): string[];
  append(key: string, value: string): void;
}

/** Names of NATS headers are case-sensitive: a receiver finds `authorization` under no other spelling. */
function natsHeaders(): TokenPlace {
  const nats = natsPackage();
  const copyOf = (original: NatsHeaders | undefined): NatsHeaders => {
    const copy = nats.headers();
    for (const key of original?.keys() ?? []) for (const value of original!.values(key)) copy.append(key, value);
    return copy;
  };
  return {
    isTaken: ({ data }) =>
      data instanceof NatsRecord && (data.headers as NatsHeaders | undefined)?.keys().some(isAuthorization) === true,
    put(packet, authorization) {
      const record = recordOf(packet, NatsRecord);
      const withToken = copyOf(record.headers as NatsHeaders | undefined);
      withToken.append('authorization', authorization);
      return { ...packet, data: new NatsRecord(record.data, withToken) };
    },
  };
}

/** Nest 12 works with the first, Nest 11 with the second. */
function natsPackage(): { headers(): NatsHeaders } {
  try {
    return packageOfNest('@nats-io/transport-node') as { headers(): NatsHeaders };
  } catch {
    return packageOfNest('nats') as { headers(): NatsHeaders };
  }
}

interface KafkaMessage {
  readonly key?: unknown;
  readonly value?: unknown;
  readonly headers?: Readonly<Record<string, unknown>> | null;
}

const kafkaHeaders: TokenPlace = {
  isTaken: ({ data }) => isKafkaMessage(data) && hasAuthorization(data.headers),
  put(packet, authorization) {
    const data: unknown = packet.data;
    const message = isKafkaMessage(data) ? data : { value: data };
    const headers = { ...message.headers, authorization };
    // Read by name as well: a message may be of a class that computes them.
    return { ...packet, data: { ...message, key: message.key, value: message.value, headers } };
  },
};

/** What Nest takes for a message with its own key or headers, and not for the value of one. */
function isKafkaMessage(data: unknown): data is KafkaMessage {
  return typeof data === 'object' && data !== null && ('key' in data || 'value' in data);
}

/** The record that the caller made, or one around the payload as it is. */
function recordOf<MessageRecord>({ data }: ReadPacket, type: new (data: unknown) => MessageRecord): MessageRecord {
  return data instanceof type ? data : new type(data);
}
