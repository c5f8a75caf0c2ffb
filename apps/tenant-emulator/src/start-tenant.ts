import 'reflect-metadata';
import { AdminModule } from './admin/admin.module.js';
import { clockOf } from './clock.js';
import {
  checkTenantConfiguration,
  readTenantConfiguration,
  SAMPLE_CONFIGURATION_FILE,
  type TenantConfiguration,
  type TenantConfigurationInput,
} from './config/tenant-configuration.js';
import type { UserDirectory } from './directory/user-directory.js';
import type { SwitchBoard } from './faults/switch-board.js';
import type { RequestEvent } from './http/request-recorder.js';
import type { TenantStatistics } from './http/statistics.js';
import { listen } from './listen.js';
import { createTenantState } from './tenant-state.js';
import { TenantModule } from './tenant.module.js';

export interface TenantOptions {
  /** A configuration, or the path of its file. Default: the tenant of the sample system. */
  readonly config?: TenantConfigurationInput | string;
  /** Default: 0, a free port. */
  readonly port?: number;
  /** Port of the admin API, always on the loopback address. Default: 0, a free port. */
  readonly adminPort?: number;
  /** Default: `127.0.0.1`. */
  readonly host?: string;
  /** Receives each request when it has ended, or hangs. Default: no log. */
  readonly log?: (event: RequestEvent) => void;
  /** Returns milliseconds since the Unix epoch, for tokens and timed outages. Default: the clock of this process. */
  readonly now?: () => number;
  /** Resolves after a delay, before a slow response. Default: a timer. */
  readonly wait?: (ms: number) => Promise<void>;
}

export interface RunningTenant {
  /** Without a trailing slash. */
  readonly url: string;
  readonly adminUrl: string;
  readonly configuration: TenantConfiguration;
  readonly switches: SwitchBoard;
  readonly users: UserDirectory;
  statistics(): TenantStatistics;
  resetStatistics(): void;
  /**
   * Adds a new signing key.
   *
   * @param options.dropOld Publishes the new key only. Default: false.
   */
  rotateKeys(options?: { readonly dropOld?: boolean }): Promise<{ readonly kid: string }>;
  /**
   * Ends sessions before their tokens expire.
   *
   * @param options.client Login name. Default: every client.
   * @returns The number of sessions that were active.
   */
  revokeSessions(options?: { readonly client?: string }): number;
  /** Stops the tenant and closes every open connection. */
  close(): Promise<void>;
}

/**
 * Starts a tenant in this process, with all its data in memory.
 *
 * @throws `TenantConfigurationError`, `PortTakenError`
 */
export async function startTenant(options: TenantOptions = {}): Promise<RunningTenant> {
  const { config = SAMPLE_CONFIGURATION_FILE, port = 0, adminPort = 0, host = '127.0.0.1', log = () => {} } = options;
  const configuration =
    typeof config === 'string' ? await readTenantConfiguration(config) : checkTenantConfiguration(config);
  const state = await createTenantState(configuration, clockOf(options), log);

  const tenant = await listen(TenantModule.of(state), { host, port, recorder: state.recorder });
  state.address.url = tenant.url;
  const admin = await listen(AdminModule.of(state), { host: '127.0.0.1', port: adminPort }).catch(async (error) => {
    await tenant.close();
    throw error;
  });

  return {
    url: tenant.url,
    adminUrl: admin.url,
    configuration,
    switches: state.switches,
    users: state.users,
    statistics: () => state.statistics.snapshot(),
    resetStatistics: () => state.statistics.reset(),
    rotateKeys: (rotation) => state.keys.rotate(rotation),
    revokeSessions: (revocation) => state.tokens.revokeSessions(revocation),
    close: async () => {
      await Promise.all([tenant.close(), admin.close()]);
    },
  };
}
