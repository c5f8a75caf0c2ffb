import { channel } from 'node:diagnostics_channel';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import {
  type ArgumentsHost,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplication,
  Injectable,
  Module,
  type NestInterceptor,
  Scope,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { type ModulesContainer, NestFactory } from '@nestjs/core';
import {
  BaseRpcContext,
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  KafkaContext,
  KafkaRetriableException,
  MessagePattern,
  MqttContext,
  NatsContext,
  Payload,
  RedisContext,
  RmqContext,
  RmqRecordBuilder,
  RpcException,
  ServerKafka,
  ServerRMQ,
  TcpContext,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { connect as connectAmqp } from 'amqplib';
import {
  Caller,
  type CredentialExtractor,
  CurrentCaller,
  AccessDecisions,
  IdentityM2MConfigurationError,
  M2MAuthGuard,
  type MachineCaller,
  Public,
  RequireScopes,
  UnguardedMessageHandlersError,
} from 'nestjs-identity-m2m';
import { lastValueFrom, of, tap, throwError } from 'rxjs';
// From inside: a container that Nest does not fill as expected is made by hand.
import { guardMessageHandlers } from '../libs/identity-m2m/src/guard/guard-placement.js';
import {
  eventually,
  GuardedMessages,
  MemoryStrategy,
  Messages,
  noted,
  tcpContext,
  topic,
} from './support/guarded-messages.js';
import { describeWithServer } from './support/servers.js';

const unauthenticated = { code: 'UNAUTHENTICATED', error: 'unauthorized', message: 'An access token is required.' };

let messages: GuardedMessages;
let bearer: string;
beforeAll(async () => {
  messages = await GuardedMessages.start();
  bearer = `Bearer ${await messages.token()}`;
});
afterAll(() => messages.close());
beforeEach(() => {
  messages.events.length = 0;
  noted.length = 0;
});

describe('message handlers under a global guard', () => {
  async function withStrategy(
    test: (strategy: MemoryStrategy, app: INestApplication) => Promise<void>,
    options: Parameters<GuardedMessages['hybrid']>[1] = {},
  ): Promise<void> {
    const strategy = new MemoryStrategy();
    const app = await messages.hybrid([{ strategy }], options);
    try {
      await test(strategy, app);
    } finally {
      await app.close();
    }
  }

  it.each([false, true])('N1: are guarded once, with inheritAppConfig: %s', async (inheritAppConfig) => {
    await withStrategy(
      async (strategy) => {
        await expect(strategy.deliver('whoami', {}, tcpContext())).rejects.toEqual(unauthenticated);
        expect(await strategy.deliver('whoami', {}, tcpContext(bearer))).toMatchObject({ data: {} });
        expect(messages.events.map(({ type }) => type)).toEqual(['caller.refused', 'caller.accepted']);
      },
      { inheritAppConfig },
    );
  });

  it('N1: are guarded once in an application with only messages', async () => {
    const strategy = new MemoryStrategy();
    const module = await messages.module([Messages]).compile();
    const app = module.createNestMicroservice({ strategy, logger: false });
    await app.listen();
    await expect(strategy.deliver('whoami', {}, tcpContext())).rejects.toEqual(unauthenticated);
    expect(await strategy.deliver('whoami', {}, tcpContext(bearer))).toMatchObject({ data: {} });
    expect(app.get(AccessDecisions).counts()).toEqual({
      tcp: { accepted: 1, refused: { credential_missing: 1 } },
    });
    await app.close();
  });

  it('N1: are guarded by the guard of their own application, if several share a class', async () => {
    const other = await GuardedMessages.start();
    const strategies = [new MemoryStrategy(), new MemoryStrategy(), new MemoryStrategy()] as const;
    @Controller()
    class Shared {
      @MessagePattern(topic('shared'))
      shared() {
        return 'shared';
      }
    }
    const controllers = [Shared];
    @Module({ controllers })
    class Unguarded {}
    const apps = [
      await messages.hybrid([{ strategy: strategies[0] }], { controllers }),
      await other.hybrid([{ strategy: strategies[1] }], { controllers }),
      await NestFactory.createMicroservice(Unguarded, { strategy: strategies[2], logger: false }),
    ];
    const bearerOfOther = `Bearer ${await other.token()}`;
    expect(await strategies[0].deliver('shared', {}, tcpContext(bearer))).toBe('shared');
    expect(await strategies[1].deliver('shared', {}, tcpContext(bearerOfOther))).toBe('shared');
    for (const [strategy, foreign] of [
      [strategies[0], bearerOfOther],
      [strategies[1], bearer],
    ] as const) {
      await expect(strategy.deliver('shared', {}, tcpContext(foreign))).rejects.toMatchObject({
        error: 'invalid_token',
      });
    }
    await (apps[2] as Awaited<ReturnType<typeof NestFactory.createMicroservice>>).listen();
    expect(await strategies[2].deliver('shared', {}, tcpContext())).toBe('shared');
    for (const app of apps) await app.close();
    await other.close();
  });

  it('N1: are not guarded by a guard that is not global, unless it is put on them', async () => {
    @Controller()
    class Some {
      @MessagePattern(topic('plain'))
      plain() {
        return 'plain';
      }

      @MessagePattern(topic('guarded'))
      @UseGuards(M2MAuthGuard)
      guarded(@Caller() caller: MachineCaller) {
        return caller.clientId;
      }
    }
    const strategy = new MemoryStrategy();
    const module = Test.createTestingModule({ imports: [messages.guardModule({}, false)], controllers: [Some] });
    const app = (await module.compile()).createNestApplication();
    app.useLogger(false);
    app.connectMicroservice({ strategy });
    await app.startAllMicroservices();
    expect(await strategy.deliver('plain', {}, tcpContext())).toBe('plain');
    await expect(strategy.deliver('guarded', {}, tcpContext())).rejects.toEqual(unauthenticated);
    expect(await strategy.deliver('guarded', {}, tcpContext(bearer))).toBe('provisioning');
    await app.close();
  });

  it('N1: prevent the start if Nest does not accept the guard', () => {
    const modules = new Map([
      [
        'a',
        {
          controllers: new Map([['b', { metatype: Messages }]]),
          providers: new Map(),
          injectables: new Map(),
          addInjectable() {},
        },
      ],
    ]) as unknown as ModulesContainer;
    expect(() => guardMessageHandlers(modules, { canActivate: () => true })).toThrow(UnguardedMessageHandlersError);
  });

  it('N11: have the restrictions of the methods that they override and of decorators below others', async () => {
    const wrapped: MethodDecorator = (_target, _name, descriptor) => {
      const original = descriptor.value as unknown as (...args: unknown[]) => unknown;
      descriptor.value = function (this: unknown, ...args: unknown[]) {
        return original.apply(this, args);
      } as never;
    };
    class Base {
      @RequireScopes('admin')
      overridden() {
        return 'base';
      }
      @RequireScopes('admin')
      opened() {
        return 'base';
      }
      @Public()
      closed() {
        return 'base';
      }
    }
    const key = Symbol('key');
    @Controller()
    class Derived extends Base {
      @MessagePattern(topic('overridden'))
      override overridden() {
        return 'derived';
      }
      @MessagePattern(topic('opened'))
      @Public()
      override opened() {
        return 'derived';
      }
      @MessagePattern(topic('closed'))
      override closed() {
        return 'derived';
      }
      @MessagePattern(topic('wrapped'))
      @wrapped
      @RequireScopes('admin')
      wrapped() {
        return 'wrapped';
      }
      @MessagePattern(topic('replaced'))
      @RequireScopes('users.read')
      replaced() {
        return 'replaced';
      }
      @RequireScopes('admin')
      [key]() {
        return 'symbol';
      }
    }
    await withStrategy(
      async (strategy) => {
        for (const pattern of ['overridden', 'opened', 'wrapped']) {
          await expect(strategy.deliver(pattern, {}, tcpContext(bearer))).rejects.toMatchObject({
            error: 'insufficient_scope',
          });
        }
        await expect(strategy.deliver('closed', {}, tcpContext())).rejects.toEqual(unauthenticated);
        expect(await strategy.deliver('replaced', {}, tcpContext(bearer))).toBe('replaced');
      },
      { controllers: [Derived] },
    );
  });

  it('N11: are refused if the handler is not a method of its class, because its rules are unknown', async () => {
    @Controller()
    class Strange {
      constructor() {
        this.replaced = Object.assign(() => 'replaced', {});
        this.bound = this.bound.bind(this);
      }

      @MessagePattern(topic('replaced'))
      replaced() {
        return 'original';
      }

      @MessagePattern(topic('bound'))
      @RequireScopes('admin')
      bound() {
        return 'bound';
      }
    }
    await withStrategy(
      async (strategy) => {
        await expect(strategy.deliver('replaced', {}, tcpContext(bearer))).rejects.toMatchObject({
          error: 'forbidden',
        });
        expect(messages.events.at(-1)).toMatchObject({ reason: 'handler_unknown' });
        await expect(strategy.deliver('bound', {}, tcpContext(bearer))).rejects.toMatchObject({
          error: 'insufficient_scope',
        });
      },
      { controllers: [Strange] },
    );
  });

  it('N12: are guarded before their own guards, interceptors and filters, and also if created for each message', async () => {
    const order: string[] = [];
    @Injectable()
    class OwnGuard implements CanActivate {
      canActivate() {
        order.push('guard');
        return true;
      }
    }
    @Injectable()
    class OwnInterceptor implements NestInterceptor {
      constructor(private readonly callers: CurrentCaller) {}

      intercept(_context: ExecutionContext, next: { handle(): ReturnType<typeof of> }) {
        order.push(`interceptor of ${this.callers.get()?.clientId}`);
        return next.handle().pipe(tap(() => order.push(`answer to ${this.callers.get()?.clientId}`)));
      }
    }
    @Catch()
    class OwnFilter implements ExceptionFilter {
      catch(exception: unknown, _host: ArgumentsHost) {
        order.push(exception instanceof RpcException ? 'filter' : 'filter of something else');
        return throwError(() => (exception as RpcException).getError());
      }
    }
    @Controller({ scope: Scope.REQUEST })
    @UseGuards(OwnGuard)
    class PerMessage {
      @MessagePattern(topic('own'))
      @UseInterceptors(OwnInterceptor)
      @UseFilters(OwnFilter)
      own(@Caller() caller: MachineCaller) {
        return [caller.clientId, Object.isFrozen(caller)];
      }
    }
    await withStrategy(
      async (strategy) => {
        await expect(strategy.deliver('own', {}, tcpContext())).rejects.toEqual(unauthenticated);
        expect(order).toEqual(['filter']);
        expect(await strategy.deliver('own', {}, tcpContext(bearer))).toEqual(['provisioning', true]);
        expect(order.slice(1)).toEqual(['guard', 'interceptor of provisioning', 'answer to provisioning']);
      },
      { controllers: [PerMessage] },
    );
  });

  it('N13: have their callers followed only if CurrentCaller is injected, until the application ends', async () => {
    @Controller()
    class Indifferent {
      @MessagePattern(topic('indifferent'))
      indifferent(@Caller() caller: MachineCaller) {
        return caller.clientId;
      }
    }
    const isFollowed = () => channel('http.server.request.start').hasSubscribers;
    await withStrategy(
      async (strategy) => {
        expect(await strategy.deliver('indifferent', {}, tcpContext(bearer))).toBe('provisioning');
        expect(isFollowed()).toBe(false);
      },
      { controllers: [Indifferent] },
    );
    await withStrategy(() => Promise.resolve(expect(isFollowed()).toBe(true)));
    expect(isFollowed()).toBe(false);
  });

  it('N13: know each its own caller, however many run at once', async () => {
    await withStrategy(async (strategy, app) => {
      const clients = Array.from({ length: 20 }, (_, index) => `client-${index}`);
      const found = await Promise.all(
        clients.map(async (id) => {
          const token = await messages.token({ client_id: id, sub: id });
          const answer = await strategy.deliver('whoami', {}, tcpContext(`Bearer ${token}`));
          return (answer as { callers: unknown }).callers;
        }),
      );
      expect(found).toEqual(clients.map((id) => [id, id, id]));
      expect((await app.resolve(CurrentCaller)).get()).toBeUndefined();
      expect(await strategy.deliver('open', {}, tcpContext(bearer))).toEqual({ callers: [null, null] });
    });
  });

  it.each(['ws', 'graphql', 'something else'])('N2: are refused by a context of type %s', async (type) => {
    await withStrategy(async (_strategy, app) => {
      const args = [{ headers: { authorization: bearer } }, tcpContext(bearer)];
      const context = {
        getType: () => type,
        getClass: () => Messages,
        getHandler: () => Reflect.get(Messages.prototype, 'whoami'),
        getArgs: () => args,
        getArgByIndex: (index: number) => args[index],
      } as unknown as ExecutionContext;
      expect(await app.get(M2MAuthGuard, { strict: false }).canActivate(context)).toBe(false);
      expect(messages.events).toEqual([
        expect.objectContaining({ type: 'caller.refused', transport: 'unknown', reason: 'transport_unknown' }),
      ]);
    });
  });

  describe('by a strategy of the application', () => {
    class OwnContext extends BaseRpcContext<[Record<string, unknown>]> {}
    class DerivedContext extends OwnContext {}
    const extractor: CredentialExtractor<OwnContext> = {
      transport: 'own',
      context: OwnContext,
      authorization: (context) => (context.getArgs()[0].tokens as string[]).map((token) => `Bearer ${token}`),
    };
    const own = (tokens: unknown) => new OwnContext([{ tokens }]);

    it('N2: are refused without an extractor', async () => {
      await withStrategy(async (strategy) => {
        const forbidden = {
          code: 'PERMISSION_DENIED',
          error: 'forbidden',
          message: 'This client is not allowed here.',
        };
        const authorization = bearer;
        for (const context of [
          own([await messages.token()]),
          undefined,
          null,
          'text',
          { authorization, getMetadata: () => ({ authorization }) },
          { constructor: { name: 'TcpContext' }, getMetadata: () => ({ authorization }) },
        ]) {
          await expect(strategy.deliver('whoami', { authorization }, context)).rejects.toEqual(forbidden);
          expect(messages.events.at(-1)).toMatchObject({ transport: 'unknown', reason: 'transport_unknown' });
        }
        expect(await strategy.deliver('open', {}, undefined)).toEqual({ callers: [null, null] });
      });
    });

    it('N2: are read by its extractor', async () => {
      await withStrategy(
        async (strategy) => {
          const token = await messages.token();
          const answer = { callers: ['provisioning', 'provisioning', 'provisioning'] };
          expect(await strategy.deliver('whoami', {}, own([token]))).toMatchObject(answer);
          expect(await strategy.deliver('whoami', {}, new DerivedContext([{ tokens: [token] }]))).toMatchObject(answer);
          expect(messages.events.at(-1)).toMatchObject({ transport: 'own' });
          for (const [tokens, code] of [
            [[], 'UNAUTHENTICATED'],
            [[token, token], 'INVALID_ARGUMENT'],
            [[''], 'INVALID_ARGUMENT'],
            ['not a list', 'INVALID_ARGUMENT'],
          ] as const) {
            await expect(strategy.deliver('whoami', {}, own(tokens))).rejects.toMatchObject({ code });
          }
        },
        { guard: { extractors: [extractor] } },
      );
    });

    it.each([
      ['a name with spaces', { ...extractor, transport: 'a b' }],
      ['the class of all objects', { ...extractor, context: Object }],
      ['no function', { ...extractor, authorization: 'header' }],
      ['nothing', undefined],
    ])('are not read by an extractor with %s', (_name, wrong) => {
      expect(() => messages.guardModule({ extractors: [wrong as never] })).not.toThrow();
      return expect(
        Test.createTestingModule({ imports: [messages.guardModule({ extractors: [wrong as never] })] }).compile(),
      ).rejects.toThrow(IdentityM2MConfigurationError);
    });
  });

  describe.each<[string, (authorization: unknown) => object]>([
    ['tcp', (authorization) => new TcpContext([{}, 'x', { authorization }] as never)],
    ['redis', (authorization) => new RedisContext(['x', { authorization }] as never)],
    [
      'nats',
      (authorization) =>
        new NatsContext(['x', { keys: () => ['authorization'], values: () => [authorization] }] as never),
    ],
    ['mqtt', (authorization) => new MqttContext(['x', { properties: { userProperties: { authorization } } }] as never)],
    ['rabbitmq', (authorization) => new RmqContext([{ properties: { headers: { authorization } } }, {}, 'x'] as never)],
    ['kafka', (authorization) => new KafkaContext([{ headers: { authorization } }] as never)],
  ])('carried by %s', (transport, context) => {
    // Every value of NATS stands in a list, and none is one.
    if (transport !== 'nats') {
      it.each([1, 2])('N3: are refused with a list of %d valid tokens instead of one', async (length) => {
        await withStrategy(async (strategy) => {
          // Kafka's is skipped.
          await strategy.deliver('whoami', {}, context(Array.from({ length }, () => bearer))).catch(() => {});
          expect(messages.events[0]).toMatchObject({
            type: 'caller.refused',
            transport,
            reason: length === 1 ? 'credential_malformed' : 'credential_repeated',
          });
        });
      });
    }

    it('P2: are refused with a token of 1 MB, without reading it', async () => {
      await withStrategy(async (strategy) => {
        const long = context(`Bearer ${'a'.repeat(1_000_000)}`);
        // Kafka's is skipped.
        await strategy.deliver('whoami', {}, long).catch(() => {});
        expect(messages.events.find(({ type }) => type === 'caller.refused')).toMatchObject({
          transport,
          reason: 'token_too_long',
          tokenFingerprint: undefined,
        });
      });
    });
  });
});

describe('a message of Kafka', () => {
  /** What the server would hand to kafkajs to send. */
  const sent: { readonly messages: readonly { readonly headers: Record<string, Buffer> }[] }[] = [];
  const server = new ServerKafka({ client: { brokers: [] } });
  let app: INestApplication;

  beforeAll(async () => {
    Object.assign(server, { listen: (started: () => void) => started() });
    app = await messages.hybrid([{ strategy: server }]);
    Object.assign(server, { producer: { send: (message: never) => sent.push(message), disconnect() {} } });
  });
  afterAll(() => app.close());
  beforeEach(() => {
    sent.length = 0;
  });

  /** As kafkajs hands it over: resolves where the offset is committed, rejects where it comes again. */
  const deliver = (pattern: string, headers: Record<string, unknown>) =>
    server.handleMessage({
      topic: topic(pattern),
      partition: 0,
      message: { key: null, value: Buffer.from('{"a":1}'), headers } as never,
      heartbeat: () => Promise.resolve(),
      pause: () => () => {},
    });
  const reply = { kafka_correlationId: Buffer.from('1'), kafka_replyTopic: Buffer.from('answers') };
  const answered = async () => (await eventually(() => sent[0])).messages[0]!;

  it('is allowed with a token, and handled', async () => {
    await deliver('noted', { authorization: Buffer.from(bearer) });
    expect(noted).toEqual([{ data: { a: 1 }, clientId: 'provisioning' }]);
    await deliver('whoami', { AUTHORIZATION: Buffer.from(bearer), ...reply });
    expect((await answered()).headers).not.toHaveProperty('kafka_nest-err');
  });

  it('is skipped if it is a refused event, and never delivered again', async () => {
    await deliver('noted', {});
    // Taken for an event by Nest, because nobody can be answered.
    await deliver('whoami', { kafka_correlationId: Buffer.from('1') });
    expect(noted).toEqual([]);
    const refused = [
      expect.objectContaining({ type: 'caller.refused', transport: 'kafka', reason: 'credential_missing' }),
      { type: 'message.skipped', transport: 'kafka', reason: 'credential_missing' },
    ];
    expect(messages.events).toEqual([...refused, ...refused]);
  });

  it('is delivered again if the guard can’t decide', async () => {
    const undecidable = Buffer.from(`Bearer ${await messages.undecidableToken()}`);
    await expect(deliver('noted', { authorization: undecidable })).rejects.toThrow(KafkaRetriableException);
    expect(messages.events.at(-1)).toEqual({
      type: 'message.retried',
      transport: 'kafka',
      reason: 'issuer_unavailable',
    });
  });

  it('gets a reply if the sender waits for one', async () => {
    await deliver('whoami', reply);
    const error = JSON.parse(String((await answered()).headers['kafka_nest-err'])) as unknown;
    expect(error).toEqual(unauthenticated);
  });

  test.each<[string, (authorization: string) => unknown]>([
    ['that is a list', (value) => [Buffer.from(value), Buffer.from(value)]],
    ['that Nest parses to an object', () => Buffer.from('{"a":1}')],
    ['that Nest parses to a list', (value) => Buffer.from(JSON.stringify([value, value]))],
    ['that Nest leaves as bytes', (value) => Buffer.from(`\0${value}`)],
    ['that is null', () => null],
    ['of two tokens in one', (value) => Buffer.from(`${value},${value}`)],
  ])('N5: is refused with a header %s', async (_name, header) => {
    await deliver('noted', { authorization: header(bearer) });
    expect(noted).toEqual([]);
    expect(messages.events.at(-1)).toMatchObject({ type: 'message.skipped' });
  });

  it('N5: is refused with headers whose names differ in case', async () => {
    await deliver('noted', { authorization: Buffer.from(bearer), Authorization: Buffer.from(bearer) });
    expect(messages.events.at(-1)).toMatchObject({ reason: 'credential_repeated' });
  });
});

await describeWithServer('a message of RabbitMQ that waits for an acknowledgement', ['RabbitMQ', 5672], () => {
  const url = 'amqp://guest:guest@127.0.0.1:5672';
  const seenByFilter: unknown[] = [];

  /** What applications have that acknowledge by themselves. */
  @Catch()
  class SettlingFilter implements ExceptionFilter {
    catch(exception: unknown, host: ArgumentsHost) {
      seenByFilter.push(exception);
      const context = host.switchToRpc().getContext<RmqContext>();
      (context.getChannelRef() as { nack(...args: unknown[]): void }).nack(context.getMessage(), false, false);
      return throwError(() => ({ settled: 'by the filter' }));
    }
  }

  @Controller()
  @UseFilters(SettlingFilter)
  class Acknowledging {
    @MessagePattern(topic('acknowledged'))
    acknowledged(@Ctx() context: RmqContext) {
      (context.getChannelRef() as { ack(message: unknown): void }).ack(context.getMessage());
      return 'acknowledged';
    }

    @EventPattern({ event: topic('happened') })
    happened(@Payload() _data: unknown) {
      return 'handled';
    }
  }

  /** One message at a time, so that one that is left unsettled would stop everything. */
  const optionsFor = (name: string) => ({
    urls: [url],
    queue: topic(name),
    noAck: false,
    prefetchCount: 1,
    queueOptions: {
      durable: false,
      autoDelete: true,
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': topic(`${name}-dead`) },
    },
  });

  async function withQueue(
    name: string,
    strategy: ServerRMQ | undefined,
    test: (client: ClientProxy, dead: () => Promise<number>) => Promise<void>,
  ): Promise<void> {
    const connection = await connectAmqp(url);
    const channel = await connection.createChannel();
    await channel.assertQueue(topic(`${name}-dead`), { durable: false, autoDelete: true });
    const options = optionsFor(name);
    const app = await messages.hybrid([strategy ? { strategy } : { transport: Transport.RMQ, options }], {
      controllers: [Acknowledging],
    });
    const client = ClientProxyFactory.create({
      transport: Transport.RMQ,
      options: { ...options, noAck: true, prefetchCount: 0 },
    });
    try {
      await test(client, async () => (await channel.checkQueue(topic(`${name}-dead`))).messageCount);
    } finally {
      await client.close();
      await app.close();
      await channel.deleteQueue(topic(`${name}-dead`));
      await connection.close();
    }
  }

  const withToken = (authorization: string) =>
    new RmqRecordBuilder({}).setOptions({ headers: { authorization } }).build();
  const rejected = (client: ClientProxy, data: unknown) =>
    lastValueFrom(client.send(topic('acknowledged'), data)).then(
      () => Promise.reject(new Error('accepted')),
      (error: unknown) => error,
    );

  it('N8: goes to the dead letter exchange if it is refused, and blocks no other', async () => {
    await withQueue('manual', undefined, async (client, dead) => {
      expect(await rejected(client, {})).toEqual(unauthenticated);
      const undecidable = withToken(`Bearer ${await messages.undecidableToken()}`);
      expect(await rejected(client, undecidable)).toMatchObject({ code: 'UNAVAILABLE' });
      await lastValueFrom(client.emit({ event: topic('happened') }, {}), { defaultValue: undefined });
      expect(await lastValueFrom(client.send(topic('acknowledged'), withToken(bearer)))).toBe('acknowledged');
      await eventually(async () => ((await dead()) === 3 ? true : undefined));
      expect(seenByFilter).toEqual([]);
      expect(messages.events.filter(({ type }) => type.startsWith('message.'))).toEqual(
        ['credential_missing', 'issuer_unavailable', 'credential_missing'].map((reason) => ({
          type: 'message.dead_lettered',
          transport: 'rabbitmq',
          reason,
        })),
      );
    });
  });

  it('N8: is left to the application if its server is custom and its mode unknown', async () => {
    class OwnServer extends ServerRMQ {
      override async setupChannel(channel: never, started: () => void): Promise<void> {
        const amqp = channel as Awaited<ReturnType<Awaited<ReturnType<typeof connectAmqp>>['createChannel']>>;
        await amqp.assertQueue(this.queue, this.queueOptions);
        await amqp.consume(this.queue, (message) => void this.handleMessage(message!, channel), { noAck: false });
        started();
      }
    }
    await withQueue('own', new OwnServer(optionsFor('own')), async (client, dead) => {
      expect(await rejected(client, {})).toEqual({ settled: 'by the filter' });
      await eventually(async () => ((await dead()) === 1 ? true : undefined));
      expect(seenByFilter.splice(0)).toEqual([expect.any(RpcException)]);
      expect(messages.events.at(-1)).toMatchObject({ type: 'message.unsettled' });
    });
  });
});
