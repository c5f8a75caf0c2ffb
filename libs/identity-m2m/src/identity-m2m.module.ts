import { HttpService } from '@nestjs/axios';
import { type DynamicModule, Module, type Provider } from '@nestjs/common';
import { APP_GUARD, ModulesContainer } from '@nestjs/core';
import type { ConfiguredClient } from './clients/configured-client.js';
import { ConfiguredClients, DEFAULT_CLIENT } from './clients/configured-clients.js';
import { UnconfiguredTokenProvider, unconfiguredHttpService } from './clients/unconfigured-client.js';
import { IdentityM2MConfigurationError } from './config/configuration-error.js';
import type { ClientOptions } from './config/client-options.js';
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
import { asyncRootFaults, refuseBareImport, requireRoot, rootFaults } from './module-use.js';
import { TokenProvider } from './token/token-provider.js';
import { m2mHttpToken, M2MClientRegistry, tokenProviderToken } from './clients/m2m-client.js';

/** Looks at how the module is used, before anything is made that could fail without saying why. */
const USE = Symbol('use of IdentityM2MModule');

/** Where the module's exports are available, and where its guard stands. */
export interface IdentityM2MModuleExtras {
  /** Makes the exports available in every module. Default: false. */
  readonly isGlobal?: boolean;
  /**
   * Puts `M2MAuthGuard` before every route and every message handler, also of microservices that are connected without
   * `inheritAppConfig`. Default: false.
   */
  readonly globalGuard?: boolean;
}

/**
 * Machine identity for a Nest application: tokens on its outgoing calls, and a guard for its incoming ones.
 *
 * Imported once, with `forRoot` or `forRootAsync`; modules that use a client other than the default one import
 * `forFeature`. Exports `HttpService`, `TokenProvider` and `M2MAuthGuard`.
 */
@Module({ providers: [{ provide: USE, useFactory: refuseBareImport }] })
export class IdentityM2MModule {
  /** @throws `IdentityM2MConfigurationError` at boot, with every wrong option at once. */
  static forRoot(options: typeof OPTIONS_TYPE & IdentityM2MModuleExtras): DynamicModule {
    const faults = rootFaults(options);
    if (faults.length > 0) return failingRoot(faults);
    const { isGlobal, globalGuard, ...own } = options;
    const names = Object.entries(own.clients ?? {}).flatMap(([name, client]) =>
      name === DEFAULT_CLIENT || isTenantsOptions(client) ? [] : [name],
    );
    return rootModule(IdentityM2MCoreModule.forRoot(own), { isGlobal, globalGuard }, names);
  }

  /**
   * Takes `useFactory`, `useClass` or `useExisting`, as other Nest modules do. The names of further clients are known too
   * late to inject them by decorator alone: modules that use one import `forFeature('name')`.
   *
   * @throws `IdentityM2MConfigurationError` at boot, with every wrong option at once.
   */
  static forRootAsync(options: typeof ASYNC_OPTIONS_TYPE & IdentityM2MModuleExtras): DynamicModule {
    const faults = asyncRootFaults(options);
    if (faults.length > 0) return failingRoot(faults);
    const { isGlobal, globalGuard, ...own } = options;
    return rootModule(IdentityM2MCoreModule.forRootAsync(own), { isGlobal, globalGuard }, []);
  }

  /**
   * Gives a module the `HttpService` and the `TokenProvider` of one client, in place of the default ones. For modules
   * other than the one that imports `forRoot`: that one has `@InjectM2MHttp(client)` and `@InjectTokenProvider(client)`.
   *
   * @param options Given: makes the client. Left out: takes it from `clients` of `forRoot`.
   * @throws `IdentityM2MConfigurationError` at boot where there is no such client, or its options are wrong.
   */
  static forFeature(client: string, options?: ClientOptions): DynamicModule {
    return {
      module: IdentityM2MModule,
      providers: [
        {
          provide: USE,
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
      { provide: USE, useValue: 'root' },
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

/** At the boot it says what is wrong, as it does for every other option. */
function failingRoot(faults: readonly OptionFault[]): DynamicModule {
  const useFactory = () => {
    throw new IdentityM2MConfigurationError(faults);
  };
  return rootModule(IdentityM2MCoreModule.forRootAsync({ useFactory }), {}, []);
}

/** Known in every module, because each has to find it for its own message handlers. */
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

/** Nest goes on without optional dependencies that have failed. The boot ends by their error, and by no later one. */
const bootHasFailed = new Promise<never>(() => {});

function clientProviders(
  name: string,
  find: (clients: ConfiguredClients) => ConfiguredClient | Promise<ConfiguredClient>,
): Provider[] {
  const client = Symbol(`client "${name}" of IdentityM2MModule`);
  return [
    {
      provide: client,
      // Optional, so that where there is no root it is USE that says so, and not Nest, in terms of injection.
      inject: [USE, { token: ConfiguredClients, optional: true }],
      useFactory: (_use: unknown, clients: ConfiguredClients | undefined) => (clients ? find(clients) : bootHasFailed),
    },
    { provide: tokenProviderToken(name), inject: [client], useFactory: ({ provider }: ConfiguredClient) => provider },
    {
      provide: m2mHttpToken(name),
      inject: [client, tokenProviderToken(name)],
      useFactory: (found: ConfiguredClient, provider: TokenProvider) => found.httpWith(provider),
    },
  ];
}
