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

/** How long the application's function may take to tell a tenant's options, in milliseconds. */
const RESOLVE_TIMEOUT_MS = 10_000;

/** The clients of many tenants: those that were wanted lately, up to a number. */
export class TenantClients {
  /** In the order of their last use, the longest ago first. */
  readonly #entries = new Map<string, Entry>();
  /** Those that gave way and still have something to do. */
  readonly #retiring = new Set<ConfiguredClient>();
  #cancelTimer: (() => void) | undefined;
  #isStopped = false;

  constructor(
    private readonly configuration: TenantsConfiguration,
    private readonly make: (tenant: string, options: ClientOptions) => ConfiguredClient,
    private readonly clock: Clock,
  ) {}

  /**
   * The client of a tenant; made, once for all who ask at the same time, where there is none.
   *
   * @throws {@link IdentityM2MConfigurationError} for a name that no tenant can have, or options that are wrong;
   * {@link TokenUnavailableError} where the application's own function takes too long; whatever it throws.
   */
  async get(tenant: string): Promise<ConfiguredClient> {
    if (!isTenantName(tenant)) {
      const expected = 'a tenant: a text of 1 to 256 printable characters';
      throw new IdentityM2MConfigurationError([{ path: 'tenant', expected, found: typeof tenant }]);
    }
    const now = this.clock.now();
    const entry = this.#entries.get(tenant) ?? this.#begin(tenant, now);
    entry.lastUse = now;
    this.#entries.delete(tenant);
    this.#entries.set(tenant, entry);
    this.#dropIdle();
    return entry.client;
  }

  /** Ends what is done without being asked for, also by clients that are made from here on. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  *all(): Iterable<ConfiguredClient> {
    for (const { made } of this.#entries.values()) if (made) yield made;
    yield* this.#retiring;
  }

  #begin(tenant: string, now: Instant): Entry {
    const entry: Entry = { client: this.#resolve(tenant), made: undefined, lastUse: now };
    entry.client.then(
      (client) => {
        entry.made = client;
        // It may have had to give way before it was made.
        if (this.#isStopped || this.#entries.get(tenant) !== entry) this.#retire(client);
      },
      // The next call may ask again.
      () => {
        if (this.#entries.get(tenant) === entry) this.#entries.delete(tenant);
      },
    );
    return entry;
  }

  async #resolve(tenant: string): Promise<ConfiguredClient> {
    const told = Promise.resolve(this.configuration.resolve(tenant)).then((options) => ({ options }));
    const answer = await waitAtMost(told, RESOLVE_TIMEOUT_MS, this.clock);
    if (answer) return this.make(tenant, answer.options as ClientOptions);
    const { name } = this.configuration;
    const client = `${name}[${tenant}]`;
    const message = `No access token for client "${client}": perTenant brought no options within ${RESOLVE_TIMEOUT_MS} ms.`;
    throw new TokenUnavailableError('wait_timeout', message, { client });
  }

  /** Those that were not used for long, and the longest unused ones where there are too many. */
  #dropIdle(): void {
    const { maxTenants, idleMs } = this.configuration;
    const now = this.clock.now();
    this.#cancelTimer?.();
    for (const [tenant, { made, lastUse }] of this.#entries) {
      const restMs = idleMs - elapsedMs(lastUse, now);
      if (this.#entries.size <= maxTenants && restMs > 0) {
        if (!this.#isStopped) this.#cancelTimer = this.clock.setTimer(Math.ceil(restMs), () => this.#dropIdle());
        return;
      }
      this.#entries.delete(tenant);
      if (made) this.#retire(made);
    }
  }

  #retire(client: ConfiguredClient): void {
    this.#retiring.add(client);
    void client.retire().finally(() => this.#retiring.delete(client));
  }
}

function isTenantName(tenant: unknown): tenant is string {
  return typeof tenant === 'string' && /^[\x20-\x7e\u00a0-\uffff]{1,256}$/.test(tenant) && tenant.isWellFormed();
}
