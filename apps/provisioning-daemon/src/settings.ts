import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';

/** How the daemon is set up. Comes from environment variables; `.env.example` documents each. */
export interface Settings {
  /** Where events come from: its scheme names the transport. */
  readonly listenUrl: URL;
  /** Key and certificate of the server, for `tcps:`. */
  readonly tls: { readonly key: Buffer; readonly cert: Buffer } | undefined;
  /** First part of the names of subjects and queues. */
  readonly channel: string;
  readonly tenantUrl: string;
  /** The application that issues tokens for this daemon, and who may come with one. */
  readonly api: {
    readonly applicationId: string;
    readonly audience: string;
    readonly clients: readonly string[];
  };
  /** The daemon itself, as a client of the user-provisioning service. */
  readonly client: { readonly id: string; readonly secret: string };
  readonly service: {
    readonly url: string;
    readonly applicationId: string;
    readonly scope: string;
    readonly timeoutMs: number;
  };
}

/** Thrown at start; lists every wrong setting at once. */
export class SettingsError extends Error {
  readonly code = 'SETTINGS_INVALID';

  constructor(faults: readonly string[]) {
    super(`The settings are not right:\n${faults.map((fault) => `  ${fault}`).join('\n')}\nSee .env.example.`);
    this.name = 'SettingsError';
  }
}

/** What makes the sample run without an account. Stands in only where no TENANT_URL is given. */
const EMULATOR = {
  TENANT_URL: 'http://127.0.0.1:4400',
  CLIENT_ID: 'svc-daemon@acme.example',
  CLIENT_SECRET: 'dev-only-daemon',
  ALLOWED_CLIENTS: 'svc-hr@acme.example',
  SERVICE_URL: 'http://127.0.0.1:3000',
};

const SCHEMES = ['tcp:', 'tcps:', 'nats:', 'natss:', 'amqp:', 'amqps:'];

const required = (meaning: string) => z.string(`${meaning} is not set`).min(1, `${meaning} is empty`);

const file = z.string().transform((path, context) => {
  try {
    return readFileSync(path);
  } catch (error) {
    context.addIssue(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return z.NEVER;
  }
});

const schema = z
  .object({
    LISTEN_URL: z
      .string()
      .refine((text) => URL.canParse(text) && SCHEMES.includes(new URL(text).protocol), {
        error: `must be an address with one of ${SCHEMES.join(' ')}, and a port up to 65535`,
        abort: true,
      })
      .transform((text) => new URL(text))
      .refine(({ protocol, port }) => !protocol.startsWith('tcp') || Number(port) > 0, 'needs a port from 1 to 65535')
      .prefault('tcp://127.0.0.1:3100'),
    TLS_KEY_FILE: file.optional(),
    TLS_CERT_FILE: file.optional(),
    CHANNEL: z
      .string()
      .regex(/^[\w-]{1,64}$/, 'must be a name of letters, digits, "-" and "_"')
      .default('provisioning'),
    TENANT_URL: required('address of the tenant'),
    API_APPLICATION_ID: z.string().default('provisioning-daemon'),
    API_AUDIENCE: z.string().default('provisioning-daemon'),
    ALLOWED_CLIENTS: required('list of clients that may send events')
      .transform((list) => list.split(',').flatMap((client) => client.trim() || []))
      .refine((clients) => clients.length > 0, 'list of clients that may send events names none'),
    CLIENT_ID: required('login name of the service user'),
    CLIENT_SECRET: required('secret of the service user'),
    SERVICE_URL: z.url({ protocol: /^https?$/, error: 'must be the address of the user-provisioning service' }),
    SERVICE_APPLICATION_ID: z.string().default('internal-api'),
    SERVICE_SCOPE: z.string().default('users.read users.write'),
    SERVICE_TIMEOUT_MS: z.coerce.number().int().min(100).max(120_000).default(35_000),
  })
  .refine(
    ({ LISTEN_URL, TLS_KEY_FILE, TLS_CERT_FILE }) =>
      LISTEN_URL.protocol !== 'tcps:' || (TLS_KEY_FILE !== undefined && TLS_CERT_FILE !== undefined),
    { path: ['TLS_KEY_FILE'], error: 'tcps: needs TLS_KEY_FILE and TLS_CERT_FILE' },
  )
  .refine(({ TLS_KEY_FILE, TLS_CERT_FILE }) => isPair(TLS_KEY_FILE, TLS_CERT_FILE), {
    path: ['TLS_KEY_FILE'],
    error: 'must be the private key, in PEM, of the certificate in TLS_CERT_FILE',
  });

function isPair(key: Buffer | undefined, cert: Buffer | undefined): boolean {
  if (!key || !cert) return true;
  try {
    createSecureContext({ key, cert });
    return true;
  } catch {
    return false;
  }
}

/** @throws {@link SettingsError} */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  // An empty variable, as a line left blank in an .env file makes it, is one that is not set.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const result = schema.safeParse(given.TENANT_URL === undefined ? { ...EMULATOR, ...given } : given);
  if (!result.success) {
    throw new SettingsError(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
  }
  const settings = result.data;
  const { TLS_KEY_FILE: key, TLS_CERT_FILE: cert } = settings;
  return {
    listenUrl: settings.LISTEN_URL,
    tls: key && cert && { key, cert },
    channel: settings.CHANNEL,
    tenantUrl: settings.TENANT_URL,
    api: {
      applicationId: settings.API_APPLICATION_ID,
      audience: settings.API_AUDIENCE,
      clients: settings.ALLOWED_CLIENTS,
    },
    client: { id: settings.CLIENT_ID, secret: settings.CLIENT_SECRET },
    service: {
      url: settings.SERVICE_URL,
      applicationId: settings.SERVICE_APPLICATION_ID,
      scope: settings.SERVICE_SCOPE,
      timeoutMs: settings.SERVICE_TIMEOUT_MS,
    },
  };
}
