import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { TenantConfigurationError } from './tenant-configuration-error.js';
import { checkTenantConfiguration, type TenantConfiguration } from './tenant-configuration.js';

/** The tenant of the sample system. */
export const SAMPLE_CONFIGURATION_FILE = fileURLToPath(new URL('../../tenant.config.json', import.meta.url));

/** @throws {@link TenantConfigurationError} */
export async function readTenantConfiguration(file: string): Promise<TenantConfiguration> {
  return checkTenantConfiguration(await readJson(file), file);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    // The parser's own words quote the text around the fault, which may be a secret.
    const fault = error instanceof SyntaxError ? 'not JSON' : `cannot be read (${(error as Error).message})`;
    throw new TenantConfigurationError(file, [fault], { cause: error instanceof SyntaxError ? undefined : error });
  }
}
