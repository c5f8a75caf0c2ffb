import { PortTakenError } from '../port-taken-error.js';
import { type RunningTenant, startTenant, type TenantOptions } from '../start-tenant.js';
import type { ToolArguments, WantedPort } from './tool-arguments.js';

/**
 * Starts the tenant on the ports that are wanted. A default port that is taken gives way to a free one.
 *
 * @throws {@link PortTakenError} for a port that was asked for.
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
