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
  /** A configuration, or the path of a file with one. Default: the tenant of the sample system. */
  readonly config?: TenantConfigurationInput | string;
  /** Default: 0, a free one. */
  readonly port?: number;
  /** Port of the admin API, which is on the loopback address always. Default: 0, a free one. */
  readonly adminPort?: number;
  /** Default: `127.0.0.1`. */
  readonly host?: string;
  /** Is told of each request when it is over, or hangs. Default: nobody is. */
  readonly log?: (event: RequestEvent) => void;
  /** Milliseconds since the Unix epoch: what tokens and timed outages go by. Default: the clock of this process. */
  readonly now?: () => number;
  /** Lets time pass before a slow answer. Default: a timer. */
  readonly wait?: (ms: number) => Promise<void>;
}

export interface RunningTenant {
  /** Without a slash at its end. */
  readonly url: string;
  readonly adminUrl: string;
  readonly configuration: TenantConfiguration;
  readonly switches: SwitchBoard;
  readonly users: UserDirectory;
  statistics(): TenantStatistics;
  resetStatistics(): void;
  /**
   * Puts a new signing key in front.
   *
   * @param options.dropOld Publishes the new key alone. Default: false.
   */
  rotateKeys(options?: { readonly dropOld?: boolean }): Promise<{ readonly kid: string }>;
  /**
   * Ends sessions before their tokens expire.
   *
   * @param options.client Login name. Default: every client.
   * @returns How many were alive.
   */
  revokeSessions(options?: { readonly client?: string }): number;
  /** Ends the tenant, and every connection that is still open. */
  close(): Promise<void>;
}

/**
 * Starts a tenant that lives in the memory of this process.
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
