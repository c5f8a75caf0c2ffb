import { z } from 'zod';
import { DEFAULT_SWITCHES, mergeSwitches, switchesPatch } from '../faults/switches.js';
import { applicationConfiguration } from './application-configuration.js';
import { referenceFaults } from './reference-faults.js';
import { serviceUserConfiguration } from './service-user-configuration.js';
import { TenantConfigurationError } from './tenant-configuration-error.js';
import { zodFaults } from './zod-faults.js';

const DEFAULT_LIMITS = { users: 1_000_000, tokens: 1_000_000 };

const tenantConfiguration = z.strictObject({
  /** For readers of the file. */
  description: z.string().optional(),
  /** The `tenant_id` of platform tokens. */
  tenantId: z.string().regex(/^[A-Za-z0-9-]+$/, 'a tenant id is made of letters, digits and "-"'),
  /** Login suffix that a user name without one is given. */
  aliasSuffix: z.string().regex(/^[^\s@]+$/, 'a suffix is what stands behind the "@"'),
  /** Claims of platform tokens. Default: the tenant id, and `cyberark.cloud`. */
  platform: z.strictObject({ subdomain: z.string().min(1), platformDomain: z.string().min(1) }).optional(),
  tenantFlags: z.strictObject({ 'CusCreateUser.QandD': z.boolean().default(false) }).prefault({}),
  /** How much is kept in memory. A new user beyond the limit is refused; of tokens, the oldest is forgotten. */
  limits: z
    .strictObject({
      users: z.int().positive().default(DEFAULT_LIMITS.users),
      tokens: z.int().positive().default(DEFAULT_LIMITS.tokens),
    })
    .prefault({}),
  /** How the switches stand at the start, and after a reset. */
  switches: switchesPatch.prefault({}).transform((patch) => mergeSwitches(DEFAULT_SWITCHES, patch)),
  applications: z.array(applicationConfiguration).min(1),
  serviceUsers: z.array(serviceUserConfiguration).default([]),
});

/** What a tenant is made of, as one writes it. */
export type TenantConfigurationInput = z.input<typeof tenantConfiguration>;

/** What a tenant is made of, checked and with every default filled in. It is a valid input again. */
export type TenantConfiguration = z.output<typeof tenantConfiguration>;

/**
 * Checks a configuration.
 *
 * @param source Names the configuration in the error.
 * @throws {@link TenantConfigurationError} that lists every wrong field. No value is in it, because it may be a secret.
 */
export function checkTenantConfiguration(input: unknown, source = 'The tenant configuration'): TenantConfiguration {
  const checked = tenantConfiguration.safeParse(input);
  const faults = [...(checked.success ? [] : zodFaults(checked.error)), ...referenceFaults(input)];
  if (!checked.success || faults.length > 0) throw new TenantConfigurationError(source, faults);
  return checked.data;
}
