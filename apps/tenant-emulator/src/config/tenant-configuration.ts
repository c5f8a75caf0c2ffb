import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { applicationConfiguration } from './application.js';
import { serviceUserConfiguration } from './service-user.js';
import { DEFAULT_SWITCHES, mergeSwitches, switchesPatch } from './switches.js';
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

/** The configuration of the tenant is wrong. Lists every wrong field, so that one start is enough to mend them all. */
export class TenantConfigurationError extends Error {
  override readonly name = 'TenantConfigurationError';

  constructor(
    source: string,
    /** One line per wrong field: its path, and what is wrong with it. */
    readonly faults: readonly string[],
    options?: ErrorOptions,
  ) {
    super(`${source} is wrong:\n${faults.map((fault) => `  ${fault}`).join('\n')}`, options);
  }
}

/** Injection token of the {@link TenantConfiguration}. */
export const TENANT_CONFIGURATION = Symbol('TENANT_CONFIGURATION');

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

/** Only the names by which the parts of a configuration speak of each other. */
const names = z.object({
  applications: z.array(
    z.object({ id: z.string(), knownScopes: z.array(z.object({ scope: z.string() })).default([]) }),
  ),
  serviceUsers: z
    .array(
      z.object({
        loginName: z.string(),
        applications: z.record(z.string(), z.object({ scopes: z.array(z.string()).default([]) })).default({}),
      }),
    )
    .default([]),
});

type Names = z.output<typeof names>;

/** Names that are given twice, and names of things that are not there. Says nothing while names cannot be read. */
export function referenceFaults(configuration: unknown): string[] {
  const read = names.safeParse(configuration);
  if (!read.success) return [];
  const { applications, serviceUsers } = read.data;
  return [
    ...repeated(applications.map(({ id }) => id)).map((i) => `applications[${i}].id: is given twice`),
    ...repeated(serviceUsers.map(({ loginName }) => loginName.toLowerCase())).map(
      (i) => `serviceUsers[${i}].loginName: is given twice`,
    ),
    ...serviceUsers.flatMap((user, i) => danglingPermissions(user, `serviceUsers[${i}].applications`, applications)),
  ];
}

function danglingPermissions(
  user: Names['serviceUsers'][number],
  path: string,
  applications: Names['applications'],
): string[] {
  return Object.entries(user.applications).flatMap(([id, { scopes }]) => {
    const application = applications.find((candidate) => candidate.id === id);
    if (!application) return [`${path}.${id}: there is no application with this id`];
    const known = new Set(application.knownScopes.map(({ scope }) => scope));
    return scopes.flatMap((scope, i) =>
      known.has(scope) ? [] : [`${path}.${id}.scopes[${i}]: the application does not know this scope`],
    );
  });
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, i) => (values.indexOf(value) < i ? [i] : []));
}
