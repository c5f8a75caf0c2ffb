import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Controller, type INestMicroservice } from '@nestjs/common';
import {
  type BaseRpcContext,
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  MqttContext,
  MqttRecordBuilder,
  NatsContext,
  NatsRecordBuilder,
  Payload,
  type ReadPacket,
  type RedisContext,
  RmqContext,
  RmqRecordBuilder,
  RpcException,
  type TcpContext,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { headers as natsHeaders } from '@nats-io/transport-node';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { attachToken } from 'nestjs-identity-m2m/microservices';
import { firstValueFrom, lastValueFrom, NEVER, of, take, toArray } from 'rxjs';
import { json } from './support/http-server.js';
import { type MachineIdentity, machineIdentity } from './support/machine-identity.js';
import { reachablePaths } from './support/reachable-paths.js';
import { isServerUp } from './support/servers.js';

// A thousand calls at once take their time on a machine that has other work.
jest.setTimeout(30_000);

/** Other runs of these tests may use the same broker at the same time. */
const run = randomUUID();

interface Received {
  readonly data: unknown;
  readonly headers: Readonly<Record<string, string[]>>;
}

/** What the receiver of the transport under test got, and the tokens that it refuses. */
const receiver = { received: [] as Received[], refused: new Set<string>() };

@Controller()
class Messages {
  @MessagePattern(`${run}.echo`)
  echo(@Payload() data: unknown, @Ctx() context: BaseRpcContext) {
    const { authorization } = receive(data, context);
    if (authorization?.some((value) => receiver.refused.has(value))) {
      throw new RpcException({ code: 'UNAUTHENTICATED', error: 'invalid_token', message: `not ${authorization[0]}` });
    }
    return data === 'hold' ? NEVER : of({ echo: data });
  }

  @MessagePattern(`${run}.forbidden`)
  forbidden(@Payload() data: unknown, @Ctx() context: BaseRpcContext) {
    receive(data, context);
    throw new RpcException({ code: 'UNAUTHENTICATED', error: 'insufficient_scope', message: 'no' });
  }

  @MessagePattern(`${run}.count`)
  count(@Payload() data: unknown, @Ctx() context: BaseRpcContext) {
    receive(data, context);
    return of(1, 2, 3);
  }

  @EventPattern(`${run}.noted`)
  noted(@Payload() data: unknown, @Ctx() context: unknown) {
    receive(data, context as BaseRpcContext);
  }
}

function receive(data: unknown, context: BaseRpcContext) {
  const headers = headersOf(context);
  receiver.received.push({ data, headers });
  return headers;
}

/** Every value of every header, as the server has them. */
function headersOf(context: BaseRpcContext): Record<string, string[]> {
  const entries = () => {
    if (context instanceof NatsContext) return [...((context.getHeaders() ?? []) as Iterable<[string, string[]]>)];
    if (context instanceof RmqContext) return Object.entries(context.getMessage().properties.headers as object);
    if (context instanceof MqttContext) {
      return Object.entries((context.getPacket().properties?.userProperties ?? {}) as object);
    }
    return Object.entries((context as TcpContext | RedisContext).getMetadata() ?? {});
  };
  return Object.fromEntries(entries().map(([name, value]) => [name, [value].flat() as string[]]));
}

interface TransportUnderTest {
  readonly name: string;
  readonly isUp: boolean;
  readonly options: () => Promise<MicroserviceOptions>;
  /** Options of the client that the server has not. */
  readonly clientOptions?: object;
  /** A message with a header of its own, and perhaps its own credential; undefined where only hooks set headers. */
  readonly record?: (data: unknown, headers: Record<string, string>) => object;
}

const transports: TransportUnderTest[] = [
  {
    name: 'TCP',
    isUp: true,
    options: async () => ({ transport: Transport.TCP, options: { host: '127.0.0.1', port: await freePort() } }),
  },
  {
    name: 'Redis',
    isUp: await isServerUp('Redis', 6379),
    options: async () => ({ transport: Transport.REDIS, options: { host: '127.0.0.1' } }),
  },
  {
    name: 'NATS',
    isUp: await isServerUp('NATS', 4222),
    options: async () => ({ transport: Transport.NATS, options: { servers: 'nats://127.0.0.1:4222' } }),
    clientOptions: { headers: { 'x-of-the-client': 'yes' } },
    record(data, own) {
      const headers = natsHeaders();
      for (const [name, value] of Object.entries(own)) headers.append(name, value);
      return new NatsRecordBuilder(data).setHeaders(headers).build();
    },
  },
  {
    name: 'RabbitMQ',
    isUp: await isServerUp('RabbitMQ', 5672),
    options: async () => ({
      transport: Transport.RMQ,
      options: {
        urls: ['amqp://127.0.0.1:5672'],
        queue: `identity-m2m-${run}`,
        queueOptions: { durable: false, autoDelete: true },
      },
    }),
    clientOptions: { headers: { 'x-of-the-client': 'yes' } },
    record: (data, headers) => new RmqRecordBuilder(data).setOptions({ headers }).build(),
  },
  {
    name: 'MQTT 5',
    isUp: await isServerUp('an MQTT broker', 1883),
    options: async () => ({
      transport: Transport.MQTT,
      options: { url: 'mqtt://127.0.0.1:1883', protocolVersion: 5 },
    }),
    clientOptions: { userProperties: { 'x-of-the-client': 'yes' } },
    record: (data, userProperties) => new MqttRecordBuilder(data).setQoS(1).setProperties({ userProperties }).build(),
  },
];

for (const transport of transports) {
  (transport.isUp ? describe : describe.skip)(`the token on messages of ${transport.name}`, () => {
    let server: INestMicroservice;
    let options: MicroserviceOptions;
    let identity: MachineIdentity;
    let client: ClientProxy;

    beforeAll(async () => {
      options = await transport.options();
      const module = await Test.createTestingModule({ controllers: [Messages] }).compile();
      server = module.createNestMicroservice<MicroserviceOptions>({ ...options, logger: false });
      await server.listen();
    });
    afterAll(() => server?.close());

    const newClient = () => {
      const { options: ofServer, ...others } = options as { options: object };
      return ClientProxyFactory.create({ ...others, options: { ...ofServer, ...transport.clientOptions } });
    };
    const setUp = async () => {
      Object.assign(receiver, { received: [], refused: new Set() });
      identity = await machineIdentity();
      client = attachToken(newClient(), identity.provider);
    };
    afterEach(async () => {
      await client.close();
      await identity.close();
    });

    const echo = (data: unknown, via = client) => lastValueFrom(via.send<unknown>(`${run}.echo`, data));
    const authorizations = () => receiver.received.map(({ headers }) => headers.authorization);
    const received = async (count: number) => {
      while (receiver.received.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
    };

    it('is sent next to the payload, once, with calls and with events', async () => {
      await setUp();
      expect(await echo({ name: 'jane', options: 'kept' })).toEqual({ echo: { name: 'jane', options: 'kept' } });
      expect(await echo('a text')).toEqual({ echo: 'a text' });
      expect(await lastValueFrom(client.send<number>(`${run}.count`, {}).pipe(toArray()))).toEqual([1, 2, 3]);
      client.emit(`${run}.noted`, { nobody: 'subscribes' });
      await received(4);
      expect(authorizations()).toEqual(times(4, ['Bearer token-1']));
      expect(JSON.stringify(receiver.received.map(({ data }) => data))).not.toContain('token-1');
      expect(receiver.received.map(({ data }) => data)).toEqual([
        { name: 'jane', options: 'kept' },
        'a text',
        {},
        { nobody: 'subscribes' },
      ]);
      if (transport.clientOptions) {
        expect(receiver.received.map(({ headers }) => headers['x-of-the-client'])).toEqual(times(4, ['yes']));
      }
      expect(identity.tokens.requests).toHaveLength(1);
      expect(reachablePaths('token-1', client)).toEqual([]);
    });

    it('keeps dispatch hooks, whether they are set before or after it is attached', async () => {
      await setUp();
      const seen: ReadPacket[] = [];
      const hook = (name: string) => (packet: ReadPacket) => {
        seen.push(structuredClone(packet));
        packet.metadata = { ...packet.metadata, [name]: 'set' };
      };
      const early = newClient();
      early.setOnDispatchHook(hook('before'));
      attachToken(early, identity.provider);
      client.setOnDispatchHook(hook('after'));
      await echo(1, early);
      await echo(2);
      await early.close();
      expect(authorizations()).toEqual([['Bearer token-1'], ['Bearer token-1']]);
      expect(seen.map(({ data }) => data as unknown)).toEqual([1, 2]);
      expect(JSON.stringify(seen)).not.toContain('token-1');
      if (!transport.record) {
        expect(receiver.received[0]?.headers.before).toEqual(['set']);
        expect(receiver.received[1]?.headers.after).toEqual(['set']);
      }
    });

    it('leaves a credential of the caller unchanged, and requests no token then', async () => {
      await setUp();
      const own = { Authorization: 'Basic b3du' };
      if (transport.record) await echo(transport.record('own', own));
      else {
        client.setOnDispatchHook((packet) => (packet.metadata = own));
        await echo('own');
      }
      expect(receiver.received[0]?.headers).toMatchObject({ Authorization: ['Basic b3du'] });
      expect(authorizations()).toEqual([undefined]);
      expect(identity.tokens.requests).toHaveLength(0);
    });

    if (transport.record) {
      const record = transport.record;
      it("keeps a record's own headers, and does not change the record", async () => {
        await setUp();
        const message = record({ name: 'jane' }, { 'x-own': 'kept' });
        const before = JSON.stringify(message, (_key, value: unknown) => value);
        await echo(message);
        await echo(message);
        client.emit(`${run}.noted`, message);
        await received(3);
        expect(receiver.received.map(({ data }) => data)).toEqual(times(3, { name: 'jane' }));
        expect(receiver.received.map(({ headers }) => headers['x-own'])).toEqual(times(3, ['kept']));
        expect(authorizations()).toEqual(times(3, ['Bearer token-1']));
        expect(JSON.stringify(message)).toBe(before);
        expect(reachablePaths('token-1', message)).toEqual([]);
      });
    }

    it('takes one token request for 1,000 concurrent calls, and none gets the answer of another', async () => {
      await setUp();
      const answers = await Promise.all(Array.from({ length: 1000 }, (_, n) => echo({ n })));
      expect(answers).toEqual(Array.from({ length: 1000 }, (_, n) => ({ echo: { n } })));
      expect(new Set(authorizations().flat())).toEqual(new Set(['Bearer token-1']));
      expect(identity.tokens.requests).toHaveLength(1);
    });

    it('is a newer one once the first has expired', async () => {
      await setUp();
      await echo(1);
      await identity.clock.advance(3_601_000);
      await echo(2);
      expect(authorizations().flat()).toEqual(['Bearer token-1', `Bearer ${identity.tokens.granted.at(-1)}`]);
      expect(identity.tokens.granted.length).toBeGreaterThan(1);
    });

    it('is renewed, and the call sent once more, if the receiver refuses it as unauthenticated', async () => {
      await setUp();
      // While no call is open, Nest's MQTT client gives up the topic for answers; calls that begin then may miss
      // theirs.
      const open = client.send(`${run}.echo`, 'hold').subscribe();
      await received(1);
      receiver.refused.add('Bearer token-1');
      const answers = await Promise.all([1, 2, 3].map((n) => echo(n)));
      expect(answers).toEqual([1, 2, 3].map((n) => ({ echo: n })));
      expect(
        authorizations()
          .flat()
          .slice(1)
          .toSorted((a, b) => (a! < b! ? -1 : 1)),
      ).toEqual([...times(3, 'Bearer token-1'), ...times(3, 'Bearer token-2')]);
      const replays = identity.events.filter(({ type }) => type === 'call.replayed');
      open.unsubscribe();
      expect(replays).toHaveLength(3);
      expect(replays[0]).toMatchObject({ client: 'default', origin: expect.stringMatching(/^\w+:\/\/127\.0\.0\.1/) });
      // The second is refused too: that is the answer, and it does not repeat the token that the receiver put in it.
      receiver.refused.add('Bearer token-2').add('Bearer token-3');
      const refusal: unknown = await echo('again').catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: 'UNAUTHENTICATED', message: expect.stringContaining('[access token]') });
      expect(reachablePaths('token-', refusal)).toEqual([]);
    });

    it('is not renewed if it lacks a scope', async () => {
      await setUp();
      const refusal = lastValueFrom(client.send(`${run}.forbidden`, {}));
      await expect(refusal).rejects.toMatchObject({ error: 'insufficient_scope' });
      expect(receiver.received).toHaveLength(1);
      expect(identity.tokens.requests).toHaveLength(1);
    });

    it('fails a call before it is sent if unavailable, and recovers by itself', async () => {
      await setUp();
      identity.tokens.fault = json(401, { error: 'invalid_client' });
      await expect(echo('lost')).rejects.toThrow(TokenUnavailableError);
      await expect(lastValueFrom(client.emit(`${run}.noted`, 'lost'))).rejects.toThrow(TokenUnavailableError);
      identity.tokens.fault = undefined;
      identity.provider.retryNow();
      await echo('sent');
      expect(receiver.received.map(({ data }) => data)).toEqual(['sent']);
    });

    it('is requested per subscription, and never before one', async () => {
      await setUp();
      const call = client.send<unknown>(`${run}.echo`, 'cold');
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(identity.tokens.requests).toHaveLength(0);
      await lastValueFrom(call);
      await lastValueFrom(call);
      expect(receiver.received).toHaveLength(2);
    });

    it('is not awaited any longer by a cancelled call, and arrives for the others', async () => {
      await setUp();
      const release = identity.holdTokens();
      const cancelled = client.send(`${run}.echo`, 'cancelled').subscribe();
      const other = echo('other');
      await release.asked;
      cancelled.unsubscribe();
      release.now();
      await other;
      await echo('later');
      expect(receiver.received.map(({ data }) => data)).toEqual(['other', 'later']);
      expect(identity.tokens.requests).toHaveLength(1);
      await firstValueFrom(client.send(`${run}.count`, {}).pipe(take(1)));
    });

    if (transport.name === 'TCP') {
      it('is sent over a new connection if the first was lost during the wait', async () => {
        await setUp();
        const release = identity.holdTokens();
        const call = echo('call');
        const event = lastValueFrom(client.emit(`${run}.noted`, 'event'), { defaultValue: undefined });
        await release.asked;
        const socket = client.unwrap<Socket>();
        socket.destroy();
        await once(socket, 'close');
        release.now();
        expect(await call).toEqual({ echo: 'call' });
        await event;
        await received(2);
        expect(authorizations()).toEqual(times(2, ['Bearer token-1']));
      });
    }

    it('neither keeps a closed client waiting nor opens it again', async () => {
      await setUp();
      await client.connect();
      const release = identity.holdTokens();
      const calls = Promise.allSettled([echo('late'), lastValueFrom(client.emit<unknown>(`${run}.noted`, 'late'))]);
      await release.asked;
      await client.close();
      release.now();
      expect(await calls).toEqual(times(2, { status: 'rejected', reason: new Error('Connection closed') }));
      await identity.provider.getToken();
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(() => client.unwrap()).toThrow(/not initialized/i);
      expect(receiver.received).toHaveLength(0);
      // A closed client can be used again, as without a token.
      await echo('again');
      expect(authorizations()).toEqual([['Bearer token-1']]);
    });
  });
}

const times = <T>(count: number, value: T) => Array.from({ length: count }, () => value);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
