import { accessSync, constants, statSync } from 'node:fs';
import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import type { CommandContext } from './context.js';
import { SettingsError } from './errors.js';
import { printable } from './output/safe-text.js';

/** Where the service is, and the identity to call it with. */
export interface Settings {
  /** Address of the user-provisioning service, without a trailing slash. */
  readonly serviceUrl: string;
  readonly tenantUrl: string;
  /** Whether no tenant is set, so that the commands call the sample system on this machine. */
  readonly isSample: boolean;
  /** OAuth2 Server application that issues tokens for the service. */
  readonly applicationId: string;
  readonly clientId: string;
  readonly clientSecret: { readonly text: string } | { readonly file: string };
  readonly scope: string;
  /** Maximum silence of the service within a call, in milliseconds. */
  readonly timeoutMs: number;
}

/** The service and tenant that a command calls, and its client. */
export interface Parties {
  /** Address of the service. */
  readonly service: string;
  /** Address of the tenant that issues the tokens. */
  readonly tenant: string;
  /** Login name of the service user. */
  readonly client: string;
  /** Whether no tenant is set, so that the commands call the sample system on this machine. */
  readonly sample: boolean;
}

export function partiesOf({ serviceUrl, tenantUrl, clientId, isSample }: Settings): Parties {
  return { service: serviceUrl, tenant: tenantUrl, client: clientId, sample: isSample };
}

/** Injection token of the settings. */
export const SETTINGS = Symbol('Settings');

/** Settings as options of the command line. An option overrides its environment variable. */
export interface ConnectionOptions {
  readonly serviceUrl?: string;
  readonly tenantUrl?: string;
  readonly applicationId?: string;
  readonly clientId?: string;
  readonly clientSecretFile?: string;
}

/**
 * The tenant emulator and the sample service on this machine. They apply only when no tenant is set, so that no
 * development value can slip into a real set-up.
 */
const DEVELOPMENT = {
  PROVISION_SERVICE_URL: 'http://127.0.0.1:3000',
  PROVISION_TENANT_URL: 'http://127.0.0.1:4400',
  PROVISION_CLIENT_ID: 'svc-cli@acme.example',
  PROVISION_CLIENT_SECRET: 'dev-only-cli',
};

const required = (meaning: string) => z.string(`${meaning} is not set`);
const address = (meaning: string) =>
  required(meaning).refine(isPlainAddress, 'must be an http or https address without user name, query or fragment');

const schema = z.object({
  PROVISION_SERVICE_URL: address('address of the service'),
  PROVISION_TENANT_URL: address('address of the tenant'),
  PROVISION_APPLICATION_ID: z.string().default('internal-api'),
  PROVISION_CLIENT_ID: required('login name of the service user'),
  PROVISION_SCOPE: z.string().default('users.read users.write'),
  PROVISION_TIMEOUT_MS: z.coerce.number('must be a number of milliseconds').int().min(100).max(600_000).default(60_000),
});

type Environment = CommandContext['environment'];

/**
 * Reads the settings of environment variables and options.
 *
 * Without `@nestjs/config`: options override variables, the faults of both are reported at once, and all of that
 * happens before there is a Nest application.
 *
 * @throws SettingsError with every fault.
 */
export function readSettings(environment: Environment, options: ConnectionOptions = {}): Settings {
  const given = settingsFrom(environment, options);
  const result = schema.safeParse(given);
  const faults = [
    ...unknownVariables(environment),
    ...(result.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`),
    ...secretFaults(given),
  ];
  if (!result.success || faults.length > 0) throw new SettingsError(faults);
  const settings = result.data;
  return {
    serviceUrl: settings.PROVISION_SERVICE_URL.replace(/\/+$/, ''),
    tenantUrl: settings.PROVISION_TENANT_URL,
    isSample: !environment.PROVISION_TENANT_URL && !options.tenantUrl,
    applicationId: settings.PROVISION_APPLICATION_ID,
    clientId: settings.PROVISION_CLIENT_ID,
    clientSecret:
      given.PROVISION_CLIENT_SECRET === undefined
        ? { file: given.PROVISION_CLIENT_SECRET_FILE! }
        : { text: given.PROVISION_CLIENT_SECRET },
    scope: settings.PROVISION_SCOPE,
    timeoutMs: settings.PROVISION_TIMEOUT_MS,
  };
}

function settingsFrom(environment: Environment, options: ConnectionOptions): Environment {
  const optional = {
    PROVISION_SERVICE_URL: options.serviceUrl,
    PROVISION_TENANT_URL: options.tenantUrl,
    PROVISION_APPLICATION_ID: options.applicationId,
    PROVISION_CLIENT_ID: options.clientId,
    PROVISION_CLIENT_SECRET_FILE: options.clientSecretFile,
  };
  const given = { ...notBlank(environment), ...notBlank(optional) };
  if (options.clientSecretFile) delete given.PROVISION_CLIENT_SECRET;
  if (given.PROVISION_TENANT_URL !== undefined) return given;
  const { PROVISION_CLIENT_SECRET, ...development } = DEVELOPMENT;
  const needsSecret = given.PROVISION_CLIENT_SECRET_FILE === undefined;
  return { ...development, ...(needsSecret && { PROVISION_CLIENT_SECRET }), ...given };
}

const VARIABLES: readonly string[] = [
  ...Object.keys(schema.shape),
  'PROVISION_CLIENT_SECRET',
  'PROVISION_CLIENT_SECRET_FILE',
];

/** Variables that Kubernetes sets in each container for a service named `provision` or `provision-…`. */
const KUBERNETES = /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/** Reports misspelt variables: each would leave a default in force. */
function unknownVariables(environment: Environment): string[] {
  return Object.keys(notBlank(environment)).flatMap((name) => {
    if (VARIABLES.includes(name) || KUBERNETES.test(name)) return [];
    const capitals = name.toUpperCase();
    const nearest = closest(capitals, [...VARIABLES]);
    const edits = distance(capitals, nearest);
    if (edits > 2 && !/^PROVISION(?:ING)?_/.test(capitals)) return [];
    const meant = edits <= 4 ? `did you mean ${nearest}?` : `known are ${VARIABLES.join(', ')}`;
    return [`${printable(name, 64)}: unknown variable; ${meant}`];
  });
}

/** Treats an empty variable as not set: a line left blank in an .env file makes one. */
function notBlank(settings: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).filter((setting): setting is [string, string] => Boolean(setting[1])),
  );
}

function secretFaults({ PROVISION_CLIENT_SECRET: text, PROVISION_CLIENT_SECRET_FILE: file }: Environment): string[] {
  if (text === undefined && file === undefined) {
    return [
      'PROVISION_CLIENT_SECRET: secret of the service user is not set; set it, or PROVISION_CLIENT_SECRET_FILE to a file with it',
    ];
  }
  if (text === undefined && file !== undefined) return fileFaults(file);
  if (file === undefined) return [];
  return ['PROVISION_CLIENT_SECRET: is set together with PROVISION_CLIENT_SECRET_FILE; remove one of them'];
}

/** Checks the file without reading it, because a pipe can be read only once. */
function fileFaults(file: string): string[] {
  const name = `PROVISION_CLIENT_SECRET_FILE: ${file}`;
  try {
    accessSync(file, constants.R_OK);
    if (!statSync(file).isDirectory()) return [];
    return [`${name} is a folder; name the file in it that has the secret`];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return [`${name} cannot be read (${code}); name a file that has the secret and that you may read`];
  }
}

function isPlainAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && [username, password, search, hash].every((part) => part === '');
}

/** Reads two kinds of settings, and reports the faults of both at once. */
export function readBoth<A, B>(readA: () => A, readB: () => B): [A, B] {
  const [a, b] = [attempt(readA), attempt(readB)];
  if ('value' in a && 'value' in b) return [a.value, b.value];
  throw new SettingsError([a, b].flatMap((result) => ('faults' in result ? result.faults : [])));
}

function attempt<T>(read: () => T): { readonly value: T } | { readonly faults: readonly string[] } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof SettingsError) return { faults: error.faults };
    throw error;
  }
}
