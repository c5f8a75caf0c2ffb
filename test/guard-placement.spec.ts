import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type CanActivate,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  Get,
  type INestApplication,
  Inject,
  Injectable,
  Logger,
  Module,
  Scope,
  SetMetadata,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD, type NestContainer, NestFactory } from '@nestjs/core';
import { GuardsContextCreator } from '@nestjs/core/guards/guards-context-creator.js';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { MessagePattern, type MicroserviceOptions, RedisContext, TcpContext, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  AllowClients,
  genericOAuth2,
  IdentityM2MConfigurationError,
  IdentityM2MModule,
  M2MAuthGuard,
  Public,
  RequireScopes,
  UnguardedMessageHandlersError,
} from 'nestjs-identity-m2m';
import { MemoryStrategy, topic } from './support/guarded-messages.js';
import { recordingLogger } from './support/recorded-log.js';

@Controller()
class Messages {
  @MessagePattern(topic('secret'))
  secret() {
    return 'secret';
  }
}

@Controller()
class GuardedMessages {
  @MessagePattern('guarded')
  @UseGuards(M2MAuthGuard)
  guarded() {
    return 'secret';
  }

  @MessagePattern('open')
  @Public()
  open() {
    return 'open';
  }
}

@Controller()
class Routes {
  @Get('plain')
  plain() {
    return 'plain';
  }
}

class Base {
  @Get('inherited')
  @AllowClients('billing')
  inherited() {
    return 'inherited';
  }

  @Get('overridden')
  @AllowClients('billing')
  overridden() {
    return 'base';
  }
}

@Controller('ruled')
class RuledRoutes extends Base {
  @Get('admin')
  @RequireScopes('admin')
  admin() {
    return 'admin';
  }

  @Get('guarded')
  @RequireScopes('admin')
  @UseGuards(M2MAuthGuard)
  guarded() {
    return 'admin';
  }

  @Get('overridden')
  override overridden() {
    return 'overridden';
  }
}

const BY_HAND = { provide: APP_GUARD, useExisting: M2MAuthGuard };

let warnings: string[];
const logger = recordingLogger((level, line) => level === 'warn' && warnings.push(line));
const opened: { close(): Promise<unknown> }[] = [];

beforeEach(() => {
  warnings = [];
});
afterEach(async () => {
  Logger.overrideLogger(false);
  for (const each of opened.splice(0)) await each.close();
});

function root(
  controllers: Type<object>[],
  providers: NonNullable<DynamicModule['providers']> = [],
  globalGuard = false,
): DynamicModule {
  @Module({})
  class Root {}
  const guard = { issuers: [genericOAuth2({ issuer: 'https://id.example' })], audience: 'api' };
  return { module: Root, imports: [IdentityM2MModule.forRoot({ guard, globalGuard })], controllers, providers };
}

async function application(...options: Parameters<typeof root>): Promise<INestApplication> {
  const app = await NestFactory.create(root(...options), { logger, abortOnError: false });
  opened.push(app);
  return app;
}

describe('a guard that is made global by hand', () => {
  it('prevents the start of an application that serves HTTP and has message handlers that it does not reach', async () => {
    const byProvider = await application([Routes, Messages], [BY_HAND]);
    await expect(byProvider.init()).rejects.toThrow(UnguardedMessageHandlersError);
    const byClass = await application([Messages], [{ provide: APP_GUARD, useClass: M2MAuthGuard }]);
    await expect(byClass.init()).rejects.toThrow(/handlers of Messages .*globalGuard: true/);
    const byMethod = await application([Messages]);
    byMethod.useGlobalGuards(byMethod.get(M2MAuthGuard));
    await expect(byMethod.init()).rejects.toThrow(UnguardedMessageHandlersError);
  });

  it('is enough if message handlers are guarded or public themselves, or globalGuard is on as well', async () => {
    for (const app of [
      await application([Routes, GuardedMessages], [BY_HAND]),
      await application([Messages], [BY_HAND], true),
      await application([Messages]),
    ]) {
      await expect(app.init()).resolves.toBe(app);
    }
  });

  it('is enough for a standalone microservice, which it reaches', async () => {
    const strategy = new MemoryStrategy();
    const app = await NestFactory.createMicroservice(root([Messages], [BY_HAND]), { strategy, logger: false });
    opened.push(app);
    await app.listen();
    await expect(strategy.deliver('secret', {}, {})).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

/** What `@RabbitSubscribe()` and its like leave on a method of a provider. */
const OnEvent = SetMetadata('a library', 'its options');

@Injectable()
class Subscribers {
  @OnEvent
  @RequireScopes('admin')
  onMessage() {}

  @OnEvent
  plain() {}
}

@Injectable()
class Throttler implements CanActivate {
  canActivate() {
    return true;
  }
}

/** A guard that has `M2MAuthGuard` decide, as one for two kinds of callers does. */
@Injectable()
class EitherGuard implements CanActivate {
  constructor(private readonly machines: M2MAuthGuard) {}
  canActivate(context: ExecutionContext) {
    return this.machines.canActivate(context);
  }
}

@Injectable()
class Authentication {
  constructor(readonly machines: M2MAuthGuard) {}
}

@Injectable()
class IndirectGuard extends Throttler {
  @Inject(Authentication) readonly authentication!: Authentication;
}

@Injectable()
class StricterGuard extends M2MAuthGuard {}

@Controller('by-either')
@UseGuards(EitherGuard)
class ByEither {
  @Get()
  @RequireScopes('admin')
  get() {
    return 'either';
  }
}

describe('access rules that no guard checks', () => {
  const named = (lines: readonly string[]) =>
    lines.flatMap((line) => /does not check the access rules on (.*), because/.exec(line)?.[1] ?? []);

  it('host-3: are named in one warning at the start', async () => {
    await (await application([Routes, RuledRoutes])).init();
    expect(named(warnings)).toEqual(['RuledRoutes.admin, RuledRoutes.overridden, RuledRoutes.inherited']);
  });

  it.each([
    ['an object', { provide: APP_GUARD, useValue: { canActivate: () => true } }],
    ['a class', { provide: APP_GUARD, useClass: Throttler }],
    ['one made for each request', { provide: APP_GUARD, useClass: Throttler, scope: Scope.REQUEST }],
  ])('host-3: are named with a global guard of another kind: %s', async (_name, provider) => {
    await (await application([RuledRoutes], [provider])).init();
    expect(named(warnings)).toEqual(['RuledRoutes.admin, RuledRoutes.overridden, RuledRoutes.inherited']);
  });

  it('host-3: are named with a guard of another kind on the route', async () => {
    @Controller()
    @UseGuards(Throttler)
    class Throttled {
      @Get()
      @UseGuards(new Throttler())
      @AllowClients('billing')
      get() {}
    }
    await (await application([Throttled])).init();
    expect(named(warnings)).toEqual(['Throttled.get']);
  });

  it('host-3: are named on handlers of libraries, which are methods of providers', async () => {
    await (await application([], [Subscribers])).init();
    expect(named(warnings)).toEqual(['Subscribers.onMessage']);
  });

  it('host-3: are named up to a number', async () => {
    const controllers = Array.from({ length: 25 }, (_, index) => {
      @Controller(String(index))
      class Many {
        @Get()
        @RequireScopes('admin')
        get() {}
      }
      return Object.defineProperty(Many, 'name', { value: `Many${index}` });
    });
    await (await application(controllers)).init();
    expect(named(warnings)[0]).toMatch(/^Many0\.get, .*Many19\.get and 5 more$/);
  });

  it.each<[string, NonNullable<DynamicModule['providers']>, boolean]>([
    ['globalGuard', [], true],
    ['APP_GUARD', [BY_HAND], false],
    ['a class derived from it', [{ provide: APP_GUARD, useClass: StricterGuard }], false],
    ['a guard that has it injected', [{ provide: APP_GUARD, useClass: EitherGuard }], false],
    ['one made for each request', [{ provide: APP_GUARD, useClass: EitherGuard, scope: Scope.REQUEST }], false],
    [
      'a factory that has it injected',
      [
        {
          provide: APP_GUARD,
          inject: [M2MAuthGuard],
          useFactory: (machines: M2MAuthGuard) => ({ canActivate: (context: never) => machines.canActivate(context) }),
        },
      ],
      false,
    ],
    [
      'a guard that has it injected by another provider',
      [Authentication, { provide: APP_GUARD, useClass: IndirectGuard }],
      false,
    ],
  ])('host-3: are not named behind %s', async (_name, providers, globalGuard) => {
    await (await application([RuledRoutes], [Subscribers, ...providers], globalGuard)).init();
    expect(warnings).toEqual([]);
  });

  it('host-3: are not named behind a guard that calls it, nor on a route, nor without rules', async () => {
    const byHand = await application([RuledRoutes]);
    byHand.useGlobalGuards(new EitherGuard(byHand.get(M2MAuthGuard)));
    await byHand.init();
    await (await application([ByEither, Routes, GuardedMessages])).init();
    expect(warnings).toEqual([]);
  });

  it('host-3: are not named if a test has replaced the guard', async () => {
    const module = await Test.createTestingModule({ imports: [root([RuledRoutes], [BY_HAND], true)] })
      .overrideProvider(M2MAuthGuard)
      .useValue({ canActivate: () => true })
      .compile();
    const app = module.createNestApplication({ logger });
    opened.push(app);
    await app.init();
    expect(warnings).toEqual([]);
  });
});

describe('a guard without options', () => {
  const client = {
    identityProvider: genericOAuth2({ tokenEndpoint: 'https://id.example/token' }),
    clientId: 'billing',
    clientSecret: 'a secret',
    allowedOrigins: ['https://api.example'],
  };
  const boot = async (
    module: Pick<DynamicModule, 'controllers' | 'providers'>,
    prepare: (app: INestApplication) => void = () => {},
  ) => {
    @Module({})
    class Unconfigured {}
    const imports = [IdentityM2MModule.forRoot({ client })];
    const app = await NestFactory.create({ module: Unconfigured, imports, ...module }, { logger, abortOnError: false });
    opened.push(app);
    prepare(app);
    await app.init();
  };
  const GATEWAY = SetMetadata('websockets:is_gateway', true);

  it.each<[string, Pick<DynamicModule, 'controllers' | 'providers'>, string]>([
    ['on a route', { controllers: [RuledRoutes] }, 'is on RuledRoutes.guarded'],
    ['on a message handler', { controllers: [GuardedMessages] }, 'is on GuardedMessages.guarded'],
    ['as a derived class on a controller', { controllers: [derivedGuardOn(Routes)] }, 'is on OfRoutes.plain'],
    ['as the global one', { providers: [BY_HAND] }, 'is a global guard'],
    ['as the global one, by its class', { providers: [{ provide: APP_GUARD, useClass: M2MAuthGuard }] }, 'is a global'],
    ['on a gateway', { providers: [guardOnGateway(GATEWAY)] }, 'is on Gateway.say'],
  ])('host-4: prevents the start: %s', async (_name, module, because) => {
    await expect(boot(module)).rejects.toMatchObject({
      code: 'M2M_CONFIGURATION_INVALID',
      faults: [{ path: 'guard', expected: expect.stringContaining(because) as never, found: 'nothing' }],
    });
  });

  it('host-4: prevents the start if it is made global by useGlobalGuards()', async () => {
    const prepare = (app: INestApplication) => void app.useGlobalGuards(app.get(M2MAuthGuard));
    await expect(boot({}, prepare)).rejects.toThrow(IdentityM2MConfigurationError);
  });

  it('host-4: prevents nothing if it is not used', async () => {
    await expect(boot({ controllers: [Routes], providers: [Throttler] })).resolves.toBeUndefined();
  });
});

function derivedGuardOn(base: Type<object>): Type<object> {
  @Controller('of')
  @UseGuards(StricterGuard)
  class OfRoutes extends base {}
  return OfRoutes;
}

function guardOnGateway(gateway: ClassDecorator): Type<object> {
  @gateway
  @Injectable()
  class Gateway {
    @UseGuards(M2MAuthGuard)
    @SetMetadata('websockets:message_mapping', true)
    say() {}
  }
  return Gateway;
}

describe('handlers whose credentials the guard cannot read', () => {
  @SetMetadata('websockets:is_gateway', true)
  @Injectable()
  class ChatGateway {
    @SetMetadata('websockets:message_mapping', true)
    say() {}

    @SetMetadata('websockets:message_mapping', true)
    @Public()
    ping() {}

    handleConnection() {}
  }

  @Injectable()
  class UsersResolver {
    @SetMetadata('graphql:resolver_type', 'Query')
    users() {}

    @SetMetadata('graphql:resolver_type', 'User')
    friends() {}
  }

  it('host-8: are named in one warning at the start, behind globalGuard', async () => {
    await (await application([Routes], [ChatGateway, UsersResolver], true)).init();
    expect(warnings).toEqual([
      expect.stringContaining('guard refuses every call of ChatGateway.say, UsersResolver.users:'),
    ]);
  });

  it('host-8: are named behind APP_GUARD, which Nest 11 does not call for gateways', async () => {
    await (await application([Routes], [ChatGateway, UsersResolver, BY_HAND])).init();
    expect(warnings).toEqual([
      expect.stringContaining('guard refuses every call of UsersResolver.users:'),
      expect.stringContaining('guard does not check calls of ChatGateway.say on Nest 11'),
    ]);
  });

  it('host-8: are guarded by globalGuard even if Nest does not call global guards for gateways', async () => {
    const app = await application([Routes], [ChatGateway], true);
    await app.init();
    const gateway = app.get(ChatGateway);
    const container = Reflect.get(app, 'container') as NestContainer;
    const [moduleKey] = [...container.getModules()].find(([, { providers }]) => providers.has(ChatGateway))!;
    const decide = async (method: 'ping' | 'say') => {
      const handler = Reflect.get(gateway, method);
      const context = new ExecutionContextHost([{}, {}], ChatGateway, handler);
      context.setType('ws');
      // Nest 11 makes them without the application's configuration, where its global guards are.
      const guards = new GuardsContextCreator(container).create(gateway, handler, moduleKey);
      return Promise.all(guards.map(async (guard) => guard.canActivate(context)));
    };
    expect(await decide('ping')).toEqual([true]);
    expect(await decide('say')).toEqual([false]);
  });

  it('host-8: are not named without the guard', async () => {
    const other = { provide: APP_GUARD, useClass: EitherGuard };
    await (await application([Routes], [ChatGateway, UsersResolver])).init();
    await (await application([Routes], [ChatGateway, UsersResolver, other])).init();
    expect(warnings).toEqual([]);
  });
});

describe('servers whose messages have no place for a credential', () => {
  @Controller()
  class Mixed {
    @MessagePattern('any')
    any() {}

    @MessagePattern('by nats', Transport.NATS)
    byNats() {}

    @MessagePattern('open')
    @Public()
    open() {}
  }

  const TCP: MicroserviceOptions = { transport: Transport.TCP, options: { host: '127.0.0.1', port: 0 } };
  const REDIS: MicroserviceOptions = { transport: Transport.REDIS };
  const mqtt = (protocolVersion?: 4 | 5) => ({ transport: Transport.MQTT, options: { protocolVersion } }) as const;
  const named = () => warnings.map((line) => /^guard refuses every call of (.* that comes by \w+): /.exec(line)?.[1]);

  /** Nest before 12.1: the metadata of packets reaches no context. */
  function withoutMetadata(): void {
    for (const { prototype } of [TcpContext, RedisContext]) {
      const method = Object.getOwnPropertyDescriptor(prototype, 'getMetadata')!;
      Reflect.deleteProperty(prototype, 'getMetadata');
      opened.push({ close: async () => Object.defineProperty(prototype, 'getMetadata', method) });
    }
  }

  it('host-12: are named in one warning each, before and after the start, by versions of Nest without metadata', async () => {
    withoutMetadata();
    const app = await application([Routes, Mixed], [], true);
    app.connectMicroservice(TCP);
    app.connectMicroservice(TCP);
    await app.init();
    expect(named()).toEqual(['Mixed.any that comes by TCP']);
    expect(warnings[0]).toContain('Use version 12.1 or later on both sides, or another transport');
    app.connectMicroservice(REDIS);
    expect(named()).toEqual(['Mixed.any that comes by TCP', 'Mixed.any that comes by Redis']);
  });

  it('host-12: are named for a standalone microservice with the guard on the handler', async () => {
    withoutMetadata();
    const options = { ...TCP, logger, abortOnError: false };
    const app = await NestFactory.createMicroservice(root([GuardedMessages]), options);
    opened.push(app);
    await app.listen();
    expect(named()).toEqual(['GuardedMessages.guarded that comes by TCP']);
  });

  it('host-12: are named if they use MQTT 3.1.1', async () => {
    const app = await application([Mixed], [], true);
    app.connectMicroservice<MicroserviceOptions>(mqtt(5));
    await app.init();
    expect(warnings).toEqual([]);
    app.connectMicroservice<MicroserviceOptions>(mqtt());
    app.connectMicroservice<MicroserviceOptions>(mqtt(4));
    expect(named()).toEqual(['Mixed.any that comes by MQTT']);
  });

  it('host-12: are not named if no call is refused for it', async () => {
    const servers = (app: INestApplication) => [TCP, REDIS].map((one) => app.connectMicroservice(one));
    const withMetadata = await application([Mixed], [], true);
    servers(withMetadata);
    await withMetadata.init();
    withoutMetadata();
    const unguarded = await application([Mixed]);
    servers(unguarded);
    await unguarded.init();
    const byExtractor = await NestFactory.create(
      {
        module: class {},
        controllers: [Mixed],
        imports: [
          IdentityM2MModule.forRoot({
            guard: {
              issuers: [genericOAuth2({ issuer: 'https://id.example' })],
              audience: 'api',
              extractors: [{ transport: 'signed-tcp', context: TcpContext, authorization: () => [] }],
            },
            globalGuard: true,
          }),
        ],
      },
      { logger, abortOnError: false },
    );
    opened.push(byExtractor);
    byExtractor.connectMicroservice(TCP);
    await byExtractor.init();
    expect(warnings).toEqual([]);
  });
});
