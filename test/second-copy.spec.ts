import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, type DynamicModule, Get, type INestApplication, Injectable, UseGuards } from '@nestjs/common';
import { MessagePattern, type MicroserviceOptions } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import * as first from 'nestjs-identity-m2m';
import request from 'supertest';
import { GuardedMessages, topic, MemoryStrategy, tcpContext } from './support/guarded-messages.js';

type Library = typeof first;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** As package managers leave one where two dependencies ask for versions that do not agree. */
async function installSecondCopy(folder: string): Promise<Library> {
  const packages = join(folder, 'node_modules');
  mkdirSync(packages);
  for (const name of ['@nestjs', 'axios', 'jose', 'oauth4webapi', 'reflect-metadata', 'rxjs', 'undici', 'zod']) {
    symlinkSync(join(root, 'node_modules', name), join(packages, name));
  }
  const library = join(packages, 'nestjs-identity-m2m');
  for (const part of ['dist', 'package.json']) {
    cpSync(join(root, 'libs', 'identity-m2m', part), join(library, part), { recursive: true });
  }
  return (await import(join(library, 'dist', 'index.js'))) as Library;
}

let folder: string;
let second: Library;
let guarded: GuardedMessages;
let bearer: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'second-copy-'));
  [second, guarded] = await Promise.all([installSecondCopy(folder), GuardedMessages.start()]);
  bearer = `Bearer ${await guarded.token()}`;
});
afterAll(async () => {
  await guarded.close();
  rmSync(folder, { recursive: true });
});

let app: INestApplication | undefined;
afterEach(async () => {
  await app?.close();
  app = undefined;
});

const log: string[] = [];
async function start(
  controllers: NonNullable<DynamicModule['controllers']>,
  {
    globalGuard = true,
    imports = [],
    strategy,
  }: { globalGuard?: boolean; imports?: DynamicModule['imports']; strategy?: MemoryStrategy } = {},
): Promise<INestApplication> {
  const module = await Test.createTestingModule({
    imports: [guarded.guardModule({}, globalGuard), ...imports],
    controllers,
  }).compile();
  app = module.createNestApplication();
  log.length = 0;
  const note = (line: string) => void log.push(line);
  app.useLogger({ log() {}, debug() {}, warn: note, error: note });
  if (strategy) app.connectMicroservice<MicroserviceOptions>({ strategy });
  await app.startAllMicroservices();
  await app.init();
  return app;
}

const get = async (path: string, authorization?: string) => {
  const { status, body } = await request(app!.getHttpServer())
    .get(path)
    .set(authorization === undefined ? {} : { authorization });
  return [status, (body as { clientId?: string }).clientId];
};

describe('a second copy of the package', () => {
  it('in-F21: has classes of its own', () => {
    expect(second.M2MAuthGuard).not.toBe(first.M2MAuthGuard);
    expect(second.RequireScopes).not.toBe(first.RequireScopes);
  });

  it('in-F21: gives the caller to handlers, and its rules are checked', async () => {
    @Controller()
    class Routes {
      @Get('any')
      any(@second.Caller() caller: first.MachineCaller) {
        return { clientId: caller.clientId };
      }

      @Get('scope')
      @second.RequireScopes('admin')
      scope() {
        return {};
      }

      @Get('client')
      @second.AllowClients('another')
      client() {
        return {};
      }

      @Get('claim')
      @second.RequireClaims({ tenant: 'acme' })
      claim() {
        return {};
      }

      @Get('sensitive')
      @second.Sensitive()
      sensitive() {
        return {};
      }

      @Get('open')
      @second.Public()
      open(@second.Caller() caller: first.MachineCaller | undefined) {
        return { clientId: caller?.clientId };
      }

      @MessagePattern(topic('copy'))
      message(@second.Caller() caller: first.MachineCaller) {
        return caller.clientId;
      }
    }
    const strategy = new MemoryStrategy();
    await start([Routes], { strategy });
    expect(await get('/any')).toEqual([401, undefined]);
    expect(await get('/any', bearer)).toEqual([200, 'provisioning']);
    expect(await get('/open', bearer)).toEqual([200, undefined]);
    expect(await get('/scope', bearer)).toEqual([403, undefined]);
    expect(await get('/scope', `Bearer ${await guarded.token({ scope: 'admin' })}`)).toEqual([200, undefined]);
    expect(await get('/client', bearer)).toEqual([403, undefined]);
    expect(await get('/claim', bearer)).toEqual([403, undefined]);
    // There is no introspection.
    expect(await get('/sensitive', bearer)).toEqual([503, undefined]);
    expect(await strategy.deliver('copy', {}, tcpContext(bearer))).toBe('provisioning');
    await expect(strategy.deliver('copy', {}, tcpContext())).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('in-F21: takes no caller from a payload', async () => {
    @Controller()
    class Messages {
      @MessagePattern(topic('open'))
      @second.Public()
      open(@second.Caller() caller: first.MachineCaller | undefined) {
        return caller ?? null;
      }
    }
    const strategy = new MemoryStrategy();
    await start([Messages], { strategy });
    expect(await strategy.deliver('open', {}, tcpContext(bearer))).toBeNull();
  });

  it('in-F21: cannot be used by its guard or its CurrentCaller alone', async () => {
    @Controller()
    @UseGuards(second.M2MAuthGuard)
    class Guarded {
      @Get('guarded')
      guarded() {
        return {};
      }
    }
    await expect(start([Guarded], { globalGuard: false })).rejects.toThrow(/M2MAuthGuard/);
    @Injectable()
    @Controller()
    class Asking {
      constructor(readonly caller: first.CurrentCaller) {}
    }
    Reflect.defineMetadata('design:paramtypes', [second.CurrentCaller], Asking);
    await expect(start([Asking])).rejects.toThrow(/CurrentCaller/);
  });

  it('in-F21: decides for itself with a guard of its own, whatever the first one allows', async () => {
    @Controller()
    @UseGuards(second.M2MAuthGuard)
    class Both {
      @Get('both')
      both(@first.Caller() caller: first.MachineCaller) {
        return { clientId: caller.clientId };
      }
    }
    const ofSecond = (audience: string) =>
      second.IdentityM2MModule.forRoot({
        guard: { issuers: [second.genericOAuth2({ issuer: guarded.issuer.url })], audience },
      });
    await start([Both], { imports: [ofSecond('another-api')] });
    expect(await get('/both', bearer)).toEqual([401, undefined]);
    await app!.close();
    await start([Both], { imports: [ofSecond('users-api')] });
    expect(await get('/both', bearer)).toEqual([200, 'provisioning']);
    expect(await get('/both')).toEqual([401, undefined]);
  });

  it('in-F21: of a newer version refuses every call if this one does not know its rules', async () => {
    const RequireTomorrow: MethodDecorator & ClassDecorator = (target: object, method?: string | symbol) =>
      Reflect.defineMetadata('nestjs-identity-m2m:tomorrow', true, target, method!);
    @Controller()
    class Newer {
      @Get('newer')
      @RequireTomorrow
      @second.Public()
      newer() {
        return {};
      }

      @Get('older')
      older() {
        return {};
      }
    }
    @Controller('class')
    @RequireTomorrow
    class NewerClass {
      @Get()
      @first.Public()
      newer() {
        return {};
      }
    }
    await start([Newer, NewerClass]);
    for (const path of ['/newer', '/class']) {
      expect(await get(path)).toEqual([403, undefined]);
      expect(await get(path, bearer)).toEqual([403, undefined]);
    }
    expect(await get('/older', bearer)).toEqual([200, undefined]);
    expect(log.filter((line) => line.includes('refuses every call'))).toEqual([
      expect.stringMatching(/Newer\.newer.*nestjs-identity-m2m:tomorrow/s),
      expect.stringMatching(/NewerClass\.newer.*nestjs-identity-m2m:tomorrow/s),
    ]);
  });
});
