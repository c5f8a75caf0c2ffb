import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { applicationConfiguration } from './application.js';
import { serviceUserConfiguration } from './service-user.js';
import { DEFAULT_SWITCHES, mergeSwitches, switchesPatch } from './switches.js';
import { zodFaults } from './zod-faults.js';

const DEFAULT_LIMITS = { users: 1_000_000, tokens: 1_000_000 };

const tenantConfiguration = z.strictObject({
  /** A comment for readers of the file. */
  description: z.string().optional(),
  /** The `tenant_id` of platform tokens. */
  tenantId: z.string().regex(/^[A-Za-z0-9-]+$/, 'expected letters, digits and "-"'),
  /** Login suffix added to user names without one. */
  aliasSuffix: z.string().regex(/^[^\s@]+$/, 'expected the part of a login name after the "@"'),
  /** Claims of platform tokens. Default: the tenant id, and `cyberark.cloud`. */
  platform: z.strictObject({ subdomain: z.string().min(1), platformDomain: z.string().min(1) }).optional(),
  tenantFlags: z.strictObject({ 'CusCreateUser.QandD': z.boolean().default(false) }).prefault({}),
  /** Maximum numbers kept in memory. At the limit, a new user is rejected; of the tokens, the oldest is evicted. */
  limits: z
    .strictObject({
      users: z.int().positive().default(DEFAULT_LIMITS.users),
      tokens: z.int().positive().default(DEFAULT_LIMITS.tokens),
    })
    .prefault({}),
  /** The switches at start and after a reset. */
  switches: switchesPatch.prefault({}).transform((patch) => mergeSwitches(DEFAULT_SWITCHES, patch)),
  applications: z.array(applicationConfiguration).min(1),
  serviceUsers: z.array(serviceUserConfiguration).default([]),
});

/** The configuration of a tenant as written in a file; most fields are optional. */
export type TenantConfigurationInput = z.input<typeof tenantConfiguration>;

/** The checked configuration with every default filled in. It is a valid input too. */
export type TenantConfiguration = z.output<typeof tenantConfiguration>;

/**
 * Checks a configuration.
 *
 * @param source Names the configuration in the error.
 * @throws {@link TenantConfigurationError} with every invalid field, but no values, because a value may be a secret.
 */
export function checkTenantConfiguration(input: unknown, source = 'The tenant configuration'): TenantConfiguration {
  const checked = tenantConfiguration.safeParse(input);
  const faults = [...(checked.success ? [] : zodFaults(checked.error)), ...referenceFaults(input)];
  if (!checked.success || faults.length > 0) throw new TenantConfigurationError(source, faults);
  return checked.data;
}

/** The configuration of the tenant is invalid. Lists every invalid field. */
export class TenantConfigurationError extends Error {
  override readonly name = 'TenantConfigurationError';

  constructor(
    source: string,
    /** One line per invalid field: its path and the fault. */
    readonly faults: readonly string[],
    options?: ErrorOptions,
  ) {
    super(`${source} is invalid:\n${faults.map((fault) => `  ${fault}`).join('\n')}`, options);
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
    // The parser's message quotes the text around the fault, which may be a secret.
    const fault = error instanceof SyntaxError ? 'not JSON' : `cannot be read (${(error as Error).message})`;
    throw new TenantConfigurationError(file, [fault], { cause: error instanceof SyntaxError ? undefined : error });
  }
}

/** The names by which parts of a configuration refer to each other. */
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

/** Finds duplicate names and unknown references. Returns none if the names themselves are invalid. */
function referenceFaults(configuration: unknown): string[] {
  const read = names.safeParse(configuration);
  if (!read.success) return [];
  const { applications, serviceUsers } = read.data;
  return [
    ...repeated(applications.map(({ id }) => id)).map((i) => `applications[${i}].id: duplicate`),
    ...repeated(serviceUsers.map(({ loginName }) => loginName.toLowerCase())).map(
      (i) => `serviceUsers[${i}].loginName: duplicate`,
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
    if (!application) return [`${path}.${id}: unknown application`];
    const known = new Set(application.knownScopes.map(({ scope }) => scope));
    return scopes.flatMap((scope, i) =>
      known.has(scope) ? [] : [`${path}.${id}.scopes[${i}]: unknown scope of this application`],
    );
  });
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, i) => (values.indexOf(value) < i ? [i] : []));
}
