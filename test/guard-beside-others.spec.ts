import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  Module,
  type ModuleMetadata,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test, type TestingModule, type TestingModuleBuilder } from '@nestjs/testing';
import {
  AllowClients,
  Caller,
  CurrentCaller,
  genericOAuth2,
  IdentityM2MModule,
  type MachineCaller,
  M2MAuthGuard,
  Public,
} from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';

let issuer: TestIssuer;
let authorization: string;
beforeAll(async () => {
  issuer = await TestIssuer.start();
  authorization = `Bearer ${await issuer.tokenFor({ clientId: 'billing', audience: 'api' })}`;
});
afterAll(() => issuer.close());

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

const root = (globalGuard = true) =>
  IdentityM2MModule.forRoot({
    guard: { issuers: [genericOAuth2({ issuer: issuer.url, jwksUri: issuer.jwksUri })], audience: 'api' },
    globalGuard,
  });

/** Starts an application, and returns a function that calls it and has the status. */
async function start(module: TestingModule, prepare: (app: NestExpressApplication) => void = () => {}) {
  const app = module.createNestApplication<NestExpressApplication>({ logger: false });
  opened.push(app);
  prepare(app);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  return async (path: string, headers: Record<string, string> = {}) =>
    (await fetch(`${url}/${path}`, { headers })).status;
}

async function serve(metadata: ModuleMetadata, override = (builder: TestingModuleBuilder) => builder) {
  return start(await override(Test.createTestingModule(metadata)).compile());
}

@Controller('things')
class Things {
  @Get()
  things(@Caller() caller: MachineCaller | undefined) {
    return { for: caller?.clientId };
  }
}

@Controller('guarded')
@UseGuards(M2MAuthGuard)
class GuardedThings {
  @Get()
  things() {}
}

describe('the controller of another package', () => {
  /** As packages have them, such as `PrometheusController` of @willsoto/nestjs-prometheus. */
  function packageControllers() {
    @Controller('metrics')
    class PrometheusController {
      @Get()
      index() {}

      @Get('details')
      details() {}
    }
    return { PrometheusController, module: { imports: [root()], controllers: [PrometheusController, Things] } };
  }

  it('in-F12: is made public by the decorator, applied in the application', async () => {
    const { PrometheusController, module } = packageControllers();
    Public()(PrometheusController);
    const call = await serve(module);
    expect([await call('metrics'), await call('metrics/details'), await call('things')]).toEqual([200, 200, 401]);
  });

  it('in-F12: is made public in only one of its methods', async () => {
    const { PrometheusController, module } = packageControllers();
    const { prototype } = PrometheusController;
    Public()(prototype, 'index', Object.getOwnPropertyDescriptor(prototype, 'index')!);
    const call = await serve(module);
    expect([await call('metrics'), await call('metrics/details'), await call('things')]).toEqual([200, 401, 401]);
  });

  it('in-F12: is restricted to some clients in the same way', async () => {
    const { PrometheusController, module } = packageControllers();
    AllowClients('prometheus')(PrometheusController);
    const call = await serve(module);
    expect([await call('metrics', { authorization }), await call('things', { authorization })]).toEqual([403, 200]);
  });
});

describe('a test without the guard', () => {
  const open: CanActivate = { canActivate: () => true };

  it('in-F13: replaces it by overrideProvider if it is global', async () => {
    const module = await Test.createTestingModule({ imports: [root()], controllers: [Things] })
      .overrideProvider(M2MAuthGuard)
      .useValue({ canActivate: () => true })
      .compile();
    const call = await start(module);
    expect(await call('things')).toBe(200);
  });

  it('in-F13: can’t replace it by overrideGuard if it is global', async () => {
    const override = (builder: TestingModuleBuilder) => builder.overrideGuard(M2MAuthGuard).useValue(open);
    const call = await serve({ imports: [root()], controllers: [Things] }, override);
    expect([await call('things'), await call('things', { authorization })]).toEqual([401, 200]);
  });

  it('in-F13: replaces it by overrideGuard if @UseGuards() names it', async () => {
    const override = (builder: TestingModuleBuilder) => builder.overrideGuard(M2MAuthGuard).useValue(open);
    const call = await serve({ imports: [root(false)], controllers: [GuardedThings] }, override);
    expect(await call('guarded')).toBe(200);
  });

  it('in-F13: is impossible if it is global and @UseGuards() names it too', async () => {
    const metadata = { imports: [root()], controllers: [GuardedThings] };
    const byProvider = (builder: TestingModuleBuilder) => builder.overrideProvider(M2MAuthGuard).useValue(open);
    const both = (builder: TestingModuleBuilder) => byProvider(builder).overrideGuard(M2MAuthGuard).useValue(open);
    for (const override of [byProvider, both]) {
      expect(await (await serve(metadata, override))('guarded')).toBe(401);
    }
  });
});

describe('another global guard', () => {
  const seen: (string | undefined)[] = [];
  afterEach(() => void seen.splice(0));

  @Injectable()
  class QuotaGuard implements CanActivate {
    constructor(private readonly callers: CurrentCaller) {}
    canActivate(_context: ExecutionContext) {
      seen.push(this.callers.get()?.clientId);
      return true;
    }
  }
  const quota = { provide: APP_GUARD, useClass: QuotaGuard };

  it('in-F15: knows the caller if its module is imported after this one', async () => {
    @Module({ providers: [quota] })
    class QuotaModule {}
    const call = await serve({ imports: [root(), QuotaModule], controllers: [Things] });
    expect([await call('things', { authorization }), await call('things')]).toEqual([200, 401]);
    expect(seen).toEqual(['billing']);
  });

  it('in-F15: runs before this one if its module is imported before, or imports this one', async () => {
    @Module({ providers: [quota] })
    class QuotaModule {}
    const before = await serve({ imports: [QuotaModule, root()], controllers: [Things] });
    expect([await before('things', { authorization }), await before('things')]).toEqual([200, 401]);
    const inside = await serve({ imports: [root()], providers: [quota], controllers: [Things] });
    expect([await inside('things', { authorization }), await inside('things')]).toEqual([200, 401]);
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe('code outside of controllers', () => {
  it('host-8: is not covered by a global guard: middleware, routes of the adapter, static files', async () => {
    const answer = (_request: unknown, response: ServerResponse) => void response.end();
    const prepare = (app: NestExpressApplication) => {
      app.use('/middleware', answer);
      const adapter = app.getHttpAdapter().getInstance() as { get(path: string, handler: typeof answer): void };
      adapter.get('/raw', answer);
      app.useStaticAssets(import.meta.dirname, { prefix: '/static' });
    };
    const call = await start(
      await Test.createTestingModule({ imports: [root()], controllers: [Things] }).compile(),
      prepare,
    );
    const paths = ['middleware', 'raw', 'static/tsconfig.json', 'things'];
    expect(await Promise.all(paths.map((path) => call(path)))).toEqual([200, 200, 200, 401]);
  });
});
