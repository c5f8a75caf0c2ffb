import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HttpModule, HttpService } from '@nestjs/axios';
import {
  type CanActivate,
  Controller,
  Get,
  Inject,
  Injectable,
  Logger,
  Module,
  type ModuleMetadata,
  Scope,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  genericOAuth2,
  type ClientOptions,
  IdentityM2MModule,
  InjectM2MHttp,
  TokenProvider,
} from 'nestjs-identity-m2m';
import { FixedTokenProvider } from 'nestjs-identity-m2m/testing';
import { recordingLogger } from './support/recorded-log.js';

const client: ClientOptions = {
  identityProvider: genericOAuth2({ tokenEndpoint: 'https://id.example/token' }),
  clientId: 'billing',
  clientSecret: 'a secret',
  allowedOrigins: ['https://api.example/v1'],
  start: 'lazy',
};
const guard = { issuers: [genericOAuth2({ issuer: 'https://id.example' })], audience: 'api' };
const root = (options: object = { client }, isGlobal = false) => IdentityM2MModule.forRoot({ ...options, isGlobal });

@Injectable()
class Reports {
  constructor(readonly http: HttpService) {}
}

@Injectable()
class ByProperty {
  @Inject(HttpService) readonly http!: HttpService;
}

@Injectable({ scope: Scope.REQUEST })
class ForEachRequest {
  constructor(readonly http: HttpService) {}
}

@Injectable()
class AskingGuard implements CanActivate {
  constructor(readonly http: HttpService) {}
  canActivate() {
    return true;
  }
}

@Controller()
@UseGuards(AskingGuard)
class Routes {
  constructor(readonly http: HttpService) {}
  @Get()
  get() {}
}

@Injectable()
class ByName {
  constructor(@InjectM2MHttp('default') readonly http: HttpService) {}
}

/** A module of the application. */
function feature(metadata: ModuleMetadata): Type<object> {
  @Module(metadata)
  class Feature {}
  return Feature;
}

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

async function boot(metadata: ModuleMetadata): Promise<void> {
  @Module(metadata)
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger, abortOnError: false });
  opened.push(app);
  await app.init();
}

const named = () => warnings.flatMap((line) => /by the HttpService of (.*) carry no token/.exec(line)?.[1] ?? []);

describe('HttpModule that hides the HttpService with tokens', () => {
  it('out-N1: is named at the start if both are imported', async () => {
    await boot({ imports: [HttpModule, root()], providers: [Reports] });
    expect(named()).toEqual(['Reports (AppModule)']);
    expect(warnings[0]).toContain('Remove HttpModule from the imports of their modules');
  });

  it('host-9: is named at the start if a feature module imports it next to a global root', async () => {
    const users = [Reports, ByProperty, ForEachRequest];
    const alias = { provide: 'HTTP', useExisting: HttpService };
    await boot({
      imports: [
        root({ client }, true),
        feature({ imports: [HttpModule], controllers: [Routes], providers: [...users, alias] }),
      ],
    });
    expect(named()).toEqual([
      'Reports (Feature), ByProperty (Feature), ForEachRequest (Feature), HTTP (Feature), Routes (Feature), AskingGuard (Feature)',
    ]);
  });

  it.each<[string, () => ModuleMetadata]>([
    [
      'beside a root of the async kind',
      () => ({ imports: [HttpModule, IdentityM2MModule.forRootAsync({ useFactory: () => ({ client }) })] }),
    ],
    ['with options of its own', () => ({ imports: [HttpModule.register({ timeout: 5000 }), root()] })],
    [
      'with a base address that a token is bound to',
      () => ({ imports: [HttpModule.register({ baseURL: 'https://api.example/v1/' }), root()] }),
    ],
    [
      'with one that differs in its path',
      () => ({ imports: [HttpModule.register({ baseURL: 'https://api.example/v2' }), root()] }),
    ],
    [
      'with one that differs in its scheme',
      () => ({ imports: [HttpModule.register({ baseURL: 'http://api.example/v1' }), root()] }),
    ],
    ['as a global one', () => ({ imports: [HttpModule.register({ global: true }), root({ client }, true)] })],
    ['exported by a module', () => ({ imports: [feature({ imports: [HttpModule], exports: [HttpModule] }), root()] })],
    [
      'beside an exported root',
      () => ({ imports: [HttpModule, feature({ imports: [root()], exports: [IdentityM2MModule] })] }),
    ],
    [
      'beside a feature',
      () => ({
        imports: [
          HttpModule,
          feature({ imports: [root({ clients: { main: client } })] }),
          IdentityM2MModule.forFeature('main'),
        ],
      }),
    ],
  ])('host-9: is named %s', async (_name, metadata) => {
    await boot({ ...metadata(), providers: [Reports] });
    expect(named()).toEqual(['Reports (AppModule)']);
  });

  it.each<[string, () => ModuleMetadata]>([
    ['is not injected', () => ({ imports: [HttpModule, root()] })],
    ['is not the one that Nest takes', () => ({ imports: [root(), HttpModule], providers: [Reports] })],
    ['is passed over by name', () => ({ imports: [HttpModule, root()], providers: [ByName] })],
    [
      'has a base address of somewhere else',
      () => ({ imports: [HttpModule.register({ baseURL: 'https://weather.example' }), root()], providers: [Reports] }),
    ],
    ['is alone in its module', () => ({ imports: [root(), feature({ imports: [HttpModule], providers: [Reports] })] })],
    ['stands beside a root without a client', () => ({ imports: [HttpModule, root({ guard })], providers: [Reports] })],
    [
      'stands beside a root without a default client',
      () => ({ imports: [HttpModule, root({ clients: { main: client } })], providers: [Reports] }),
    ],
    [
      'gives way to one that the application made',
      () => ({
        imports: [HttpModule, root()],
        providers: [Reports, { provide: HttpService, useValue: new HttpService() }],
      }),
    ],
  ])('host-9: is not named if it %s', async (_name, metadata) => {
    await boot(metadata());
    expect(named()).toEqual([]);
  });

  it('host-9: is named up to a number, and not if a test has replaced it', async () => {
    const providers = Array.from({ length: 25 }, (_, index) => ({ provide: `http${index}`, useExisting: HttpService }));
    await boot({ imports: [HttpModule, root()], providers });
    expect(named()).toEqual([expect.stringMatching(/^http0 \(AppModule\), .* and 5 more$/)]);
    warnings = [];
    const module = await Test.createTestingModule({ imports: [HttpModule, root()], providers: [Reports] })
      .setLogger(logger)
      .overrideProvider(HttpService)
      .useValue(new HttpService())
      .compile();
    opened.push(await module.init());
    expect(warnings).toEqual([]);
  });

  it('host-9: is named with a provider that a test has replaced', async () => {
    const module = await Test.createTestingModule({ imports: [HttpModule, root()], providers: [Reports] })
      .setLogger(logger)
      .overrideProvider(TokenProvider)
      .useValue(new FixedTokenProvider('a-token', { allowedOrigins: ['https://api.example'] }))
      .compile();
    opened.push(await module.init());
    expect(named()).toEqual(['Reports (RootTestModule)']);
  });
});
