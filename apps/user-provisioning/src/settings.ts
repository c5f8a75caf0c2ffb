import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** Values for the tenant emulator. They apply only without a TENANT_URL: none can enter a real configuration. */
const EMULATOR = {
  TENANT_URL: 'http://127.0.0.1:4400',
  TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
  TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
  ALLOWED_CLIENTS: 'svc-cli@acme.example,svc-reporting@acme.example,svc-daemon@acme.example',
};

/** Beside this app's package.json. */
const DATA_DIR = fileURLToPath(new URL('../data', import.meta.url));

const integer = (min: number, max: number) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`);

const clients = z
  .string()
  .transform((list) => list.split(',').flatMap((client) => client.trim() || []))
  .refine((clients) => clients.length > 0, 'must name at least one client');

/** The environment variables of the service. */
export const settingsSchema = z.object({
  HOST: z.string().default('127.0.0.1').describe('address to listen on'),
  PORT: integer(0, 65_535).optional().describe('port to listen on; by default 3000 or a free one'),
  SHUTDOWN_TIMEOUT_MS: integer(0, 3_600_000).default(20_000).describe('time for open requests at a shutdown'),
  TENANT_URL: z.string().describe('address of the tenant'),
  TENANT_APPLICATION_ID: z
    .string()
    .default('provisioning')
    .describe('application that issues tokens for the tenant’s API'),
  TENANT_CLIENT_ID: z.string().describe('login name of the service user of this service'),
  TENANT_CLIENT_SECRET: z.string().describe('password of the service user'),
  TENANT_SCOPE: z.string().default('users').describe('scope that covers CDirectoryService'),
  TENANT_TIMEOUT_MS: integer(100, 120_000).default(15_000).describe('timeout of a call to the tenant'),
  API_APPLICATION_ID: z.string().default('internal-api').describe('application that issues tokens for this service'),
  API_AUDIENCE: z.string().default('user-provisioning').describe('audience of this service'),
  ALLOWED_CLIENTS: clients.describe('clients that may call this service, separated by commas'),
  DATA_DIR: z.string().default(DATA_DIR).describe('folder that remembers requests, for one instance'),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/, error: 'must be redis://… or rediss://…' })
    .optional()
    .describe('Redis that remembers requests instead, for several instances'),
  REDIS_KEY_PREFIX: z.string().max(100).default('user-provisioning:').describe('prefix of every key in Redis'),
  IDEMPOTENCY_KEEP_HOURS: integer(1, 8760).default(168).describe('how long a key is remembered'),
  IDEMPOTENCY_KEEP_KEYS: integer(10_000, 100_000_000).default(1_000_000).describe('maximum number of keys of a client'),
  BATCH_CONCURRENCY: integer(1, 256).default(16).describe('lines of a batch that are processed at a time'),
  BATCH_MAX_LINES: integer(1, 1_000_000).default(10_000).describe('maximum number of lines of a batch'),
  BATCH_MAX_BYTES: integer(1024, 1024 ** 3)
    .default(16 * 1024 ** 2)
    .describe('maximum size of a batch'),
  BATCH_MAX_RUNNING: integer(1, 1000).default(8).describe('batches at a time; half as many of one client'),
});

export type Settings = z.infer<typeof settingsSchema>;

/** The settings are invalid. The message lists every invalid variable, and no value. */
export class SettingsError extends Error {
  readonly code = 'SETTINGS_INVALID';

  constructor(faults: readonly string[]) {
    super(`Invalid settings:\n${faults.map((fault) => `  ${fault}`).join('\n')}\nSee .env.example.`);
    this.name = 'SettingsError';
  }
}

/** @throws {@link SettingsError} */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  // An empty variable, such as a blank line of an .env file, counts as unset.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const variables = given.TENANT_URL === undefined ? { ...EMULATOR, ...given } : given;
  const isUnset = ({ input }: { input?: unknown }) => (input === undefined ? 'is not set' : undefined);
  const { data, error } = settingsSchema.safeParse(variables, { error: isUnset });
  if (data) return data;
  const { shape } = settingsSchema;
  const meaning = (name: PropertyKey | undefined) => shape[name as keyof typeof shape].description;
  throw new SettingsError(
    error.issues.map(({ path: [name], message }) => `${String(name)}: ${message} (${meaning(name)})`),
  );
}
