import { HttpService } from '@nestjs/axios';
import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { APP_GUARD, ModulesContainer } from '@nestjs/core';
import type { ConfiguredClient } from './clients/configured-client.js';
import { ConfiguredClients } from './clients/configured-clients.js';
import { UnconfiguredTokenProvider, unconfiguredHttpService } from './clients/unconfigured-client.js';
import { IdentityM2MConfigurationError } from './config/configuration-error.js';
import type { ClientOptions } from './config/client-options.js';
import {
  asyncOptionsFaults,
  checkFeature,
  DEFAULT_CLIENT,
  extrasFaults,
  type IdentityM2MModuleExtras,
} from './config/module-options.js';
import { isTenantsOptions } from './config/tenants-options.js';
import type { OptionFault } from './foundation/option-check.js';
import { AccessDecisions } from './guard/access-decisions.js';
import { M2MAuthGuard } from './guard/m2m-auth.guard.js';
import { guardMessageHandlers } from './guard/guard-placement.js';
import { GLOBAL_MESSAGE_GUARD } from './guard/message-handler.js';
import {
  type ASYNC_OPTIONS_TYPE,
  guardOptionsMissing,
  IdentityM2MCoreModule,
  type OPTIONS_TYPE,
} from './identity-m2m-core.module.js';
import { TokenProvider } from './token/token-provider.js';
import { m2mHttpToken, M2MClientRegistry, tokenProviderToken } from './clients/m2m-client.js';

/** Checks how the module is imported, before Nest creates providers whose errors would not name the mistake. */
const IMPORT_CHECK = Symbol('import of IdentityM2MModule');

/**
 * Machine identity for a Nest application: tokens on its outgoing calls, and a guard for its incoming ones.
 *
 * Import it once, with `forRoot` or `forRootAsync`. Modules that use a client other than the default one import
 * `forFeature`. Exports `HttpService`, `TokenProvider`, `M2MClientRegistry`, `M2MAuthGuard`, and what
 * `@InjectM2MHttp` and `@InjectTokenProvider` inject.
 */
@Module({ providers: [{ provide: IMPORT_CHECK, useFactory: refuseBareImport }] })
export class IdentityM2MModule {
  /** @throws `IdentityM2MConfigurationError` at boot, with every invalid option. */
  static forRoot(options: typeof OPTIONS_TYPE & IdentityM2MModuleExtras): DynamicModule {
    const faults = extrasFaults(options);
    if (faults.length > 0) return failingRoot(faults);
    const { isGlobal, globalGuard, ...own } = options;
    const names = Object.entries(own.clients ?? {}).flatMap(([name, client]) =>
      name === DEFAULT_CLIENT || isTenantsOptions(client) ? [] : [name],
    );
    return rootModule(IdentityM2MCoreModule.forRoot(own), { isGlobal, globalGuard }, names);
  }

  /**
   * Accepts `useFactory`, `useClass` or `useExisting`, as other Nest modules do. Modules that use a client other than
   * the default one import `forFeature('name')`: the names of clients are not yet known when decorators run.
   *
   * @throws `IdentityM2MConfigurationError` at boot, with every invalid option.
   */
  static forRootAsync(options: typeof ASYNC_OPTIONS_TYPE & IdentityM2MModuleExtras): DynamicModule {
    const faults = asyncOptionsFaults(options);
    if (faults.length > 0) return failingRoot(faults);
    const { isGlobal, globalGuard, ...own } = options;
    return rootModule(IdentityM2MCoreModule.forRootAsync(own), { isGlobal, globalGuard }, []);
  }

  /**
   * Provides the `HttpService` and the `TokenProvider` of one client instead of the default ones. The module that
   * imports `forRoot` uses `@InjectM2MHttp(client)` and `@InjectTokenProvider(client)` instead.
   *
   * @param options Options of a new client of that name. Default: the client of that name in the options `clients`.
   * @throws `IdentityM2MConfigurationError` at boot if there is no such client, or its options are invalid.
   */
  static forFeature(client: string, options?: ClientOptions): DynamicModule {
    return {
      module: IdentityM2MModule,
      providers: [
        {
          provide: IMPORT_CHECK,
          inject: [ModulesContainer],
          useFactory: (modules: ModulesContainer) => requireRoot(modules, client),
        },
        ...clientProviders(client, async (clients) => {
          if (!options) return clients.get(client);
          const added = clients.addByOptions(client, options);
          await clients.startLate(added);
          return added;
        }),
        { provide: HttpService, useExisting: m2mHttpToken(client) },
        { provide: TokenProvider, useExisting: tokenProviderToken(client) },
      ],
      exports: [m2mHttpToken(client), tokenProviderToken(client), HttpService, TokenProvider],
    };
  }
}

function rootModule(
  core: DynamicModule,
  { isGlobal = false, globalGuard = false }: IdentityM2MModuleExtras,
  clients: readonly string[],
): DynamicModule {
  return {
    module: IdentityM2MModule,
    global: isGlobal,
    imports: [globalGuard ? withMessageGuard(core) : core],
    providers: [
      { provide: IMPORT_CHECK, useValue: 'root' },
      {
        provide: HttpService,
        inject: [ConfiguredClients, TokenProvider],
        useFactory: (clients: ConfiguredClients, provider: TokenProvider) =>
          clients.has(DEFAULT_CLIENT) ? clients.get(DEFAULT_CLIENT).httpWith(provider) : unconfiguredHttpService(),
      },
      {
        provide: TokenProvider,
        inject: [ConfiguredClients],
        useFactory: (clients: ConfiguredClients) =>
          clients.has(DEFAULT_CLIENT) ? clients.get(DEFAULT_CLIENT).provider : new UnconfiguredTokenProvider(),
      },
      { provide: m2mHttpToken(DEFAULT_CLIENT), useExisting: HttpService },
      { provide: tokenProviderToken(DEFAULT_CLIENT), useExisting: TokenProvider },
      ...clients.flatMap((client) => clientProviders(client, (all) => all.get(client))),
      { provide: M2MClientRegistry, useExisting: ConfiguredClients },
      M2MAuthGuard,
      ...(globalGuard ? [{ provide: APP_GUARD, useExisting: M2MAuthGuard }] : []),
    ],
    exports: [
      HttpService,
      TokenProvider,
      M2MClientRegistry,
      M2MAuthGuard,
      ...[DEFAULT_CLIENT, ...clients].flatMap((client) => [m2mHttpToken(client), tokenProviderToken(client)]),
    ],
  };
}

/** Returns a module that fails at boot, as with other invalid options, and not while it is imported. */
function failingRoot(faults: readonly OptionFault[]): DynamicModule {
  const useFactory = () => {
    throw new IdentityM2MConfigurationError(faults);
  };
  return rootModule(IdentityM2MCoreModule.forRootAsync({ useFactory }), {}, []);
}

/** Exports the guard to every module, because each looks it up for its own message handlers. */
function withMessageGuard(core: DynamicModule): DynamicModule {
  return {
    ...core,
    providers: [
      ...(core.providers ?? []),
      M2MAuthGuard,
      {
        provide: GLOBAL_MESSAGE_GUARD,
        inject: [M2MAuthGuard, AccessDecisions, ModulesContainer],
        useFactory(guard: M2MAuthGuard, decisions: AccessDecisions, modules: ModulesContainer) {
          if (!decisions.isConfigured) throw guardOptionsMissing('globalGuard is on');
          guardMessageHandlers(modules, guard);
          return guard;
        },
      },
    ],
    exports: [GLOBAL_MESSAGE_GUARD],
  };
}

/**
 * Never resolves: Nest continues without an optional dependency that failed, and no later error may hide the first one.
 */
const bootHasFailed = new Promise<never>(() => {});

function clientProviders(
  name: string,
  find: (clients: ConfiguredClients) => ConfiguredClient | Promise<ConfiguredClient>,
): Provider[] {
  const client = Symbol(`client "${name}" of IdentityM2MModule`);
  return [
    {
      provide: client,
      // Optional, so that without a root, the error is that of IMPORT_CHECK and not Nest's error about injection.
      inject: [IMPORT_CHECK, { token: ConfiguredClients, optional: true }],
      useFactory: (_checked: unknown, clients: ConfiguredClients | undefined) =>
        clients ? find(clients) : bootHasFailed,
    },
    { provide: tokenProviderToken(name), inject: [client], useFactory: ({ provider }: ConfiguredClient) => provider },
    {
      provide: m2mHttpToken(name),
      inject: [client, tokenProviderToken(name)],
      useFactory: (found: ConfiguredClient, provider: TokenProvider) => found.httpWith(provider),
    },
  ];
}

/** @throws {@link IdentityM2MConfigurationError} Always: the class was imported without options. */
function refuseBareImport(): never {
  const expected = 'IdentityM2MModule.forRoot(…), forRootAsync(…) or forFeature(…)';
  throw new IdentityM2MConfigurationError([{ path: 'imports', expected, found: 'IdentityM2MModule by itself' }]);
}

/**
 * @throws {@link IdentityM2MConfigurationError} if `forFeature` has no name of a client, or the application no root.
 */
function requireRoot(modules: ModulesContainer, client: string): void {
  checkFeature(client);
  if ([...modules.values()].some(({ metatype }) => metatype === IdentityM2MCoreModule)) return;
  const expected = `IdentityM2MModule.forRoot(…) in the application's main module, because forFeature('${client}') is imported`;
  throw new IdentityM2MConfigurationError([{ path: 'forRoot', expected, found: 'nothing' }]);
}
