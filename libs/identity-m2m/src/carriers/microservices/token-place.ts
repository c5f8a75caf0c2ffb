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

/** Where the messages of one transport carry the token: outside the payload. */
export interface TokenPlace {
  /** Whether the caller's own credential is there; it stays as it is. */
  isTaken(packet: ReadPacket): boolean;
  /** Returns a copy of the packet with the token. The caller's packet, records and headers stay unchanged. */
  put(packet: ReadPacket, authorization: string): ReadPacket;
}

/**
 * Returns the place for the token in a client's messages; undefined for a transport that is not Nest's own.
 *
 * @throws {@link ClientProxyConfigurationError} if the transport has no such place, in this version or with these
 * options.
 */
export function tokenPlaceOf(client: object): TokenPlace | undefined {
  if (client instanceof ClientTCP) return packetMetadataOf(client, 'TCP');
  if (client instanceof ClientRedis) return packetMetadataOf(client, 'Redis');
  if (client instanceof ClientNats) return natsHeaders();
  if (client instanceof ClientRMQ) return rabbitmqHeaders;
  if (client instanceof ClientMqtt) return userPropertiesOf(client);
  return client instanceof ClientKafka ? kafkaHeaders : undefined;
}

/** Whether headers of any kind include a credential, in any spelling of its name. */
export function hasAuthorization(headers: object | null | undefined): boolean {
  if (headers == null) return false;
  return Object.entries(headers).some(([name, value]) => isAuthorization(name) && value !== undefined);
}

const isAuthorization = (name: string) => name.toLowerCase() === 'authorization';

/** TCP and Redis. Nest 11 has no packet metadata: the receiver would see a call without a token. */
function packetMetadataOf(client: ClientTCP | ClientRedis, transport: string): TokenPlace {
  if (typeof (client as Partial<ClientTCP>).setOnDispatchHook === 'function') return packetMetadata;
  throw new ClientProxyConfigurationError(
    'no_place_for_token',
    `Cannot attach a token to a ${transport} client of this version of @nestjs/microservices: its packets have no metadata. Use version 12.1 or later on both sides, or another transport.`,
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
    `Cannot attach a token to an MQTT client of protocol version ${options?.protocolVersion ?? 4}: only MQTT 5 has user properties. Set protocolVersion: 5.`,
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
        'Cannot put a token on a message with the flag "retain": the broker would keep it and send it to all later subscribers. Send the message without the flag, or with a client that carries no token.',
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

/** The members of NATS headers that are used here. */
interface NatsHeaders {
  keys(): string[];
  values(key: string): string[];
  append(key: string, value: string): void;
}

/** Names of NATS headers are case-sensitive: a receiver finds only `authorization`. */
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

/** Nest 12 uses the first, Nest 11 the second. */
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
    // key and value by name as well: they may be accessors of the message's class.
    return { ...packet, data: { ...message, key: message.key, value: message.value, headers } };
  },
};

/** Whether Nest treats the data as a message with its own key or headers, and not as a message's value. */
function isKafkaMessage(data: unknown): data is KafkaMessage {
  return typeof data === 'object' && data !== null && ('key' in data || 'value' in data);
}

/** Returns the caller's record, or a record around the payload. */
function recordOf<MessageRecord>({ data }: ReadPacket, type: new (data: unknown) => MessageRecord): MessageRecord {
  return data instanceof type ? data : new type(data);
}
