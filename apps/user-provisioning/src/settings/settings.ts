import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type BatchLimits, DEFAULT_BATCH_LIMITS } from '../batch/batch-limits.js';
import type { Retention } from '../idempotency/idempotency-store.js';

/** How the service is set up. Comes from environment variables; `.env.example` documents each. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  /** Whether the port was asked for. If not, a free one will do should it be taken. */
  readonly portIsExplicit: boolean;
  /** How long clients may hold up the end of this process, in milliseconds. */
  readonly shutdownTimeoutMs: number;
  /** The tenant, and the application and the client whose token is used with its API. */
  readonly tenant: {
    readonly url: string;
    readonly applicationId: string;
    readonly clientId: string;
    readonly clientSecret: string;
    readonly scope: string;
    readonly timeoutMs: number;
  };
  /** The application that issues tokens for this service, and who may come with one. */
  readonly api: {
    readonly applicationId: string;
    readonly audience: string;
    readonly clients: readonly string[];
  };
  /** How requests with an idempotency key are remembered: in a folder, or in Redis where one is named. */
  readonly idempotency: {
    readonly directory: string;
    readonly redis: { readonly url: string; readonly keyPrefix: string } | undefined;
    readonly retention: Retention;
  };
  readonly batch: BatchLimits;
}

/** Thrown at start; lists every wrong setting at once. */
export class SettingsError extends Error {
  readonly code = 'SETTINGS_INVALID';

  constructor(faults: readonly string[]) {
    super(`The settings are not right:\n${faults.map((fault) => `  ${fault}`).join('\n')}\nSee .env.example.`);
    this.name = 'SettingsError';
  }
}

/**
 * What makes the sample run without an account: the tenant emulator on this machine. These stand in only where no
 * TENANT_URL is given, so that nothing of a development set-up can slip into a real one.
 */
const EMULATOR = {
  TENANT_URL: 'http://127.0.0.1:4400',
  TENANT_CLIENT_ID: 'svc-provisioning@acme.example',
  TENANT_CLIENT_SECRET: 'dev-only: provisioning p+ss/wörd%21',
  ALLOWED_CLIENTS: 'svc-cli@acme.example,svc-reporting@acme.example,svc-daemon@acme.example',
};

/** Beside this app's package.json. */
const DATA_DIR = fileURLToPath(new URL('../../data', import.meta.url));

const required = (meaning: string) => z.string(`${meaning} is not set`).min(1, `${meaning} is empty`);

const count = (min: number, max: number, byDefault: number) =>
  z.coerce.number().int().min(min).max(max).default(byDefault);

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  SHUTDOWN_TIMEOUT_MS: count(0, 3_600_000, 20_000),
  TENANT_URL: required('address of the tenant'),
  TENANT_APPLICATION_ID: z.string().default('provisioning'),
  TENANT_CLIENT_ID: required('login name of the service user'),
  TENANT_CLIENT_SECRET: required('secret of the service user'),
  TENANT_SCOPE: z.string().default('users'),
  TENANT_TIMEOUT_MS: z.coerce.number().int().min(100).max(120_000).default(15_000),
  API_APPLICATION_ID: z.string().default('internal-api'),
  API_AUDIENCE: z.string().default('user-provisioning'),
  ALLOWED_CLIENTS: required('list of clients that may call this service')
    .transform((list) =>
      list
        .split(',')
        .map((client) => client.trim())
        .filter((client) => client !== ''),
    )
    .refine((clients) => clients.length > 0, 'list of clients that may call this service names none'),
  DATA_DIR: z.string().default(DATA_DIR),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'must be redis://… or rediss://…' }).optional(),
  REDIS_KEY_PREFIX: z.string().max(100).default('user-provisioning:'),
  IDEMPOTENCY_KEEP_HOURS: count(1, 8760, 168),
  IDEMPOTENCY_KEEP_KEYS: count(10_000, 100_000_000, 1_000_000),
  BATCH_CONCURRENCY: count(1, 256, DEFAULT_BATCH_LIMITS.concurrency),
  BATCH_MAX_LINES: count(1, 1_000_000, DEFAULT_BATCH_LIMITS.maxLines),
  BATCH_MAX_BYTES: count(1024, 1024 ** 3, DEFAULT_BATCH_LIMITS.maxBytes),
  BATCH_MAX_RUNNING: count(1, 1000, DEFAULT_BATCH_LIMITS.maxRunning),
});

/** @throws {@link SettingsError} */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  // An empty variable, as a line left blank in an .env file makes it, is one that is not set.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const result = schema.safeParse(given.TENANT_URL === undefined ? { ...EMULATOR, ...given } : given);
  if (!result.success) {
    throw new SettingsError(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
  }
  const settings = result.data;
  return {
    host: settings.HOST,
    port: settings.PORT,
    portIsExplicit: given.PORT !== undefined,
    shutdownTimeoutMs: settings.SHUTDOWN_TIMEOUT_MS,
    tenant: {
      url: settings.TENANT_URL,
      applicationId: settings.TENANT_APPLICATION_ID,
      clientId: settings.TENANT_CLIENT_ID,
      clientSecret: settings.TENANT_CLIENT_SECRET,
      scope: settings.TENANT_SCOPE,
      timeoutMs: settings.TENANT_TIMEOUT_MS,
    },
    api: {
      applicationId: settings.API_APPLICATION_ID,
      audience: settings.API_AUDIENCE,
      clients: settings.ALLOWED_CLIENTS,
    },
    idempotency: {
      directory: settings.DATA_DIR,
      redis: settings.REDIS_URL ? { url: settings.REDIS_URL, keyPrefix: settings.REDIS_KEY_PREFIX } : undefined,
      retention: { keepMs: settings.IDEMPOTENCY_KEEP_HOURS * 3600_000, maxKeys: settings.IDEMPOTENCY_KEEP_KEYS },
    },
    batch: {
      ...DEFAULT_BATCH_LIMITS,
      concurrency: settings.BATCH_CONCURRENCY,
      maxLines: settings.BATCH_MAX_LINES,
      maxBytes: settings.BATCH_MAX_BYTES,
      maxRunning: settings.BATCH_MAX_RUNNING,
      maxRunningPerClient: Math.ceil(settings.BATCH_MAX_RUNNING / 2),
    },
  };
}
