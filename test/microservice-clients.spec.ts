import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Metadata, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, type INestMicroservice } from '@nestjs/common';
import {
  type ClientGrpc,
  ClientKafka,
  ClientMqtt,
  ClientProxyFactory,
  ClientsModule,
  ClientTCP,
  GrpcMethod,
  MqttRecordBuilder,
  GrpcStreamMethod,
  GrpcOptions,
  RpcException,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { authorizationFor, TokenNotBearerError, TokenUnavailableError } from 'nestjs-identity-m2m';
import { attachToken, ClientProxyConfigurationError } from 'nestjs-identity-m2m/microservices';
import { concat, delay, EMPTY, from, lastValueFrom, map, NEVER, Observable, of, Subject, toArray } from 'rxjs';
// From inside: what a client proxy leads to is tried by a table.
import { redactToken, authorizedCall } from '../libs/identity-m2m/src/carriers/microservices/authorized-call.js';
import { tokenPlaceOf } from '../libs/identity-m2m/src/carriers/microservices/token-place.js';
import { WebSocket, WebSocketServer } from 'ws';
import { carrierOf } from '../libs/identity-m2m/src/carriers/token-carrier.js';
import { messageServersOf } from '../libs/identity-m2m/src/carriers/microservices/message-servers.js';
import { json } from './support/http-server.js';
import { type MachineIdentity, machineIdentity } from './support/machine-identity.js';
import { reachablePaths } from './support/reachable-paths.js';

// A thousand calls at once take their time on a machine that has other work.
jest.setTimeout(30_000);

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Entry {
  readonly name: string;
  readonly count: number;
}

/** The service as a caller sees it. */
interface Directory {
  find(query: { name: string }, metadata?: Metadata, options?: object): Observable<Entry>;
  list(query: { name: string }, metadata?: Metadata): Observable<Entry>;
  add(entries: Observable<Partial<Entry>>, metadata?: Metadata): Observable<Entry>;
  chat(entries: Observable<Partial<Entry>>, metadata?: Metadata): Observable<Entry>;
}

const receiver = { received: [] as Metadata[], refused: new Set<unknown>() };

@Controller()
class DirectoryController {
  @GrpcMethod('Directory')
  find({ name }: { name: string }, metadata: Metadata) {
    receive(metadata);
    return { name, count: 1 };
  }

  @GrpcMethod('Directory')
  list({ name }: { name: string }, metadata: Metadata): Observable<Entry> {
    receive(metadata);
    const entries = [1, 2, 3].map((count) => ({ name, count }));
    // Refused in the middle of its answers, which no other token mends.
    const end = name === 'breaks off' ? refusal(metadata) : name === 'goes on' ? NEVER : EMPTY;
    return concat(from(entries), end);
  }

  @GrpcStreamMethod('Directory')
  add(entries: Observable<Entry>, metadata: Metadata) {
    receive(metadata);
    return entries.pipe(
      toArray(),
      map((all) => ({ name: all.map(({ name }) => name).join(), count: all.length })),
    );
  }

  @GrpcStreamMethod('Directory')
  chat(entries: Observable<Entry>, metadata: Metadata) {
    receive(metadata);
    return entries;
  }
}

function receive(metadata: Metadata): void {
  receiver.received.push(metadata);
  if (receiver.refused.has(metadata.get('authorization')[0])) throw refused(metadata);
}

const refused = (metadata: Metadata) =>
  new RpcException({ code: 16, message: `not ${String(metadata.get('authorization')[0])}` });
const refusal = (metadata: Metadata) =>
  new Observable<never>((subscriber) => void setTimeout(() => subscriber.error(refused(metadata)), 20));

const authorizations = () => receiver.received.map((metadata) => metadata.get('authorization'));
const times = <T>(count: number, value: T) => Array.from({ length: count }, () => value);

describe('the token on calls of gRPC', () => {
  const proto = {
    package: 'directory',
    protoPath: join(process.cwd(), 'test/support/directory.proto'),
  };

  async function setUp() {
    Object.assign(receiver, { received: [], refused: new Set() });
    const identity = await machineIdentity();
    const module = await Test.createTestingModule({ controllers: [DirectoryController] }).compile();
    let port = 0;
    const server: INestMicroservice = module.createNestMicroservice<GrpcOptions>({
      transport: Transport.GRPC,
      logger: false,
      options: { ...proto, url: '127.0.0.1:0' },
    });
    await server.listen();
    port = boundPort(server);
    const client = ClientProxyFactory.create({
      transport: Transport.GRPC,
      options: { ...proto, url: `127.0.0.1:${port}` },
    }) as unknown as ClientGrpc & { close(): void };
    closing.push(
      () => identity.close(),
      () => server.close(),
      () => client.close(),
    );
    const directory = attachToken(client, identity.provider).getService<Directory>('Directory');
    return { identity, client, directory };
  }

  it('is in the metadata of unary calls and of streams in each direction, once', async () => {
    const { directory, client, identity } = await setUp();
    expect(await lastValueFrom(directory.find({ name: 'jane' }))).toEqual({ name: 'jane', count: 1 });
    expect(await lastValueFrom(directory.list({ name: 'j' }).pipe(toArray()))).toHaveLength(3);
    expect(await lastValueFrom(directory.add(of({ name: 'a' }, { name: 'b' })))).toEqual({ name: 'a,b', count: 2 });
    const chat = directory.chat(of({ name: 'a' }, { name: 'b' })).pipe(map(({ name }) => name));
    expect(await lastValueFrom(chat.pipe(toArray()))).toEqual(['a', 'b']);
    expect(authorizations()).toEqual(times(4, ['Bearer token-1']));
    expect(identity.tokens.requests).toHaveLength(1);
    expect(reachablePaths('token-1', client)).toEqual([]);
  });

  it('is added to a copy of the caller’s metadata, and leaves the caller’s credential and options alone', async () => {
    const { directory, identity } = await setUp();
    const metadata = new Metadata();
    metadata.set('x-own', 'kept');
    await lastValueFrom(directory.find({ name: 'jane' }, metadata));
    await lastValueFrom(directory.add(of({ name: 'jane' }), metadata));
    expect(receiver.received.map((all) => all.get('x-own'))).toEqual(times(2, ['kept']));
    expect(authorizations()).toEqual(times(2, ['Bearer token-1']));
    expect(metadata.getMap()).toEqual({ 'x-own': 'kept' });

    const own = new Metadata();
    own.set('Authorization', 'Basic b3du');
    await lastValueFrom(directory.find({ name: 'jane' }, own));
    expect(authorizations().at(-1)).toEqual(['Basic b3du']);
    expect(identity.tokens.requests).toHaveLength(1);

    const late = directory.find({ name: 'jane' }, metadata, { deadline: Date.now() - 1000 });
    await expect(lastValueFrom(late)).rejects.toMatchObject({ code: 4 });
    const withoutMetadata = directory.find({ name: 'jane' }, { deadline: Date.now() - 1000 } as unknown as Metadata);
    await expect(lastValueFrom(withoutMetadata)).rejects.toMatchObject({ code: 4 });
  });

  it('takes one token request for 1,000 concurrent calls, and is renewed after it expired', async () => {
    const { directory, identity } = await setUp();
    const calls = Array.from({ length: 1000 }, (_, n) => lastValueFrom(directory.find({ name: String(n) })));
    expect((await Promise.all(calls)).map(({ name }) => name)).toEqual(Array.from({ length: 1000 }, (_, n) => `${n}`));
    expect(identity.tokens.requests).toHaveLength(1);
    await identity.clock.advance(3_601_000);
    await lastValueFrom(directory.find({ name: 'jane' }));
    expect(authorizations().at(-1)).toEqual([`Bearer ${identity.tokens.granted.at(-1)}`]);
    expect(identity.tokens.granted.length).toBeGreaterThan(1);
  });

  it('is renewed after status 16 if no answer has arrived and the request can be sent again', async () => {
    const { directory, identity } = await setUp();
    receiver.refused.add('Bearer token-1');
    await lastValueFrom(directory.find({ name: 'jane' }));
    expect(authorizations()).toEqual([['Bearer token-1'], ['Bearer token-2']]);
    expect(identity.events.filter(({ type }) => type === 'call.replayed')).toHaveLength(1);

    receiver.refused.add('Bearer token-2');
    await identity.clock.advance(10_000);
    expect(await lastValueFrom(directory.list({ name: 'jane' }).pipe(toArray()))).toHaveLength(3);
    expect(authorizations().slice(2)).toEqual([['Bearer token-2'], ['Bearer token-3']]);

    // A stream that was sent is gone; one that has begun to answer is not begun again.
    receiver.refused.add('Bearer token-3');
    const add = lastValueFrom(directory.add(of({ name: 'a' })));
    await expect(add).rejects.toMatchObject({ code: 16 });
    receiver.refused.clear();
    const answers: Entry[] = [];
    const broken = directory.list({ name: 'breaks off' });
    const error = await new Promise<unknown>((error) => broken.subscribe({ next: (a) => answers.push(a), error }));
    expect(answers).toHaveLength(3);
    expect(error).toMatchObject({ code: 16, details: 'not Bearer [access token]' });
    expect(identity.tokens.granted.flatMap((token) => reachablePaths(token, error))).toEqual([]);
    expect(receiver.received).toHaveLength(6);
  });

  it('does not make a hot stream lose items during the wait for the token', async () => {
    const { directory, identity } = await setUp();
    const release = identity.holdTokens();
    const said = new Subject<Partial<Entry>>();
    const heard = lastValueFrom(directory.chat(said).pipe(toArray()));
    said.next({ name: 'early' });
    await release.asked;
    said.next({ name: 'later' });
    release.now();
    await identity.provider.getToken();
    said.next({ name: 'after' });
    said.complete();
    expect((await heard).map(({ name }) => name)).toEqual(['early', 'later', 'after']);
    expect(said.observed).toBe(false);
  });

  it('subscribes to a stream only once, and unsubscribes when the call is cancelled during the wait', async () => {
    const { directory, identity } = await setUp();
    const release = identity.holdTokens();
    const said = new Subject<Partial<Entry>>();
    const call = directory.chat(said).subscribe();
    await release.asked;
    expect(said.observed).toBe(true);
    call.unsubscribe();
    expect(said.observed).toBe(false);
    release.now();
    await identity.provider.getToken();
    let subscriptions = 0;
    const counted = new Observable<Partial<Entry>>((subscriber) => {
      subscriptions += 1;
      return of({ name: 'a' }).pipe(delay(5)).subscribe(subscriber);
    });
    await lastValueFrom(directory.add(counted));
    expect(subscriptions).toBe(1);
    expect(receiver.received).toHaveLength(1);
  });

  it('fails a call before it is sent if unavailable; and cancelling a call cancels it at the receiver', async () => {
    const { directory, identity } = await setUp();
    identity.tokens.fault = json(401, { error: 'invalid_client' });
    await expect(lastValueFrom(directory.find({ name: 'jane' }))).rejects.toThrow(TokenUnavailableError);
    await expect(lastValueFrom(directory.add(of({ name: 'a' })))).rejects.toThrow(TokenUnavailableError);
    expect(receiver.received).toHaveLength(0);
    identity.tokens.fault = undefined;
    identity.provider.retryNow();
    const call = directory.list({ name: 'goes on' });
    await new Promise<void>((resolve) => {
      const subscription = call.subscribe(({ count }) => {
        if (count < 3) return;
        subscription.unsubscribe();
        resolve();
      });
    });
    expect(receiver.received).toHaveLength(1);
  });
});

/** The port that the system chose: Nest does not tell. */
function boundPort(server: INestMicroservice): number {
  const { grpcClient } = (server as unknown as { serverInstance: { grpcClient: object } }).serverInstance;
  const [port] = [...(grpcClient as { boundPorts: Map<string, { portNumber: number }> }).boundPorts.values()];
  return port!.portNumber;
}

/** A Kafka client without a broker: keeps what its producer would be given, and answers as told. */
class RecordedKafka extends ClientKafka {
  readonly sent: { topic: string; messages: { value: unknown; headers: Record<string, unknown> }[] }[] = [];
  /** Headers of the answer to a message with these. */
  answer: (headers: Record<string, unknown>) => object = () => ({ 'kafka_nest-is-disposed': Buffer.alloc(0) });

  override async connect() {
    this.setConsumerAssignments({ payload: { memberAssignment: { 'users.reply': [0] } } } as never);
    const send = async (record: RecordedKafka['sent'][number]) => {
      this.sent.push(structuredClone(record));
      const { headers } = record.messages[0]!;
      if (headers.kafka_correlationId === undefined) return [];
      const answer = { kafka_correlationId: headers.kafka_correlationId, ...this.answer(headers) };
      const message = { value: Buffer.from('{"ok":true}'), headers: answer, key: null, offset: '0' };
      void this.createResponseCallback()({ topic: 'users.reply', partition: 0, message } as never);
      return [];
    };
    return (this._producer = { send, disconnect: async () => {} } as never);
  }
}

describe('the token on messages of Kafka', () => {
  async function setUp() {
    const identity = await machineIdentity();
    closing.push(() => identity.close());
    const client = new RecordedKafka({ client: { brokers: ['127.0.0.1:9092'] } });
    return { identity, client: attachToken(client, identity.provider) };
  }

  it('is a header of the produced record, next to the headers and key of the message, which is not changed', async () => {
    const { client } = await setUp();
    const message = { key: 'k', value: { name: 'jane' }, headers: { 'x-own': 'kept' }, partition: 2 };
    expect(await lastValueFrom(client.send('users', message))).toEqual({ ok: true });
    await lastValueFrom(client.emit('users', { name: 'jane' }), { defaultValue: undefined });
    await lastValueFrom(client.emit('users', 'a text'), { defaultValue: undefined });
    class Message {
      get value() {
        return 'computed';
      }
    }
    await lastValueFrom(client.emit('users', new Message()), { defaultValue: undefined });
    const authorization = 'Bearer token-1';
    expect(client.sent.map(({ messages }) => messages[0])).toMatchObject([
      { key: 'k', value: '{"name":"jane"}', partition: 2, headers: { 'x-own': 'kept', authorization } },
      { value: '{"name":"jane"}', headers: { authorization } },
      { value: 'a text', headers: { authorization } },
      { value: 'computed', headers: { authorization } },
    ]);
    expect(message).toEqual({ key: 'k', value: { name: 'jane' }, headers: { 'x-own': 'kept' }, partition: 2 });
  });

  it('is on each message of a batch, except those with a credential of their own', async () => {
    const { client, identity } = await setUp();
    const messages = [{ value: 'a' }, { value: 'b', headers: { Authorization: 'own' } }];
    await lastValueFrom(client.emitBatch('users', { messages }), { defaultValue: undefined });
    expect(client.sent[0]!.messages.map(({ headers }) => headers)).toEqual([
      { authorization: 'Bearer token-1' },
      { Authorization: 'own' },
    ]);
    await lastValueFrom(client.emitBatch('users', { messages: [messages[1]!] }), { defaultValue: undefined });
    expect(identity.tokens.requests).toHaveLength(1);
    identity.tokens.fault = json(401, { error: 'invalid_client' });
    await identity.clock.advance(3_601_000);
    const batch = lastValueFrom(client.emitBatch('users', { messages }));
    await expect(batch).rejects.toThrow(TokenUnavailableError);
    expect(client.sent).toHaveLength(2);
  });

  it('is not awaited any longer when the application that made the client shuts down', async () => {
    const identity = await machineIdentity();
    const name = 'KAFKA';
    const module = await Test.createTestingModule({
      imports: [ClientsModule.register([{ name, customClass: RecordedKafka as never, options: {} }])],
    }).compile();
    closing.push(() => identity.close());
    const client = attachToken(module.get<RecordedKafka>(name), identity.provider);
    const release = identity.holdTokens();
    const call = Promise.allSettled([lastValueFrom(client.send('users', {}))]);
    await release.asked;
    await module.close();
    expect(await call).toEqual([{ status: 'rejected', reason: new Error('Connection closed') }]);
    release.now();
    await identity.provider.getToken();
    expect(client.sent).toEqual([]);
  });

  it('is renewed if the receiver refuses it, unless that is turned off', async () => {
    const { client, identity } = await setUp();
    const error = JSON.stringify({ code: 'UNAUTHENTICATED', error: 'invalid_token' });
    const { answer } = client;
    client.answer = (headers) =>
      headers.authorization === 'Bearer token-1' ? { 'kafka_nest-err': Buffer.from(error) } : answer(headers);
    await lastValueFrom(client.send('users', { name: 'jane' }));
    expect(client.sent.map(({ messages }) => messages[0]!.headers.authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ]);
    const once = new RecordedKafka({});
    once.answer = () => ({ 'kafka_nest-err': Buffer.from(error) });
    const refused = lastValueFrom(attachToken(once, identity.provider, { replay: false }).send('users', {}));
    await expect(refused).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(once.sent).toHaveLength(1);
  });
});

describe('attaching a token', () => {
  const withIdentity = async (options?: Parameters<typeof machineIdentity>[0]): Promise<MachineIdentity> => {
    const identity = await machineIdentity(options);
    closing.push(() => identity.close());
    return identity;
  };
  const faultOf = (attach: () => unknown) => {
    try {
      attach();
      return undefined;
    } catch (error) {
      return (error as ClientProxyConfigurationError).fault;
    }
  };

  it('is refused if the connection is not encrypted, unless the option allows it', async () => {
    const { provider } = await withIdentity();
    const client = () => new ClientTCP({ host: '10.0.0.7', port: 3000 });
    const attach = () => attachToken(client(), provider);
    expect(attach).toThrow(ClientProxyConfigurationError);
    expect(attach).toThrow('without TLS to tcp://10.0.0.7:3000');
    const unverified = new ClientTCP({ host: '10.0.0.7', port: 3000, tlsOptions: { rejectUnauthorized: false } });
    expect(() => attachToken(unverified, provider)).toThrow('TLS that does not verify the server');
    expect(faultOf(() => attachToken(client(), provider, { unsafeAllowInsecureTransport: true }))).toBeUndefined();
    expect(faultOf(() => attachToken(new ClientTCP({ port: 3000 }), provider))).toBeUndefined();
    const { NODE_ENV } = process.env;
    process.env.NODE_ENV = 'production';
    try {
      expect(faultOf(() => attachToken(new ClientTCP({ port: 3000 }), provider))).toBe('transport_insecure');
    } finally {
      process.env.NODE_ENV = NODE_ENV;
    }
  });

  it('is refused if the transport cannot carry a token', async () => {
    const { provider } = await withIdentity();
    expect(faultOf(() => attachToken(new ClientMqtt({}), provider))).toBe('no_place_for_token');
    // As in Nest 11.
    const old = Object.assign(new ClientTCP({}), { setOnDispatchHook: undefined });
    expect(faultOf(() => attachToken(old, provider))).toBe('no_place_for_token');
    class Pigeons {
      send() {}
    }
    const unknown = new Pigeons() as unknown as ClientTCP;
    expect(faultOf(() => attachToken(unknown, provider))).toBe('transport_unknown');
  });

  it('is refused if the token might not arrive, or not as the only one', async () => {
    const { provider } = await withIdentity();
    const serializer = { serialize: (value: unknown) => value };
    const tcp = () => new ClientTCP({ serializer });
    expect(faultOf(() => attachToken(tcp(), provider))).toBe('serializer_unknown');
    expect(faultOf(() => attachToken(tcp(), provider, { serializerKeepsHeaders: true }))).toBeUndefined();
    const kafka = new ClientKafka({ serializer });
    expect(faultOf(() => attachToken(kafka, provider))).toBe('serializer_unknown');
    const preset = { protocolVersion: 5 as const, userProperties: { Authorization: 'own' } };
    expect(faultOf(() => attachToken(new ClientMqtt(preset), provider))).toBe('authorization_preset');
  });

  it('twice has the effect of once, and another token cannot replace the first', async () => {
    const { provider } = await withIdentity();
    const other = await withIdentity();
    const client = attachToken(new ClientTCP({}), provider, { token: { scope: 'a' } });
    const { publish } = client as unknown as { publish: unknown };
    expect(attachToken(client, provider, { token: { scope: 'a' } })).toBe(client);
    expect((client as unknown as { publish: unknown }).publish).toBe(publish);
    expect(faultOf(() => attachToken(client, provider))).toBe('attached_otherwise');
    expect(faultOf(() => attachToken(client, other.provider, { token: { scope: 'a' } }))).toBe('attached_otherwise');
  });

  it('does not put the token on a message that the broker would retain', () => {
    const place = tokenPlaceOf(new ClientMqtt({ protocolVersion: 5 }))!;
    const retained = { pattern: 'users', data: new MqttRecordBuilder({}).setRetain(true).build() };
    expect(faultOf(() => place.put(retained, 'Bearer token'))).toBe('message_retained');
  });

  it('is refused if tokens are bound to a key, which no message can prove', async () => {
    const { provider, tokens } = await withIdentity({ dpop: true, allowedOrigins: ['http://127.0.0.1:1'] });
    tokens.fault = json(200, { access_token: 'bound', token_type: 'DPoP', expires_in: 3600 });
    const kafka = attachToken(new RecordedKafka({}), provider);
    await expect(lastValueFrom(kafka.send('users', {}))).rejects.toThrow(TokenNotBearerError);
    await expect(lastValueFrom(kafka.emit('users', {}))).rejects.toThrow(TokenNotBearerError);
    expect(kafka.sent).toEqual([]);
    await expect(authorizationFor(provider, 'ws://127.0.0.1:1')).rejects.toThrow(TokenNotBearerError);
  });

  it('keeps nothing of calls that were cancelled, before or after they were sent', async () => {
    const identity = await withIdentity();
    const { provider } = identity;
    const carrier = carrierOf(provider);
    const client = {
      carrier,
      receiver: 'tcp://a',
      token: undefined,
      replay: true,
      waits: new Set<never>(),
    };
    const release = identity.holdTokens();
    let sent = 0;
    const call = authorizedCall(client, {
      isReplayable: true,
      exchange: () => {
        sent += 1;
        return NEVER;
      },
    });
    call.subscribe().unsubscribe();
    const waiting = call.subscribe();
    expect(client.waits.size).toBe(1);
    release.now();
    await provider.getToken();
    await new Promise(setImmediate);
    expect(sent).toBe(1);
    waiting.unsubscribe();
    call.subscribe().unsubscribe();
    expect(sent).toBe(2);
    expect(client.waits.size).toBe(0);
  });

  it('redacts the token in errors of a broker’s client, and in nothing that is still in use', () => {
    class Connection {
      readonly queue = ['{"authorization":"Bearer secret-token"}'];
    }
    const error = Object.assign(new Error('NOPERM', { cause: { body: 'Bearer secret-token' } }), {
      command: { name: 'publish', args: ['users', '{"metadata":{"authorization":"Bearer secret-token"}}'] },
      connection: new Connection(),
    });
    Object.assign(error, { self: error });
    expect(redactToken(error, 'secret-token')).toBe(error);
    expect(reachablePaths('secret-token', error)).toEqual(['.connection.queue.0']);
    expect(error.command.args).toEqual(['users', '{"metadata":{"authorization":"Bearer [access token]"}}']);
    expect(redactToken('not secret-token', 'secret-token')).toBe('not [access token]');
  });

  it('finds the servers that a client connects to, and its transport security', () => {
    const client = (transport: Transport, options: object) =>
      messageServersOf(ClientProxyFactory.create({ transport, options } as never))!.map(
        ({ name, isLocal, protection }) => `${name} ${isLocal ? 'local' : 'remote'} ${protection}`,
      );
    const cases: [Transport, object, string[]][] = [
      [Transport.TCP, {}, ['tcp://localhost:3000 local none']],
      [Transport.TCP, { host: '::1', port: 1 }, ['tcp://[::1]:1 local none']],
      [Transport.TCP, { host: 'localhost.evil.example', port: 1 }, ['tcp://localhost.evil.example:1 remote none']],
      [Transport.TCP, { host: 'a.example', port: 1, tlsOptions: {} }, ['tcp://a.example:1 remote TLS']],
      [Transport.REDIS, {}, ['redis://localhost:6379 local none']],
      [Transport.REDIS, { host: 'a.example', tls: {} }, ['redis://a.example:6379 remote TLS']],
      [Transport.REDIS, { path: '/run/redis.sock' }, ['redis://localhost:6379 local none']],
      [Transport.REDIS, { sentinels: [{ host: '127.0.0.1', port: 1 }] }, ['redis://127.0.0.1:1 remote none']],
      [Transport.NATS, {}, ['nats://localhost:4222 local none']],
      // The scheme alone turns nothing on.
      [Transport.NATS, { servers: 'tls://a.example:4222' }, ['nats://a.example:4222 remote none']],
      [
        Transport.NATS,
        { servers: ['u:p@a.example', 'LOCALHOST'], tls: {} },
        ['nats://a.example remote TLS', 'nats://localhost local TLS'],
      ],
      [Transport.MQTT, {}, ['mqtt://localhost:1883 local none']],
      [Transport.MQTT, { url: 'mqtts://u:p@a.example/' }, ['mqtt://a.example remote TLS']],
      [
        Transport.MQTT,
        { url: 'mqtts://a.example', rejectUnauthorized: false },
        ['mqtt://a.example remote TLS without verification'],
      ],
      [Transport.MQTT, { url: 'mqtt://localhost', host: 'a.example' }, ['mqtt://a.example remote none']],
      [Transport.MQTT, { url: 'mqtts://a.example', protocol: 'mqtt' }, ['mqtt://a.example remote none']],
      [
        Transport.MQTT,
        {
          url: 'mqtt://localhost',
          servers: [
            { host: 'a.example', port: 1, protocol: 'mqtts' },
            { host: 'b.example', port: 2 },
          ],
        },
        ['mqtt://a.example:1 remote TLS', 'mqtt://b.example:2 remote none'],
      ],
      [Transport.RMQ, {}, ['amqp://localhost local none']],
      [
        Transport.RMQ,
        { urls: ['amqps://u:p@a.example/v', 'amqp://127.0.0.1'] },
        ['amqp://a.example remote TLS', 'amqp://127.0.0.1 local none'],
      ],
      [
        Transport.RMQ,
        { urls: [{ protocol: 'amqps', hostname: 'a.example', port: 1 }] },
        ['amqp://a.example:1 remote TLS'],
      ],
      [
        Transport.RMQ,
        { urls: ['amqps://a.example'], socketOptions: { connectionOptions: { rejectUnauthorized: false } } },
        ['amqp://a.example remote TLS without verification'],
      ],
      [Transport.RMQ, { socketOptions: { findServers: () => [] } }, ['amqp:socketOptions.findServers remote none']],
      [Transport.KAFKA, {}, ['kafka://localhost:9092 local none']],
      [
        Transport.KAFKA,
        { client: { brokers: ['a.example:1', 'b.example:2'], ssl: true } },
        ['kafka://a.example:1 remote TLS', 'kafka://b.example:2 remote TLS'],
      ],
      [Transport.KAFKA, { client: { brokers: () => [] } }, ['kafka:client.brokers remote none']],
    ];
    for (const [transport, options, servers] of cases) expect(client(transport, options)).toEqual(servers);
    const proto = { package: 'directory', protoPath: join(process.cwd(), 'test/support/directory.proto') };
    const grpc = (options: object) => client(Transport.GRPC, { ...proto, ...options });
    expect(grpc({ url: '127.0.0.1:1' })).toEqual(['grpc://127.0.0.1:1 local none']);
    expect(grpc({ url: 'dns:///a.example:1', credentials: credentials.createSsl() })).toEqual([
      'grpc://a.example:1 remote TLS',
    ]);
    expect(grpc({ url: 'a.example:1', credentials: credentials.createInsecure() })).toEqual([
      'grpc://a.example:1 remote none',
    ]);
    expect(grpc({ url: 'ipv4:127.0.0.1:1,10.0.0.7:2' })).toEqual([
      'grpc://127.0.0.1:1 local none',
      'grpc://10.0.0.7:2 remote none',
    ]);
    expect(grpc({ url: 'unix:/run/directory.sock' })).toEqual(['grpc:unix:/run/directory.sock local none']);
  });
});

describe('the token on a call that no carrier makes', () => {
  async function setUp() {
    const upgrades: IncomingMessage[] = [];
    const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    sockets.on('connection', (_socket, request) => upgrades.push(request));
    await once(sockets, 'listening');
    const { port } = sockets.address() as AddressInfo;
    const identity = await machineIdentity({ allowedOrigins: [`http://127.0.0.1:${port}/socket`] });
    closing.push(
      () => identity.close(),
      () => new Promise((resolve) => sockets.close(resolve)),
    );
    return { ...identity, upgrades, url: `ws://127.0.0.1:${port}/socket` };
  }

  it('is on the handshake of each WebSocket to an allowed origin, renewed after it expired', async () => {
    const { provider, url, upgrades, clock, tokens } = await setUp();
    const connect = async (to: string) => {
      const authorization = await authorizationFor(provider, to);
      const socket = new WebSocket(to, { headers: { ...(authorization && { authorization }) } });
      await once(socket, 'open');
      socket.close();
      await once(socket, 'close');
    };
    await connect(url);
    await clock.advance(3_601_000);
    await connect(url);
    await connect(url.replace('/socket', '/elsewhere'));
    const sent = upgrades.map(({ headers }) => headers.authorization);
    expect(sent).toEqual(['Bearer token-1', `Bearer ${tokens.granted.at(-1)}`, undefined]);
    expect(tokens.granted.length).toBeGreaterThan(1);
  });

  it('is only for allowed origins, with or without TLS as named', async () => {
    const { provider, url, events, tokens } = await setUp();
    expect(await authorizationFor(provider, url.replace('ws:', 'wss:'))).toBeUndefined();
    expect(await authorizationFor(provider, url.replace('127.0.0.1', 'localhost'))).toBeUndefined();
    expect(await authorizationFor(provider, 'not an address')).toBeUndefined();
    expect(tokens.requests).toHaveLength(0);
    expect(events.map(({ type }) => type)).toEqual(times(3, 'call.refused_origin'));
    expect(await authorizationFor(provider, url.replace('ws:', 'http:'))).toBe('Bearer token-1');
    expect(await authorizationFor(provider, url.replace('ws:', 'WS:'), { scope: 'other' })).toBe('Bearer token-2');
    tokens.fault = json(401, { error: 'invalid_client' });
    await expect(authorizationFor(provider, url, { scope: 'third' })).rejects.toThrow(TokenUnavailableError);
  });

  it('is given to a callback that requests it for each connection', async () => {
    const { provider, url } = await setUp();
    const auth = (send: (credentials: object) => void) =>
      void authorizationFor(provider, url).then(
        (value) => send({ token: value?.split(' ')[1] }),
        () => send({}),
      );
    expect(await new Promise(auth)).toEqual({ token: 'token-1' });
    const connectionParams = async () => ({ authorization: await authorizationFor(provider, url) });
    expect(await connectionParams()).toEqual({ authorization: 'Bearer token-1' });
  });
});
