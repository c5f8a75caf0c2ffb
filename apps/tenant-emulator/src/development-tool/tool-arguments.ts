import { parseArgs } from 'node:util';
import { SAMPLE_CONFIGURATION_FILE } from '../config/read-tenant-configuration.js';

/** A port, and whether somebody asked for just this one. */
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
 * Reads flags, and environment variables where there is no flag.
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
