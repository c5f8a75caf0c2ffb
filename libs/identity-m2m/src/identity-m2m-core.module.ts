import {
  ConfigurableModuleBuilder,
  Global,
  Inject,
  Logger,
  Module,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
  Optional,
  type Provider,
} from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { ConfiguredClients } from './clients/configured-clients.js';
import { stockHttpServices } from './clients/stock-http-services.js';
import { checkOptions, type IdentityM2MConfiguration, type IdentityM2MOptions } from './config/module-options.js';
import { IdentityM2MConfigurationError } from './config/configuration-error.js';
import { accessTokenVerifier } from './create-access-token-verifier.js';
import { type Clock, systemClock } from './foundation/clock.js';
import { CallerFollowing, CurrentCaller } from './guard/caller.js';
import { AccessDecisions } from './guard/access-decisions.js';
import { guardPlacement, guardUses, isGlobalGuard, prepareHandlers } from './guard/guard-placement.js';
import { INBOUND_CHANNEL } from './guard/inbound-events.js';
import { GLOBAL_MESSAGE_GUARD } from './guard/message-handler.js';
import { loadMicroservices } from './nest/packages.js';
import { InboundTransports } from './guard/transports/inbound-transports.js';
import { logInboundEvents, logVerificationEvents } from './telemetry/inbound-log.js';
import { logOutboundEvents } from './telemetry/outbound-log.js';
import { OUTBOUND_CHANNEL } from './token/outbound-events.js';
import type { AccessTokenVerifier } from './verification/access-token-verifier.js';

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<IdentityM2MOptions>({ moduleName: 'IdentityM2M' })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createIdentityM2MOptions')
    .build();

const CONFIGURATION = Symbol('IdentityM2MConfiguration');
const VERIFIER = Symbol('AccessTokenVerifier');

/** Injection token of the module's clock. Tests can override it, for example with `ManualClock`. */
export const M2M_CLOCK = Symbol('Clock');

const isProduction = () => process.env.NODE_ENV === 'production';

const providers: Provider[] = [
  CallerFollowing,
  CurrentCaller,
  { provide: M2M_CLOCK, useValue: systemClock },
  {
    provide: CONFIGURATION,
    inject: [MODULE_OPTIONS_TOKEN],
    useFactory: (options: IdentityM2MOptions) => checkOptions(options, isProduction()),
  },
  {
    provide: ConfiguredClients,
    inject: [CONFIGURATION, M2M_CLOCK],
    useFactory: configuredClients,
  },
  {
    provide: VERIFIER,
    inject: [CONFIGURATION, M2M_CLOCK],
    useFactory: ({ guard }: IdentityM2MConfiguration, clock: Clock) => guard && accessTokenVerifier(guard, clock),
  },
  {
    provide: AccessDecisions,
    inject: [VERIFIER],
    useFactory: (verifier: AccessTokenVerifier | undefined) => new AccessDecisions(verifier),
  },
  {
    provide: InboundTransports,
    inject: [CONFIGURATION, AccessDecisions, HttpAdapterHost],
    useFactory: async ({ guard }: IdentityM2MConfiguration, decisions: AccessDecisions, adapterHost: HttpAdapterHost) =>
      new InboundTransports({
        decisions,
        adapterHost,
        microservices: guard && (await loadMicroservices()),
        extractors: guard?.extractors ?? [],
        tokenHeader: guard?.tokenHeader,
        realm: guard?.realm,
      }),
  },
];

/** Provides once what all modules of the application share. */
@Global()
@Module({ providers, exports: [ConfiguredClients, AccessDecisions, InboundTransports, CurrentCaller] })
export class IdentityM2MCoreModule
  extends ConfigurableModuleClass
  implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown
{
  readonly #cleanups: (() => void)[];
  // Private, because they lead to the module's options with their secrets, and util.inspect shows other members.
  readonly #decisions: AccessDecisions;
  readonly #transports: InboundTransports;
  readonly #modules: ModulesContainer;
  readonly #adapterHost: HttpAdapterHost;

  constructor(
    private readonly clients: ConfiguredClients,
    @Inject(AccessDecisions) decisions: AccessDecisions,
    @Inject(InboundTransports) transports: InboundTransports,
    @Inject(ModulesContainer) modules: ModulesContainer,
    @Inject(HttpAdapterHost) adapterHost: HttpAdapterHost,
    @Optional() @Inject(VERIFIER) private readonly verifier: AccessTokenVerifier | undefined,
    @Optional() @Inject(GLOBAL_MESSAGE_GUARD) private readonly messageGuard: object | undefined,
  ) {
    super();
    requireOneRoot(modules);
    const [use] = decisions.isConfigured ? [] : guardUses(modules);
    if (use !== undefined) throw guardOptionsMissing(`M2MAuthGuard is on ${use}`);
    this.#decisions = decisions;
    this.#transports = transports;
    this.#modules = modules;
    this.#adapterHost = adapterHost;
    this.#cleanups = [decisions.events.publishOn(INBOUND_CHANNEL)];
    if (!verifier) return;
    prepareHandlers(modules);
    this.#cleanups.push(
      logInboundEvents(decisions.events),
      logVerificationEvents(verifier.events),
      verifier.events.publishOn(INBOUND_CHANNEL),
    );
  }

  async onModuleInit(): Promise<void> {
    this.#checkGuards();
    this.#checkHttpServices();
    await Promise.all([this.clients.start(), this.verifier?.start()]);
  }

  #checkGuards(): void {
    if (!this.#decisions.isConfigured && isGlobalGuard(this.#modules)) {
      throw guardOptionsMissing('M2MAuthGuard is a global guard');
    }
    const { unchecked, unreadable, skipped, guardedBy } = guardPlacement(this.#modules, {
      // A microservice by itself has no adapter.
      servesHttp: Boolean(this.#adapterHost.httpAdapter),
      hasMessageGuard: this.messageGuard !== undefined,
    });
    const logger = new Logger('IdentityM2M');
    if (unchecked.length > 0) {
      logger.warn(
        `guard does not check the access rules on ${listed(unchecked)}, because M2MAuthGuard is not on them: any caller is allowed. Set globalGuard: true, or put @UseGuards(M2MAuthGuard) on them`,
      );
    }
    if (unreadable.length > 0) {
      logger.warn(
        `guard refuses every call of ${listed(unreadable)}: it cannot read the credentials of WebSocket messages and GraphQL operations. Mark them @Public() and authenticate their callers with a guard of your own`,
      );
    }
    if (skipped.length > 0) {
      logger.warn(
        `guard does not check calls of ${listed(skipped)} on Nest 11, which calls no global guards for gateways: any caller is allowed. On Nest 12, the guard refuses every call. Set globalGuard: true to refuse them on both, or mark them @Public() and authenticate their callers with a guard of your own`,
      );
    }
    this.#warnOfServersWithoutCredentials(guardedBy);
  }

  /** Warns about each server whose calls carry no credentials. Servers may be connected at any time. */
  #warnOfServersWithoutCredentials(guardedBy: (server: object) => readonly string[]): void {
    const warned = new Set<string>();
    const subscription = this.#modules.getRpcTargetRegistry<object>().subscribe((server) => {
      const why = this.#transports.noCredentialReason(server);
      const handlers = guardedBy(server);
      if (why === undefined || handlers.length === 0 || warned.has(why)) return;
      warned.add(why);
      new Logger('IdentityM2M').warn(`guard refuses every call of ${listed(handlers)} that comes ${why}`);
    });
    this.#cleanups.push(() => subscription.unsubscribe());
  }

  #checkHttpServices(): void {
    const users = stockHttpServices(this.#modules, (url) => this.clients.explain(url));
    if (users.length === 0) return;
    new Logger('IdentityM2M').warn(
      `calls by the HttpService of ${listed(users)} carry no token: it comes from HttpModule, which hides that of IdentityM2MModule. Remove HttpModule from the imports of their modules, or inject one with @InjectM2MHttp(client). If the calls need no token, set a baseURL in HttpModule.register()`,
    );
  }

  /** Requests that arrived before the shutdown are still served, and may need tokens. */
  onModuleDestroy(): void {
    this.clients.stopRefreshing();
  }

  async onApplicationShutdown(): Promise<void> {
    this.verifier?.close();
    await this.clients.close();
    for (const cleanup of this.#cleanups) cleanup();
  }
}

/** Without its options, the guard would refuse every caller for an invalid token. */
export function guardOptionsMissing(because: string): IdentityM2MConfigurationError {
  return new IdentityM2MConfigurationError([
    { path: 'guard', expected: `options of the guard, because ${because}`, found: 'nothing' },
  ]);
}

/** Maximum number of handlers that one log line names. */
const MAX_LISTED = 20;

function listed(names: readonly string[]): string {
  const more = names.length - MAX_LISTED;
  return `${names.slice(0, MAX_LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** With two roots, it would be undefined which one a `forFeature` or a message handler uses. */
function requireOneRoot(modules: ModulesContainer): void {
  const roots = [...modules.values()].filter(({ metatype }) => metatype === IdentityM2MCoreModule);
  if (roots.length === 1) return;
  const expected =
    'one import in the application; put further clients into its option clients, or into forFeature(name, options)';
  throw new IdentityM2MConfigurationError([{ path: 'forRoot', expected, found: `${roots.length} imports` }]);
}

function configuredClients(configuration: IdentityM2MConfiguration, clock: Clock): ConfiguredClients {
  const clients = new ConfiguredClients({
    clock,
    random: Math.random,
    production: isProduction(),
    onClient: ({ provider }) => {
      logOutboundEvents(provider.events);
      provider.events.publishOn(OUTBOUND_CHANNEL);
    },
  });
  for (const client of configuration.clients) clients.add(client);
  for (const tenants of configuration.tenants) clients.addTenants(tenants);
  return clients;
}
