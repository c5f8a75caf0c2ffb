import { describe, expect, it, test } from '@jest/globals';
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
import { headers as natsHeaders } from '@nats-io/transport-node';
import { hasAuthorization, tokenPlaceOf } from './token-place.js';

type PacketMetadata = ReadPacket['metadata'];

const AUTHORIZATION = 'Bearer a-token';

const natsWith = (name: string) => {
  const headers = natsHeaders();
  headers.append(name, 'own');
  return headers;
};

/** A client of each transport, and data or a packet with a header of this name. */
const transports: readonly [string, object, (name: string) => { data: unknown; metadata?: PacketMetadata }][] = [
  ['TCP', new ClientTCP({}), (name) => ({ data: 1, metadata: { [name]: 'own' } })],
  ['Redis', new ClientRedis({}), (name) => ({ data: 1, metadata: { [name]: 'own' } })],
  ['NATS', new ClientNats({}), (name) => ({ data: new NatsRecord(1, natsWith(name)) })],
  ['RabbitMQ', new ClientRMQ({}), (name) => ({ data: new RmqRecord(1, { headers: { [name]: 'own' } }) })],
  [
    'MQTT 5',
    new ClientMqtt({ protocolVersion: 5 }),
    (name) => ({ data: new MqttRecord(1, { properties: { userProperties: { [name]: 'own' } } }) }),
  ],
  ['Kafka', new ClientKafka({}), (name) => ({ data: { value: 1, headers: { [name]: 'own' } } })],
];

describe.each(transports)('the place of the token on messages of %s', (_name, client, packetWith) => {
  const place = tokenPlaceOf(client)!;

  test.each([['authorization'], ['Authorization'], ['AUTHORIZATION']])('is taken by the header %s', (name) => {
    expect(place.isTaken({ pattern: 'users', ...packetWith(name) })).toBe(true);
  });

  test.each([[{ authorization: 'in the payload' }], ['authorization'], [undefined], [null], [5], [[]]])(
    'is not taken by the payload %j, which stays as it is',
    (data) => {
      const packet = { pattern: 'users', data };
      expect(place.isTaken(packet)).toBe(false);
      const put = place.put(packet, AUTHORIZATION);
      expect(packet).toEqual({ pattern: 'users', data });
      expect(put.pattern).toBe('users');
      expect(place.isTaken(put)).toBe(true);
    },
  );

  it('is beside the other headers, on a copy of the packet', () => {
    const packet = { pattern: 'users', ...packetWith('x-own') };
    expect(place.isTaken(packet)).toBe(false);
    expect(place.isTaken(place.put(packet, AUTHORIZATION))).toBe(true);
    expect(place.isTaken(packet)).toBe(false);
    expect(packet).toEqual({ pattern: 'users', ...packetWith('x-own') });
    const written = JSON.stringify(place.put(packet, AUTHORIZATION), (_key, value: unknown) =>
      value instanceof NatsRecord ? [...(value.headers as Iterable<unknown>)] : value,
    );
    expect(written).toContain('own');
    expect(written).toContain(AUTHORIZATION);
  });
});

describe('the place of the token', () => {
  it('is unknown for a client that is not Nest’s own', () => {
    expect(tokenPlaceOf({})).toBeUndefined();
  });

  test.each([
    ['version 4', { protocolVersion: 4 as const }, 'version 4'],
    ['no version', {}, 'version 4'],
    ['version 3', { protocolVersion: 3 as const }, 'version 3'],
  ])('does not exist in MQTT before 5: %s', (_name, options, named) => {
    expect(() => tokenPlaceOf(new ClientMqtt(options))).toThrow(`protocol ${named}: only MQTT 5`);
  });
});

test.each([
  [null, false],
  [undefined, false],
  [{}, false],
  [{ authorization: undefined }, false],
  [{ authorization: '' }, true],
  [{ 'x-authorization': 'a', authorizations: 'a' }, false],
  [{ other: 1, aUTHORIZATION: 'a' }, true],
])('headers have a credential if one of them is named so and has a value: %j', (headers, expected) => {
  expect(hasAuthorization(headers)).toBe(expected);
});
