import type { AddressInfo, Server as TcpServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, type INestApplication, Scope } from '@nestjs/common';
import {
  type ClientProxy,
  ClientProxyFactory,
  EventPattern,
  KafkaRetriableException,
  type MicroserviceOptions,
  MqttRecordBuilder,
  NatsRecordBuilder,
  Payload,
  RmqRecordBuilder,
  ServerKafka,
  Transport,
} from '@nestjs/microservices';
import { headers as natsHeaders } from '@nats-io/transport-node';
import { Caller, type MachineCaller, Public, RequireScopes } from 'nestjs-identity-m2m';
import { lastValueFrom } from 'rxjs';
import { eventually, GuardedMessages, topic } from './support/guarded-messages.js';
import { describeWithServer } from './support/servers.js';

/** Texts, for Nest; said to be ones, their type would allow handlers no parameters of other types. */
const FIRST_REFUSED: unknown = topic('first-refused');
const LAST_REFUSED: unknown = topic('last-refused');
const THREE: unknown = topic('three');
const PER_REQUEST: unknown = topic('per-request');

/** Handlers that ran, with the number of their message and their caller. */
const ran: string[] = [];
interface Numbered {
  readonly number: number;
}
const run = (name: string, { number }: Numbered, caller?: MachineCaller) =>
  void ran.push([name, number, caller?.clientId].join(' ').trim());

@Controller()
class Several {
  @EventPattern(FIRST_REFUSED)
  @RequireScopes('admin')
  refusedFirst(@Payload() data: Numbered) {
    run('admin', data);
  }

  @EventPattern(FIRST_REFUSED)
  accepted(@Payload() data: Numbered, @Caller() caller: MachineCaller) {
    run('any', data, caller);
  }

  @EventPattern(LAST_REFUSED)
  acceptedFirst(@Payload() data: Numbered, @Caller() caller: MachineCaller) {
    run('any', data, caller);
  }

  @EventPattern(LAST_REFUSED)
  @RequireScopes('admin')
  refused(@Payload() data: Numbered) {
    run('admin', data);
  }

  @EventPattern(THREE)
  one(@Payload() data: Numbered) {
    run('any', data);
  }

  @EventPattern(THREE)
  @Public()
  open(@Payload() data: Numbered, @Caller() caller: MachineCaller | undefined) {
    run('open', data, caller);
  }

  @EventPattern(THREE)
  @RequireScopes('admin')
  three(@Payload() data: Numbered) {
    run('admin', data);
  }
}

@Controller({ scope: Scope.REQUEST })
class PerRequest {
  @EventPattern(PER_REQUEST)
  @RequireScopes('admin')
  refused(@Payload() data: Numbered) {
    run('admin', data);
  }

  @EventPattern(PER_REQUEST)
  accepted(@Payload() data: Numbered, @Caller() caller: MachineCaller) {
    run('any', data, caller);
  }
}

const controllers = [Several, PerRequest];

let messages: GuardedMessages;
let bearer: string;
beforeAll(async () => {
  messages = await GuardedMessages.start();
  bearer = `Bearer ${await messages.token()}`;
});
afterAll(() => messages.close());
beforeEach(() => {
  ran.length = messages.events.length = 0;
});

const refusals = () => messages.events.filter(({ type }) => type === 'caller.refused').length;
const outcomes = () => messages.events.filter(({ type }) => type.startsWith('message.'));

interface TransportUnderTest {
  readonly server: MicroserviceOptions;
  readonly client?: (app: INestApplication) => MicroserviceOptions;
  readonly carry: (client: ClientProxy, data: object, authorization: string | undefined) => object;
}

function packetMetadata(client: ClientProxy, data: object, authorization: string | undefined): object {
  client.setOnDispatchHook((packet) => {
    packet.metadata = authorization === undefined ? {} : { authorization };
  });
  return data;
}

const rabbitmqOptions = {
  urls: ['amqp://guest:guest@127.0.0.1:5672'],
  queue: topic('several'),
  queueOptions: { durable: false, autoDelete: true },
};
const transports: Readonly<Record<string, TransportUnderTest>> = {
  tcp: {
    server: { transport: Transport.TCP, options: { port: 0, host: '127.0.0.1' } },
    client(app) {
      const { port } = app.getMicroservices()[0]!.unwrap<TcpServer>().address() as AddressInfo;
      return { transport: Transport.TCP, options: { port, host: '127.0.0.1' } };
    },
    carry: packetMetadata,
  },
  redis: {
    server: { transport: Transport.REDIS, options: { host: '127.0.0.1', port: 6379 } },
    carry: packetMetadata,
  },
  nats: {
    server: { transport: Transport.NATS, options: { servers: ['nats://127.0.0.1:4222'] } },
    carry(_client, data, authorization) {
      const headers = natsHeaders();
      if (authorization !== undefined) headers.append('authorization', authorization);
      return new NatsRecordBuilder(data).setHeaders(headers).build();
    },
  },
  mqtt: {
    server: { transport: Transport.MQTT, options: { url: 'mqtt://127.0.0.1:1883', protocolVersion: 5 } },
    carry: (_client, data, authorization) =>
      authorization === undefined
        ? data
        : new MqttRecordBuilder(data).setProperties({ userProperties: { authorization } }).build(),
  },
  rabbitmq: {
    server: { transport: Transport.RMQ, options: rabbitmqOptions },
    carry: rabbitmqRecord,
  },
};

function rabbitmqRecord(_client: ClientProxy, data: object, authorization: string | undefined): object {
  const record = new RmqRecordBuilder(data);
  return (authorization === undefined ? record : record.setOptions({ headers: { authorization } })).build();
}

function describeEvents({ server, client: clientOf = () => server, carry }: TransportUnderTest): void {
  let app: INestApplication;
  let client: ClientProxy;
  beforeAll(async () => {
    app = await messages.hybrid([server], { controllers });
    client = ClientProxyFactory.create(clientOf(app) as never) as unknown as ClientProxy;
    await client.connect();
  });
  afterAll(async () => {
    await client.close();
    await app.close();
  });
  const emit = (pattern: unknown, number: number, authorization?: string) =>
    lastValueFrom(client.emit(pattern as string, carry(client, { number }, authorization)), {
      defaultValue: undefined,
    });

  it.each([
    ['first', FIRST_REFUSED],
    ['last', LAST_REFUSED],
    ['first, and made for each message', PER_REQUEST],
  ])('host-7: gives an event to the allowed handler if the refused one stands %s', async (_name, pattern) => {
    await emit(pattern, 1, bearer);
    await eventually(() => (ran.length > 0 && refusals() > 0) || undefined);
    // Neither where both are refused, as the next one shows.
    await emit(pattern, 2);
    await eventually(() => refusals() === 3 || undefined);
    await emit(pattern, 3, `Bearer ${await messages.token({ scope: 'admin' })}`);
    await eventually(() => ran.length === 3 || undefined);
    expect(ran.toSorted()).toEqual(['admin 3', 'any 1 provisioning', 'any 3 provisioning']);
  });

  it('host-7: gives an event without a token to the public handler among three', async () => {
    await emit(THREE, 1);
    await eventually(() => (ran.length > 0 && refusals() === 2) || undefined);
    expect(ran).toEqual(['open 1']);
  });
}

describe('TCP', () => {
  describeEvents(transports.tcp!);
});
await describeWithServer('Redis', ['Redis', 6379], () => describeEvents(transports.redis!));
await describeWithServer('NATS', ['NATS', 4222], () => describeEvents(transports.nats!));
await describeWithServer('MQTT', ['MQTT', 1883], () => describeEvents(transports.mqtt!));
await describeWithServer('RabbitMQ', ['RabbitMQ', 5672], () => describeEvents(transports.rabbitmq!));

describe('Kafka', () => {
  const server = new ServerKafka({ client: { brokers: [] } });
  let app: INestApplication;
  beforeAll(async () => {
    Object.assign(server, { listen: (started: () => void) => started() });
    app = await messages.hybrid([{ strategy: server }], { controllers });
  });
  afterAll(() => app.close());

  /** As kafkajs hands it over: resolves where the offset is committed, rejects where it comes again. */
  const deliver = (pattern: unknown, number: number, authorization?: string) =>
    server.handleMessage({
      topic: pattern as string,
      partition: 0,
      message: {
        key: null,
        value: Buffer.from(JSON.stringify({ number })),
        headers: authorization === undefined ? {} : { authorization: Buffer.from(authorization) },
      } as never,
      heartbeat: () => Promise.resolve(),
      pause: () => () => {},
    });

  it.each([
    ['first', FIRST_REFUSED],
    ['last', LAST_REFUSED],
    ['first, and made for each message', PER_REQUEST],
  ])('host-7: gives a message to the allowed handler if the refused one stands %s', async (_name, pattern) => {
    await deliver(pattern, 1, bearer);
    expect(ran).toEqual(['any 1 provisioning']);
    expect(outcomes()).toEqual([]);
    await deliver(pattern, 2);
    expect(ran).toHaveLength(1);
    expect(outcomes()).toEqual([{ type: 'message.skipped', transport: 'kafka', reason: 'credential_missing' }]);
  });

  it('host-7: has a message delivered again if the guard can’t decide for one handler, once the others have run', async () => {
    const undecidable = `Bearer ${await messages.undecidableToken()}`;
    await expect(deliver(THREE, 1, undecidable)).rejects.toThrow(KafkaRetriableException);
    expect(ran).toEqual(['open 1']);
    expect(outcomes()).toEqual([{ type: 'message.retried', transport: 'kafka', reason: 'issuer_unavailable' }]);
  });
});
