import { z } from 'zod';

/** Injection token of the {@link Settings}. */
export const SETTINGS = Symbol('Settings');

/** Values for the tenant emulator. They apply only without a TENANT_URL: none can enter a real configuration. */
const EMULATOR = {
  TENANT_URL: 'http://127.0.0.1:4400',
  CLIENT_ID: 'svc-hr@acme.example',
  CLIENT_SECRET: 'dev-only-hr',
  OUTBOX_FOLDER: 'outbox',
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

const milliseconds = (min: number, max: number) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`);

/** The environment variables of the backend. */
export const settingsSchema = z.object({
  OUTBOX_FOLDER: z.string().describe('folder of the outbox, used by one backend alone'),
  POLL_MS: milliseconds(10, 60_000).default(500).describe('interval at which the folder is read'),
  TENANT_URL: z.string().describe('address of the tenant'),
  CLIENT_ID: z.string().describe('login name of the service user of this backend'),
  CLIENT_SECRET: z.string().describe('password of the service user'),
  DAEMON_URL: address.prefault('tcp://127.0.0.1:3100').describe('address of the daemon or of the broker'),
  CHANNEL: channel.default('provisioning').describe('first part of the names of subjects and queues'),
  DAEMON_APPLICATION_ID: z
    .string()
    .default('provisioning-daemon')
    .describe('application that issues tokens for the daemon'),
  DAEMON_SCOPE: z.string().default('joiners.write leavers.write').describe('scopes for the daemon'),
  ANSWER_TIMEOUT_MS: milliseconds(100, 3_600_000).optional().describe('timeout of the daemon’s answer'),
  RETRY_FIRST_MS: milliseconds(10, 60_000).default(1000).describe('first pause before an event is sent again'),
  RETRY_LONGEST_MS: milliseconds(10, 3_600_000).default(60_000).describe('longest pause before that'),
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
