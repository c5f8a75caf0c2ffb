import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';

/** Values for the tenant emulator. They apply only without a TENANT_URL: none can enter a real configuration. */
const EMULATOR = {
  TENANT_URL: 'http://127.0.0.1:4400',
  CLIENT_ID: 'svc-daemon@acme.example',
  CLIENT_SECRET: 'dev-only-daemon',
  ALLOWED_CLIENTS: 'svc-hr@acme.example',
  SERVICE_URL: 'http://127.0.0.1:3000',
};

const SCHEMES = ['tcp:', 'tcps:', 'nats:', 'natss:', 'amqp:', 'amqps:'];

const address = z
  .string()
  .refine((text) => URL.canParse(text) && SCHEMES.includes(new URL(text).protocol), {
    error: `must be an address with one of ${SCHEMES.join(' ')}, and a port up to 65535`,
    abort: true,
  })
  .transform((text) => new URL(text))
  .refine(({ protocol, port }) => !protocol.startsWith('tcp') || Number(port) > 0, 'needs a port from 1 to 65535');

const channel = z.string().regex(/^[\w-]{1,64}$/, 'must be a name of letters, digits, "-" and "_"');

/** Leaves the message for an unset variable to the parser. */
const isNoAddress = ({ input }: { input?: unknown }) =>
  input === undefined ? undefined : 'must be an http or https address';

const clients = z
  .string()
  .transform((list) => list.split(',').flatMap((client) => client.trim() || []))
  .refine((clients) => clients.length > 0, 'must name at least one client');

const file = z.string().transform((path, context) => {
  try {
    return readFileSync(path);
  } catch (error) {
    context.addIssue(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return z.NEVER;
  }
});

const milliseconds = (min: number, max: number) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`);

/** The environment variables of the daemon. */
export const settingsSchema = z
  .object({
    LISTEN_URL: address.prefault('tcp://127.0.0.1:3100').describe('address to listen on, or address of the broker'),
    TLS_KEY_FILE: file.optional().describe('private key of this server, PEM, for `tcps:`'),
    TLS_CERT_FILE: file.optional().describe('certificate of this server, PEM, for `tcps:`'),
    CHANNEL: channel.default('provisioning').describe('first part of the names of subjects and queues'),
    TENANT_URL: z.string().describe('address of the tenant'),
    API_APPLICATION_ID: z
      .string()
      .default('provisioning-daemon')
      .describe('application that issues tokens for this daemon'),
    API_AUDIENCE: z.string().default('provisioning-daemon').describe('audience of this daemon'),
    ALLOWED_CLIENTS: clients.describe('clients that may send events, separated by commas'),
    CLIENT_ID: z.string().describe('login name of the service user of this daemon'),
    CLIENT_SECRET: z.string().describe('password of the service user'),
    SERVICE_URL: z
      .url({ protocol: /^https?$/, error: isNoAddress })
      .describe('address of the user-provisioning service'),
    SERVICE_APPLICATION_ID: z
      .string()
      .default('internal-api')
      .describe('application that issues tokens for the service'),
    SERVICE_SCOPE: z.string().default('users.read users.write').describe('scopes for the service'),
    SERVICE_TIMEOUT_MS: milliseconds(100, 120_000).default(35_000).describe('timeout of a call to the service'),
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

function isPair(key: Buffer | undefined, cert: Buffer | undefined): boolean {
  if (!key || !cert) return true;
  try {
    createSecureContext({ key, cert });
    return true;
  } catch {
    return false;
  }
}
