import type { ClientOptions } from '../config/client-options.js';
import { IdentityM2MConfigurationError } from '../config/configuration-error.js';
import type { TenantsConfiguration } from '../config/tenants-options.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';
import { waitAtMost } from '../foundation/promises.js';
import { TokenUnavailableError } from '../token/token-errors.js';
import type { ConfiguredClient } from './configured-client.js';

interface Entry {
  readonly client: Promise<ConfiguredClient>;
  made: ConfiguredClient | undefined;
  lastUse: Instant;
}

/** Time that `perTenant` may take, in milliseconds. */
const RESOLVE_TIMEOUT_MS = 10_000;

/** The clients of tenants: caches recently used ones, up to `maxTenants`, and evicts idle ones. */
export class TenantClients {
  /** In the order of their last use, the oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Evicted clients that still have calls under way. */
  readonly #draining = new Set<ConfiguredClient>();
  #cancelTimer: (() => void) | undefined;
  #isStopped = false;

  constructor(
    private readonly configuration: TenantsConfiguration,
    private readonly make: (tenant: string, options: ClientOptions) => ConfiguredClient,
    private readonly clock: Clock,
  ) {}

  /**
   * Returns the client of a tenant; creates it if there is none, once for all concurrent callers.
   *
   * @throws {@link IdentityM2MConfigurationError} for an invalid tenant name or invalid options;
   * {@link TokenUnavailableError} if `perTenant` takes too long; whatever `perTenant` throws.
   */
  async get(tenant: string): Promise<ConfiguredClient> {
    if (!isTenantName(tenant)) {
      const expected = 'a tenant: a string of 1 to 256 printable characters';
      throw new IdentityM2MConfigurationError([{ path: 'tenant', expected, found: typeof tenant }]);
    }
    const now = this.clock.now();
    const entry = this.#entries.get(tenant) ?? this.#begin(tenant, now);
    entry.lastUse = now;
    this.#entries.delete(tenant);
    this.#entries.set(tenant, entry);
    this.#evict();
    return entry.client;
  }

  /** Stops background work, also of clients that are created later. Calls are still served. */
  stopRefreshing(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  *all(): Iterable<ConfiguredClient> {
    for (const { made } of this.#entries.values()) if (made) yield made;
    yield* this.#draining;
  }

  #begin(tenant: string, now: Instant): Entry {
    const entry: Entry = { client: this.#resolve(tenant), made: undefined, lastUse: now };
    entry.client.then(
      (client) => {
        entry.made = client;
        // The entry may have been evicted before its client was made.
        if (this.#isStopped || this.#entries.get(tenant) !== entry) this.#drain(client);
      },
      // The next call runs `perTenant` again.
      () => {
        if (this.#entries.get(tenant) === entry) this.#entries.delete(tenant);
      },
    );
    return entry;
  }

  async #resolve(tenant: string): Promise<ConfiguredClient> {
    const resolving = Promise.resolve(this.configuration.resolve(tenant)).then((options) => ({ options }));
    const resolved = await waitAtMost(resolving, RESOLVE_TIMEOUT_MS, this.clock);
    if (resolved) return this.make(tenant, resolved.options as ClientOptions);
    const { name } = this.configuration;
    const client = `${name}[${tenant}]`;
    const message = `No access token for client "${client}": perTenant returned no options within ${RESOLVE_TIMEOUT_MS} ms.`;
    throw new TokenUnavailableError('wait_timeout', message, { client });
  }

  /** Evicts idle clients, and the least recently used ones beyond `maxTenants`. */
  #evict(): void {
    const { maxTenants, idleMs } = this.configuration;
    const now = this.clock.now();
    this.#cancelTimer?.();
    for (const [tenant, { made, lastUse }] of this.#entries) {
      const restMs = idleMs - elapsedMs(lastUse, now);
      if (this.#entries.size <= maxTenants && restMs > 0) {
        if (!this.#isStopped) this.#cancelTimer = this.clock.setTimer(Math.ceil(restMs), () => this.#evict());
        return;
      }
      this.#entries.delete(tenant);
      if (made) this.#drain(made);
    }
  }

  #drain(client: ConfiguredClient): void {
    this.#draining.add(client);
    void client.drain().finally(() => this.#draining.delete(client));
  }
}

function isTenantName(tenant: unknown): tenant is string {
  return typeof tenant === 'string' && /^[\x20-\x7e\u00a0-\uffff]{1,256}$/.test(tenant) && tenant.isWellFormed();
}
