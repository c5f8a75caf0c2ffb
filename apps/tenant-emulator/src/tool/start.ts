import { parseArgs } from 'node:util';
import { SAMPLE_CONFIGURATION_FILE } from '../config/tenant-configuration.js';
import { PortTakenError } from '../listen.js';
import { type RunningTenant, startTenant, type TenantOptions } from '../start-tenant.js';

/** A port, and whether a flag or a variable set it. */
export interface WantedPort {
  readonly port: number;
  readonly asked: boolean;
}

export interface ToolArguments {
  readonly tenantPort: WantedPort;
  readonly adminPort: WantedPort;
  readonly configFile: string;
}

/**
 * Reads the flags, or else the environment variables.
 *
 * @throws Error with a message for the user.
 */
export function toolArgumentsOf(argv: readonly string[], env: NodeJS.ProcessEnv): ToolArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: { port: { type: 'string' }, 'admin-port': { type: 'string' }, config: { type: 'string' } },
  });
  return {
    tenantPort: wantedPort(values.port ?? env.TENANT_PORT, '--port or TENANT_PORT', 4400),
    adminPort: wantedPort(values['admin-port'] ?? env.TENANT_ADMIN_PORT, '--admin-port or TENANT_ADMIN_PORT', 4401),
    configFile: values.config ?? (env.TENANT_CONFIG || SAMPLE_CONFIGURATION_FILE),
  };
}

function wantedPort(text: string | undefined, source: string, byDefault: number): WantedPort {
  if (text === undefined || text === '') return { port: byDefault, asked: false };
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) {
    throw new Error(`${source} must be a port from 0 to 65535 (0: a free one); it is "${text}".`);
  }
  return { port, asked: true };
}

/**
 * Starts the tenant on the wanted ports. Replaces a default port that is in use by a free one.
 *
 * @throws {@link PortTakenError} for a port that a flag or a variable set.
 */
export async function startOnWantedPorts(
  { tenantPort, adminPort, configFile }: ToolArguments,
  log: TenantOptions['log'],
): Promise<RunningTenant> {
  const start = (port: number, adminPort: number) => startTenant({ config: configFile, port, adminPort, log });
  try {
    return await start(tenantPort.port, adminPort.port);
  } catch (error) {
    if (!(error instanceof PortTakenError)) throw error;
    const tenant = instead(tenantPort, error);
    const admin = instead(adminPort, error);
    if (tenant === tenantPort && admin === adminPort) throw error;
    return startOnWantedPorts({ tenantPort: tenant, adminPort: admin, configFile }, log);
  }
}

function instead(wanted: WantedPort, { port }: PortTakenError): WantedPort {
  return wanted.port === port && !wanted.asked ? { port: 0, asked: true } : wanted;
}
