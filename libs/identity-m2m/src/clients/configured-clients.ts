import type { CallTokenOptions } from '../carriers/axios/bearer-interceptor.js';
import type { ClientConfiguration, ClientOptions } from '../config/client-options.js';
import { IdentityM2MConfigurationError } from '../config/configuration-error.js';
import { checkClientOptions, DEFAULT_CLIENT } from '../config/module-options.js';
import type { TenantsConfiguration } from '../config/tenants-options.js';
import { CredentialQuarantine } from '../credentials/credential-quarantine.js';
import type { Clock } from '../foundation/clock.js';
import type { OriginDecision } from '../token/allowed-origins.js';
import { ConfiguredClient, type ConfiguredClientDependencies } from './configured-client.js';
import { M2MClientRegistry } from './m2m-client.js';
import { TenantClients } from './tenant-clients.js';

export interface ConfiguredClientsOptions {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly production: boolean;
  /** Called with each new client. */
  readonly onClient: (client: ConfiguredClient) => void;
}

/** The clients of the configuration, and those of tenants. */
export class ConfiguredClients extends M2MClientRegistry {
  readonly #clients = new Map<string, ConfiguredClient>();
  readonly #tenants = new Map<string, TenantClients>();
  readonly #dependencies: ConfiguredClientDependencies;
  #quarantine: CredentialQuarantine | undefined;
  #isStarted = false;

  constructor(private readonly options: ConfiguredClientsOptions) {
    super();
    const { clock, random } = options;
    const quarantine = () => (this.#quarantine ??= new CredentialQuarantine(clock, random));
    this.#dependencies = { clock, random, quarantine, choose: (wanted) => this.choose(wanted) };
  }

  /** @throws {@link IdentityM2MConfigurationError} if another client has this name. */
  add(configuration: ClientConfiguration): ConfiguredClient {
    this.#claim(configuration.name);
    const client = this.#make(configuration);
    this.#clients.set(configuration.name, client);
    return client;
  }

  /** @throws {@link IdentityM2MConfigurationError} if another client has this name, or the options are invalid. */
  addByOptions(name: string, options: ClientOptions): ConfiguredClient {
    return this.add(checkClientOptions(name, options, this.options.production));
  }

  /** Starts a client of a module that was loaded after the others had started. */
  async startLate(client: ConfiguredClient): Promise<void> {
    if (this.#isStarted) await client.start();
  }

  /** Adds a client per tenant; each is made when a call first names its tenant. */
  addTenants(configuration: TenantsConfiguration): void {
    this.#claim(configuration.name);
    const { production, clock } = this.options;
    const make = (tenant: string, options: ClientOptions) =>
      this.#make(checkClientOptions(`${configuration.name}[${tenant}]`, options, production));
    this.#tenants.set(configuration.name, new TenantClients(configuration, make, clock));
  }

  /** @throws {@link IdentityM2MConfigurationError} if there is no such client. */
  get(name: string): ConfiguredClient {
    const client = this.#clients.get(name);
    if (client) return client;
    const known = [...this.#clients.keys(), ...this.#tenants.keys()];
    const expected =
      known.length === 0 ? 'a client of the options, which have none' : `one of the clients ${known.join(', ')}`;
    const found = this.#tenants.has(name) ? `${name} without a tenant, which its perTenant needs` : name;
    throw new IdentityM2MConfigurationError([{ path: 'client', expected, found }]);
  }

  has(name: string): boolean {
    return this.#clients.has(name);
  }

  /**
   * Returns whether any client but those of tenants may send its token to an address, or the nearest reason why not.
   */
  explain(url: string): OriginDecision {
    const decisions = [...this.#clients.values()].map(({ provider }) => provider.explain(url));
    return (
      decisions.find(({ isAllowed }) => isAllowed) ??
      decisions.find(({ reason }) => reason !== 'origin_not_allowed') ?? {
        isAllowed: false,
        reason: 'origin_not_allowed',
      }
    );
  }

  override async choose({
    client = DEFAULT_CLIENT,
    tenant,
  }: Pick<CallTokenOptions, 'client' | 'tenant'>): Promise<ConfiguredClient> {
    const tenants = this.#tenants.get(client);
    if (tenants && tenant !== undefined) return tenants.get(tenant);
    if (tenant === undefined) return this.get(client);
    const expected = 'nothing, because this client has no perTenant';
    throw new IdentityM2MConfigurationError([{ path: 'tenant', expected, found: `a tenant for the client ${client}` }]);
  }

  async start(): Promise<void> {
    this.#isStarted = true;
    try {
      await Promise.all([...this.#clients.values()].map((client) => client.start()));
    } catch (error) {
      // The boot has failed; background work of the other clients would delay its end.
      this.stopRefreshing();
      throw error;
    }
  }

  stopRefreshing(): void {
    for (const { provider } of this.#all()) provider.stopRefreshing();
    for (const tenants of this.#tenants.values()) tenants.stopRefreshing();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all()].map((client) => client.close()));
  }

  #make(configuration: ClientConfiguration): ConfiguredClient {
    const client = new ConfiguredClient(configuration, this.#dependencies);
    this.options.onClient(client);
    return client;
  }

  #claim(name: string): void {
    if (!this.#clients.has(name) && !this.#tenants.has(name)) return;
    const expected = 'a name that no other client has';
    throw new IdentityM2MConfigurationError([{ path: `clients.${name}`, expected, found: 'a duplicate' }]);
  }

  *#all(): Iterable<ConfiguredClient> {
    yield* this.#clients.values();
    for (const tenants of this.#tenants.values()) yield* tenants.all();
  }
}
