import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  ConsoleLogger,
  Controller,
  type DynamicModule,
  Get,
  type INestApplication,
  Logger,
  Module,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { MessagePattern, Server } from '@nestjs/microservices';
import {
  AllowClients,
  genericOAuth2,
  IdentityM2MModule,
  M2MAuthGuard,
  Public,
  RequireScopes,
  UnguardedMessageHandlersError,
} from 'nestjs-identity-m2m';
import { lastValueFrom } from 'rxjs';

/** A transport in this process. */
class MemoryStrategy extends Server {
  listen(started: () => void): void {
    started();
  }
  close(): void {}
  on(): void {}
  unwrap(): never {
    throw new Error('there is nothing below');
  }
  async deliver(pattern: string): Promise<unknown> {
    const handler = this.getHandlerByPattern(pattern) as unknown as (...args: unknown[]) => unknown;
    return lastValueFrom(this.transformToObservable(await handler({}, {})) as never);
  }
}

@Controller()
class Messages {
  @MessagePattern('secret')
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
const logger = new ConsoleLogger({ logLevels: ['warn'] });
const opened: { close(): Promise<unknown> }[] = [];

beforeEach(() => {
  warnings = [];
  logger.warn = (line: string) => void warnings.push(line);
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
  it('stops an application that serves HTTP from starting with message handlers which it does not reach', async () => {
    const byProvider = await application([Routes, Messages], [BY_HAND]);
    await expect(byProvider.init()).rejects.toThrow(UnguardedMessageHandlersError);
    const byClass = await application([Messages], [{ provide: APP_GUARD, useClass: M2MAuthGuard }]);
    await expect(byClass.init()).rejects.toThrow(/handlers of Messages .*globalGuard: true/);
    const byMethod = await application([Messages]);
    byMethod.useGlobalGuards(byMethod.get(M2MAuthGuard));
    await expect(byMethod.init()).rejects.toThrow(UnguardedMessageHandlersError);
  });

  it('is enough where message handlers are guarded or public by themselves, or globalGuard is on besides', async () => {
    for (const app of [
      await application([Routes, GuardedMessages], [BY_HAND]),
      await application([Messages], [BY_HAND], true),
      await application([Messages]),
    ]) {
      await expect(app.init()).resolves.toBe(app);
    }
  });

  it('is enough for a microservice by itself, which it does reach', async () => {
    const strategy = new MemoryStrategy();
    const app = await NestFactory.createMicroservice(root([Messages], [BY_HAND]), { strategy, logger: false });
    opened.push(app);
    await app.listen();
    await expect(strategy.deliver('secret')).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  });
});

describe('access rules that no guard reads', () => {
  const unread = () => warnings.filter((line) => line.includes('nobody reads'));

  it('are named in one warning at the start', async () => {
    await (await application([Routes, RuledRoutes])).init();
    expect(unread()).toEqual([
      expect.stringContaining('RuledRoutes.admin, RuledRoutes.overridden, RuledRoutes.inherited;'),
    ]);
  });

  it('are those before which there is no guard at all', async () => {
    await (await application([RuledRoutes], [], true)).init();
    await (await application([RuledRoutes], [{ provide: APP_GUARD, useValue: { canActivate: () => true } }])).init();
    await (await application([Routes, GuardedMessages])).init();
    expect(unread()).toEqual([]);
  });
});
