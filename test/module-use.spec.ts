import { afterEach, describe, expect, it } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import {
  Controller,
  Get,
  Injectable,
  Module,
  type ModuleMetadata,
  Optional,
  type Type,
  UseGuards,
} from '@nestjs/common';
import { LazyModuleLoader, NestFactory } from '@nestjs/core';
import {
  genericOAuth2,
  type ClientOptions,
  IdentityM2MConfigurationError,
  IdentityM2MModule,
  type IdentityM2MOptions,
  InjectM2MHttp,
  InjectTokenProvider,
  M2MAuthGuard,
  TokenProvider,
} from 'nestjs-identity-m2m';

const client: ClientOptions = {
  identityProvider: genericOAuth2({ tokenEndpoint: 'https://id.example/token' }),
  clientId: 'billing',
  clientSecret: 'not-to-be-shown',
  allowedOrigins: ['https://api.example'],
  start: 'lazy',
};
const guard = { issuers: [genericOAuth2({ issuer: 'https://id.example' })], audience: 'api' };

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

async function boot(metadata: ModuleMetadata): Promise<{ get: (token: unknown) => unknown }> {
  @Module(metadata)
  class AppModule {}
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  opened.push(app);
  return { get: (token) => app.get(token as string, { strict: false }) };
}

/** What JavaScript, or options from elsewhere, can hand over beside what the types allow. */
const anything = (value: unknown) => value as never;

@Injectable()
class ByClass {
  constructor(readonly http: HttpService) {}
}

@Injectable()
class ByProvider {
  constructor(readonly tokens: TokenProvider) {}
}

@Injectable()
class ByName {
  constructor(@InjectM2MHttp('billing') readonly http: HttpService) {}
}

@Injectable()
class ByProperty {
  @InjectTokenProvider('billing') readonly tokens!: TokenProvider;
}

@Injectable()
class IfThere {
  constructor(@Optional() @InjectM2MHttp('billing') readonly http: HttpService | undefined) {}
}

@Controller()
@UseGuards(M2MAuthGuard)
class Guarded {
  @Get()
  get() {}
}

/** A module of the application, with providers that use what is imported. */
function feature(imports: ModuleMetadata['imports'], ...providers: Type<object>[]): Type<object> {
  @Module({ imports, providers })
  class Feature {}
  return Feature;
}

/** The faults that the boot fails with; every one has to be of the library's own making. */
async function faultsOf(metadata: () => ModuleMetadata): Promise<string[]> {
  const error = await boot(metadata()).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(IdentityM2MConfigurationError);
  expect(error).toMatchObject({ code: 'M2M_CONFIGURATION_INVALID' });
  const { faults, message } = error as IdentityM2MConfigurationError;
  expect(message).not.toContain('not-to-be-shown');
  return faults.map(({ path, expected, found, line }) => line ?? `${path}: expected ${expected}; found ${found}`);
}

const forRoot = (options?: unknown) => ({ imports: [IdentityM2MModule.forRoot(anything(options))] });
const forRootAsync = (options?: unknown) => ({ imports: [IdentityM2MModule.forRootAsync(anything(options))] });
const returned = (options: unknown) => forRootAsync({ useFactory: () => options });

describe('a root without its options', () => {
  it.each<[string, () => ModuleMetadata, string]>([
    ['none', () => forRoot(), 'options: expected an object with options; found nothing'],
    ['null', () => forRoot(null), 'options: expected an object with options; found null'],
    ['a text', () => forRoot('billing'), 'options: expected an object with options; found a string'],
    ['an empty object', () => forRoot({}), 'client: expected a client, a guard, or both; found neither'],
    [
      'a promise',
      () => forRoot(Promise.resolve({ client })),
      'options: expected an object with options, not a promise',
    ],
    [
      'a promise of a client',
      () => forRoot({ client: Promise.resolve(client) }),
      'client: expected an object with options, not a',
    ],
    ['a guard that is a flag', () => forRoot({ guard: true }), 'guard: expected an object with options; found true'],
    ['nothing async', () => forRootAsync(), 'forRootAsync: expected an object with options; found nothing'],
    ['no class', () => forRootAsync({ useClass: undefined }), 'forRootAsync.useFactory: expected a function that'],
    ['the factory’s result', () => forRootAsync({ useFactory: { client } }), 'forRootAsync.useFactory: expected a fun'],
    ['a factory of nothing', () => returned(undefined), 'options: expected an object with options; found nothing'],
    ['a factory of null', () => returned(null), 'options: expected an object with options; found null'],
  ])('host-10: fails the boot with a message of the library: %s', async (_name, metadata, fault) => {
    expect(await faultsOf(metadata)).toEqual([expect.stringContaining(fault)]);
  });

  it('host-10: names options that are passed instead of a factory', async () => {
    expect(await faultsOf(() => forRootAsync({ client }))).toEqual([
      expect.stringContaining('forRootAsync: unknown option "client"; it belongs in forRoot'),
      expect.stringContaining('forRootAsync.useFactory: expected a function'),
    ]);
  });

  it('host-10: fails it also next to providers and features that need it', async () => {
    const imports = () => [...forRoot().imports, feature([IdentityM2MModule.forFeature('other', client)], ByClass)];
    expect(await faultsOf(() => ({ imports: imports(), providers: [ByClass, ByProvider] }))).toEqual([
      expect.stringContaining('options: expected'),
    ]);
  });
});

describe('an option in the wrong place', () => {
  const misplaced = (place: string, option: string) => `${place}: unknown option "${option}"; it belongs in`;

  it.each<[string, () => ModuleMetadata, string]>([
    [
      'globalGuard in the factory’s result',
      () => returned({ guard, globalGuard: true }),
      `${misplaced('options', 'globalGuard')} forRoot, or next to useFactory in forRootAsync`,
    ],
    [
      'isGlobal there',
      () => returned({ client, isGlobal: true }),
      `${misplaced('options', 'isGlobal')} forRoot, or next to`,
    ],
    [
      'globalGuard in guard',
      () => forRoot({ guard: { ...guard, globalGuard: true } }),
      misplaced('guard', 'globalGuard'),
    ],
    ['isGlobal in client', () => forRoot({ client: { ...client, isGlobal: true } }), misplaced('client', 'isGlobal')],
    [
      'a factory in forRoot',
      () => forRoot({ client, useFactory: () => ({}) }),
      `${misplaced('options', 'useFactory')} forRootAsync`,
    ],
    [
      'a client’s in the root',
      () => forRoot({ client, allowedOrigins: [] }),
      `${misplaced('options', 'allowedOrigins')} client`,
    ],
    ['one of both', () => forRoot({ client, audience: 'a' }), `${misplaced('options', 'audience')} client or guard`],
    [
      'a guard’s in the client',
      () => forRoot({ client: { ...client, issuers: [] } }),
      `${misplaced('client', 'issuers')} guard`,
    ],
    [
      'isGlobal as a text',
      () => forRoot({ client, isGlobal: 'false' }),
      'isGlobal: expected true or false; found a string',
    ],
    [
      'globalGuard as a text',
      () => forRootAsync({ useFactory: () => ({ guard }), globalGuard: 'false' }),
      'forRootAsync.globalGuard: expected true or false; found a string',
    ],
    [
      'one that nothing knows',
      () => forRoot({ client, clinet: 1 }),
      'options: unknown option "clinet"; did you mean "client"?',
    ],
  ])('host-10: fails the boot, which names where it belongs: %s', async (_name, metadata, fault) => {
    expect(await faultsOf(metadata)).toEqual([expect.stringContaining(fault)]);
  });
});

describe('the module by itself', () => {
  const BARE =
    'imports: expected IdentityM2MModule.forRoot(…), forRootAsync(…) or forFeature(…); found IdentityM2MModule by itself';

  it.each<[string, () => ModuleMetadata]>([
    ['and nothing else', () => ({ imports: [IdentityM2MModule] })],
    ['beside providers', () => ({ imports: [IdentityM2MModule], providers: [ByClass, ByProvider, ByName] })],
    ['beside a guarded controller', () => ({ imports: [IdentityM2MModule], controllers: [Guarded] })],
    [
      'below a root',
      () => ({ imports: [IdentityM2MModule.forRoot({ client }), feature([IdentityM2MModule], ByClass)] }),
    ],
    [
      'below a root of the async kind',
      () => ({ imports: [feature([IdentityM2MModule], ByClass), ...returned({ client }).imports] }),
    ],
    [
      'beside a global root',
      () => ({
        imports: [IdentityM2MModule.forRoot({ client, isGlobal: true }), feature([IdentityM2MModule], ByClass)],
      }),
    ],
  ])('host-10: fails the boot: imported %s', async (_name, metadata) => {
    expect(await faultsOf(metadata)).toEqual([BARE]);
  });
});

describe('a feature', () => {
  const noRoot = (name: string) =>
    `forRoot: expected IdentityM2MModule.forRoot(…) in the application's main module, because forFeature('${name}') is imported; found nothing`;

  it.each<[string, () => ModuleMetadata]>([
    ['by name', () => ({ imports: [IdentityM2MModule.forFeature('billing')] })],
    ['with options', () => ({ imports: [IdentityM2MModule.forFeature('billing', client)] })],
    ['for a provider', () => ({ imports: [IdentityM2MModule.forFeature('billing')], providers: [ByClass, ByName] })],
    [
      'of a feature module',
      () => ({ imports: [feature([IdentityM2MModule.forFeature('billing')], ByClass, ByProperty)] }),
    ],
  ])('host-10: fails the boot without a root: %s', async (_name, metadata) => {
    expect(await faultsOf(metadata)).toEqual([noRoot('billing')]);
  });

  it('host-10: does not hide the error of its root', async () => {
    const options = { client: { ...client, clientId: '' } };
    for (const root of [forRoot(options), returned(options)]) {
      const imports = [IdentityM2MModule.forFeature('billing', client), ...root.imports];
      expect(await faultsOf(() => ({ imports, providers: [ByName] }))).toEqual([
        expect.stringContaining('client.clientId: expected a client identifier'),
      ]);
    }
  });

  it.each([undefined, '', 'a b', client])('host-10: fails the boot without a name: %#', async (name) => {
    const metadata = () => ({
      imports: [...forRoot({ client }).imports, IdentityM2MModule.forFeature(anything(name))],
    });
    expect(await faultsOf(metadata)).toEqual([
      expect.stringContaining('forFeature.client: expected the name of a client'),
    ]);
  });

  it('host-10: fails the boot with a name that the root does not have', async () => {
    const metadata = () => ({ imports: [...forRoot({ client }).imports, IdentityM2MModule.forFeature('billing')] });
    expect(await faultsOf(metadata)).toEqual(['client: expected one of the clients default; found billing']);
  });
});

describe('a client that is injected by name', () => {
  const clients: IdentityM2MOptions = { client, clients: { billing: client } };

  it.each<[string, () => ModuleMetadata, string]>([
    ['by a parameter', () => ({ ...forRoot({ client }), providers: [ByName] }), 'HttpService'],
    ['by a property', () => ({ ...forRoot({ client }), providers: [ByProperty] }), 'TokenProvider'],
    ['in a feature module', () => ({ imports: [feature([], ByName), ...forRoot(clients).imports] }), 'HttpService'],
    ['after forRootAsync', () => ({ ...returned(clients), providers: [ByName, ByProperty] }), 'HttpService'],
  ])('host-10: fails the boot with the remedy if a module does not have it: %s', async (_name, metadata, what) => {
    const mend = `${what} of client 'billing' (IdentityM2MModule: clients of forRoot, or forFeature)`;
    await expect(boot(metadata())).rejects.toThrow(mend);
  });

  it('host-10: fails nothing if a module has it, or if it is optional', async () => {
    const named = await boot({ ...forRoot(clients), providers: [ByName, ByProperty] });
    expect(named.get(ByName)).toMatchObject({ http: { axiosRef: expect.anything() } });
    const late = feature([IdentityM2MModule.forFeature('billing')], ByName, ByProperty);
    await boot({ imports: [...returned(clients).imports, late] });
    const without = await boot({ ...forRoot({ client }), providers: [IfThere] });
    expect(without.get(IfThere)).toEqual({ http: undefined });
  });

  it('host-10: is found in a lazily loaded feature', async () => {
    const app = await boot(returned(clients));
    const late = feature([IdentityM2MModule.forFeature('billing')], ByName);
    const loaded = await (app.get(LazyModuleLoader) as LazyModuleLoader).load(() => late);
    expect(loaded.get(ByName).http).toBeInstanceOf(HttpService);
  });
});
