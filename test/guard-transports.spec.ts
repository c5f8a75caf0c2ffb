import type { AddressInfo, Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import {
  type ClientProxy,
  ClientProxyFactory,
  type MicroserviceOptions,
  MqttRecordBuilder,
  NatsRecordBuilder,
  RmqRecordBuilder,
  Transport,
} from '@nestjs/microservices';
import { headers as natsHeaders } from '@nats-io/transport-node';
import { connect as connectAmqp } from 'amqplib';
import { connectAsync as connectMqtt } from 'mqtt';
import type { RpcAnswer } from 'nestjs-identity-m2m';
import { lastValueFrom } from 'rxjs';
import { eventually, GuardedMessages, noted, topic } from './support/guarded-messages.js';
import { describeWithServer } from './support/servers.js';

/** How a client of one transport puts headers beside the payload; a name may come with several values. */
interface TransportUnderTest {
  readonly name: string;
  readonly server: MicroserviceOptions;
  client(app: INestApplication): object;
  /** What to send, and what to do to the client before. */
  carry(client: ClientProxy, data: object, headers: readonly (readonly [string, unknown])[]): object;
}

/** Of all transports alike: names differ in case only, since some cannot carry one name twice. */
const twice = (token: string) =>
  [
    ['authorization', `Bearer ${token}`],
    ['Authorization', `Bearer ${token}`],
  ] as const;

function packetMetadata(client: ClientProxy, data: object, headers: readonly (readonly [string, unknown])[]): object {
  client.setOnDispatchHook((packet) => {
    packet.metadata = Object.fromEntries(headers) as Record<string, string>;
  });
  return data;
}

const tcp: TransportUnderTest = {
  name: 'tcp',
  server: { transport: Transport.TCP, options: { port: 0, host: '127.0.0.1' } },
  client(app) {
    const { port } = app.getMicroservices()[0]!.unwrap<Server>().address() as AddressInfo;
    return { transport: Transport.TCP, options: { port, host: '127.0.0.1' } };
  },
  carry: packetMetadata,
};
const redis: TransportUnderTest = {
  name: 'redis',
  server: { transport: Transport.REDIS, options: { host: '127.0.0.1', port: 6379 } },
  client: () => ({ transport: Transport.REDIS, options: { host: '127.0.0.1', port: 6379 } }),
  carry: packetMetadata,
};
const nats: TransportUnderTest = {
  name: 'nats',
  server: { transport: Transport.NATS, options: { servers: ['nats://127.0.0.1:4222'] } },
  client: () => ({ transport: Transport.NATS, options: { servers: ['nats://127.0.0.1:4222'] } }),
  carry(_client, data, entries) {
    const headers = natsHeaders();
    for (const [name, value] of entries) headers.append(name, String(value));
    return new NatsRecordBuilder(data).setHeaders(headers).build();
  },
};
const mqtt: TransportUnderTest = {
  name: 'mqtt',
  server: { transport: Transport.MQTT, options: { url: 'mqtt://127.0.0.1:1883', protocolVersion: 5 } },
  client: () => ({ transport: Transport.MQTT, options: { url: 'mqtt://127.0.0.1:1883', protocolVersion: 5 } }),
  carry(_client, data, entries) {
    if (entries.length === 0) return data;
    const userProperties = Object.fromEntries(entries) as Record<string, string>;
    return new MqttRecordBuilder(data).setProperties({ userProperties }).build();
  },
};
const rabbitmqOptions = {
  urls: ['amqp://guest:guest@127.0.0.1:5672'],
  queue: topic('queue'),
  queueOptions: { durable: false, autoDelete: true },
};
const rabbitmq: TransportUnderTest = {
  name: 'rabbitmq',
  server: { transport: Transport.RMQ, options: rabbitmqOptions },
  client: () => ({ transport: Transport.RMQ, options: rabbitmqOptions }),
  carry: (_client, data, entries) =>
    new RmqRecordBuilder(data).setOptions({ headers: Object.fromEntries(entries) as Record<string, string> }).build(),
};

function describeTransport(transport: TransportUnderTest): void {
  let messages: GuardedMessages;
  let app: INestApplication;
  let client: ClientProxy;

  const send = (pattern: string, entries: readonly (readonly [string, unknown])[], data: object = { a: 1 }) =>
    lastValueFrom(client.send<unknown>(topic(pattern), transport.carry(client, data, entries)));
  const refusal = (pattern: string, entries: readonly (readonly [string, unknown])[], data?: object) =>
    send(pattern, entries, data).then(
      (answer) => Promise.reject(new Error(`let in: ${JSON.stringify(answer)}`)),
      (error: RpcAnswer) => error,
    );
  const bearer = async (more?: Record<string, unknown>) =>
    [['authorization', `Bearer ${await messages.token(more)}`]] as const;

  beforeAll(async () => {
    messages = await GuardedMessages.start();
    app = await messages.hybrid([transport.server]);
    client = ClientProxyFactory.create(transport.client(app) as never) as unknown as ClientProxy;
    await client.connect();
  });
  afterAll(async () => {
    await client.close();
    await app.close();
    await messages.close();
  });
  beforeEach(() => {
    messages.events.length = 0;
    noted.length = 0;
  });

  it('N1: allows a machine, without inheritAppConfig, and all code below the handler knows the caller', async () => {
    expect(await send('whoami', await bearer())).toEqual({
      data: { a: 1 },
      callers: ['provisioning', 'provisioning', 'provisioning'],
    });
    expect(messages.events).toEqual([
      expect.objectContaining({ type: 'caller.accepted', transport: transport.name, clientId: 'provisioning' }),
    ]);
  });

  test.each<[string, () => Promise<readonly (readonly [string, unknown])[]>, RpcAnswer, string]>([
    [
      'without a token',
      () => Promise.resolve([]),
      { code: 'UNAUTHENTICATED', error: 'unauthorized', message: 'An access token is required.' },
      'credential_missing',
    ],
    [
      'with an expired token',
      () => bearer({ exp: 1 }),
      { code: 'UNAUTHENTICATED', error: 'invalid_token', message: 'The access token is not valid here.' },
      'token_expired',
    ],
    [
      'with two tokens',
      async () => twice(await messages.token()),
      {
        code: 'INVALID_ARGUMENT',
        error: 'invalid_request',
        message: 'The request must carry exactly one well-formed access token.',
      },
      'credential_repeated',
    ],
    [
      'whose issuer is down',
      async () => [['authorization', `Bearer ${await messages.undecidableToken()}`]],
      {
        code: 'UNAVAILABLE',
        error: 'temporarily_unavailable',
        message: 'The access token cannot be verified at the moment. Try again later.',
        retryAfterSeconds: expect.any(Number) as never,
      },
      'issuer_unavailable',
    ],
  ])('N1: refuses a message %s', async (_name, entries, answer, reason) => {
    expect(await refusal('whoami', await entries())).toEqual(answer);
    expect(messages.events).toEqual([
      expect.objectContaining({ type: 'caller.refused', transport: transport.name, reason }),
    ]);
  });

  it('names the missing scopes, and in events the client that lacks them', async () => {
    expect(await refusal('write', await bearer())).toEqual({
      code: 'PERMISSION_DENIED',
      error: 'insufficient_scope',
      message: 'The access token needs the scope: users.write.',
    });
    expect(messages.events.at(-1)).toMatchObject({ reason: 'scope_insufficient', clientId: 'provisioning' });
    expect(await send('write', await bearer({ scope: 'users.write' }))).toBe('written');
  });

  it('N3: never takes a credential, or a caller, from the payload', async () => {
    const authorization = `Bearer ${await messages.token()}`;
    const payload = {
      authorization,
      headers: { authorization },
      metadata: { authorization },
      handshake: { headers: { authorization } },
      user: { clientId: 'provisioning' },
      caller: { clientId: 'provisioning' },
    };
    expect(await refusal('whoami', [], payload)).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(await send('open', [], payload)).toEqual({ callers: [null, null] });
  });

  it('N10b: knows no caller of a public handler, with any token', async () => {
    for (const entries of [[], await bearer(), [['authorization', 'Bearer x']] as const]) {
      expect(await send('open', entries)).toEqual({ callers: [null, null] });
    }
  });

  it('allows and refuses events, although no sender waits for a reply', async () => {
    const emit = (entries: readonly (readonly [string, unknown])[], data: object) =>
      lastValueFrom(client.emit(topic('noted'), transport.carry(client, data, entries)), { defaultValue: undefined });
    await emit([], { number: 1 });
    await emit(await bearer(), { number: 2 });
    await eventually(() => noted.find(({ data }) => (data as { number: number }).number === 2));
    await eventually(() => messages.events.find(({ type }) => type === 'caller.refused'));
    expect(noted).toEqual([{ data: { number: 2 }, clientId: 'provisioning' }]);
  });

  it.each(['Basic abc', 'Bearer', 'Bearer a b', 'Bearer a,Bearer b', ''])(
    'H2: refuses the credential %j',
    async (value) => {
      const { code } = await refusal('whoami', [['authorization', value]]);
      expect(['UNAUTHENTICATED', 'INVALID_ARGUMENT']).toContain(code);
    },
  );

  if (transport.name === 'tcp' || transport.name === 'redis') {
    it.each([null, 1, [], ['Bearer x'], { toString: 'Bearer x' }, true])(
      'N3: refuses %j instead of a token',
      async (value) => {
        const { code } = await refusal('whoami', [['authorization', value]]);
        expect(['UNAUTHENTICATED', 'INVALID_ARGUMENT']).toContain(code);
      },
    );

    it.each([1, 2])('N3: accepts no list of %d tokens, even valid ones', async (length) => {
      const value = `Bearer ${await messages.token()}`;
      const list = Array.from({ length }, () => value);
      expect(await refusal('whoami', [['authorization', list]])).toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(messages.events.at(-1)).toMatchObject({
        reason: length === 1 ? 'credential_malformed' : 'credential_repeated',
      });
    });

    it.each([null, 'Bearer x', [['authorization', 'Bearer x']], 7])('refuses the metadata %j', async (metadata) => {
      client.setOnDispatchHook((packet) => {
        packet.metadata = metadata as never;
      });
      await expect(lastValueFrom(client.send(topic('whoami'), {}))).rejects.toMatchObject({
        code: expect.stringMatching(/UNAUTHENTICATED|INVALID_ARGUMENT/) as never,
      });
    });
  }

  if (transport.name === 'mqtt') {
    it('N7: refuses a repeated property', async () => {
      const value = `Bearer ${await messages.token()}`;
      expect(await refusal('whoami', [['authorization', [value, value]]])).toMatchObject({ code: 'INVALID_ARGUMENT' });
    });

    it('N7: refuses a retained message once its token has expired', async () => {
      const publisher = await connectMqtt('mqtt://127.0.0.1:1883', { protocolVersion: 5 });
      const authorization = `Bearer ${await messages.token({ exp: Math.floor(Date.now() / 1000) - 60 })}`;
      const retained = { retain: true, qos: 1, properties: { userProperties: { authorization } } } as const;
      await publisher.publishAsync(topic('noted'), JSON.stringify({ data: 'old' }), retained);
      // Each subscriber gets it at once.
      const late = await messages.hybrid([transport.server]);
      await eventually(() => messages.events.filter(({ type }) => type === 'caller.refused')[1]);
      expect(messages.events).toEqual(
        Array(2).fill(expect.objectContaining({ type: 'caller.refused', reason: 'token_expired' })),
      );
      expect(noted).toEqual([]);
      await publisher.publishAsync(topic('noted'), '', { retain: true, qos: 1 });
      await publisher.endAsync();
      await late.close();
    });

    it('refuses messages of MQTT 3.1.1, which carry no credential', async () => {
      const old = ClientProxyFactory.create({
        transport: Transport.MQTT,
        options: { url: 'mqtt://127.0.0.1:1883', protocolVersion: 4 },
      });
      const record = transport.carry(old, {}, await bearer());
      await expect(lastValueFrom(old.send(topic('whoami'), record))).rejects.toMatchObject({ error: 'unauthorized' });
      await old.close();
    });
  }

  if (transport.name === 'nats') {
    it('N6: refuses a repeated header, in the same or another case, and accepts one in any case', async () => {
      const token = await messages.token();
      const value = `Bearer ${token}`;
      const repeated = [
        ['authorization', value],
        ['authorization', value],
      ] as const;
      expect(await refusal('whoami', repeated)).toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(await refusal('whoami', twice(token))).toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(await send('whoami', [['AUTHORIZATION', value]])).toMatchObject({ data: { a: 1 } });
    });
  }

  if (transport.name === 'rabbitmq') {
    it.each([[Buffer.from('Bearer x')], [42], [{ a: 'Bearer x' }], [null]])(
      'N8: refuses the header %j',
      async (value) => {
        const { code } = await refusal('whoami', [['authorization', value]]);
        expect(code).toBe('INVALID_ARGUMENT');
      },
    );

    it.each([1, 2])('N8: accepts no list of %d tokens, even valid ones', async (length) => {
      const value = `Bearer ${await messages.token()}`;
      const list = Array.from({ length }, () => value);
      expect(await refusal('whoami', [['authorization', list]])).toMatchObject({ code: 'INVALID_ARGUMENT' });
    });

    it('N8: sends the refusal, without the message, to the reply queue of a refused message', async () => {
      const connection = await connectAmqp(rabbitmqOptions.urls[0]!);
      const channel = await connection.createChannel();
      const victim = topic('victim');
      await channel.assertQueue(victim, { durable: false, autoDelete: true });
      const message = { pattern: topic('whoami'), data: { text: 'words of a stranger' }, id: '1' };
      channel.sendToQueue(rabbitmqOptions.queue, Buffer.from(JSON.stringify(message)), {
        replyTo: victim,
        correlationId: '1',
        headers: { authorization: 'Bearer words.of.strangers' },
      });
      const answer = await eventually(async () => (await channel.get(victim, { noAck: true })) || undefined);
      expect(JSON.parse(answer.content.toString())).toEqual({
        err: { code: 'UNAUTHENTICATED', error: 'invalid_token', message: 'The access token is not valid here.' },
        isDisposed: true,
      });
      await connection.close();
    });

    it('N8: keeps working with a channel whose messages need no acknowledgement', async () => {
      await refusal('whoami', []);
      expect(await send('whoami', await bearer())).toMatchObject({ data: { a: 1 } });
      expect(messages.events.map(({ type }) => type)).toEqual(['caller.refused', 'caller.accepted']);
    });
  }
}

describe('the guard on TCP', () => {
  describeTransport(tcp);
});
await describeWithServer('the guard on Redis', ['Redis', 6379], () => describeTransport(redis));
await describeWithServer('the guard on NATS', ['NATS', 4222], () => describeTransport(nats));
await describeWithServer('the guard on MQTT', ['MQTT', 1883], () => describeTransport(mqtt));
await describeWithServer('the guard on RabbitMQ', ['RabbitMQ', 5672], () => describeTransport(rabbitmq));
