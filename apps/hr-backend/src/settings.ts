import { z } from 'zod';

/** Injection token of the {@link Settings}. */
export const SETTINGS = Symbol('SETTINGS');

/** How the backend is set up. Comes from environment variables; `.env.example` documents each. */
export interface Settings {
  /** Folder that events are put into, and wait in. */
  readonly outboxFolder: string;
  /** How often an empty outbox is looked at. */
  readonly pollMs: number;
  readonly tenantUrl: string;
  /** The backend itself, as a client of the daemon. */
  readonly client: { readonly id: string; readonly secret: string };
  readonly daemon: {
    /** Its scheme names the transport. */
    readonly url: URL;
    /** First part of the names of subjects and queues. */
    readonly channel: string;
    readonly applicationId: string;
    readonly scope: string;
    readonly answerTimeoutMs: number;
  };
  /** The first and the longest pause before an event is sent again. */
  readonly retry: { readonly firstMs: number; readonly longestMs: number };
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
  CLIENT_ID: 'svc-hr@acme.example',
  CLIENT_SECRET: 'dev-only-hr',
  OUTBOX_FOLDER: 'outbox',
};

const SCHEMES = ['tcp:', 'tcps:', 'nats:', 'natss:', 'amqp:', 'amqps:'];

const required = (meaning: string) => z.string(`${meaning} is not set`).min(1, `${meaning} is empty`);
const milliseconds = (least: number, most: number) => z.coerce.number().int().min(least).max(most);

const schema = z.object({
  OUTBOX_FOLDER: required('folder of the outbox'),
  POLL_MS: milliseconds(10, 60_000).default(500),
  TENANT_URL: required('address of the tenant'),
  CLIENT_ID: required('login name of the service user'),
  CLIENT_SECRET: required('secret of the service user'),
  DAEMON_URL: z
    .string()
    .refine((text) => URL.canParse(text) && SCHEMES.includes(new URL(text).protocol), {
      error: `must be an address with one of ${SCHEMES.join(' ')}, and a port up to 65535`,
      abort: true,
    })
    .transform((text) => new URL(text))
    .refine(({ protocol, port }) => !protocol.startsWith('tcp') || Number(port) > 0, 'needs a port from 1 to 65535')
    .prefault('tcp://127.0.0.1:3100'),
  CHANNEL: z
    .string()
    .regex(/^[\w-]{1,64}$/, 'must be a name of letters, digits, "-" and "_"')
    .default('provisioning'),
  DAEMON_APPLICATION_ID: z.string().default('provisioning-daemon'),
  DAEMON_SCOPE: z.string().default('joiners.write leavers.write'),
  ANSWER_TIMEOUT_MS: milliseconds(100, 3_600_000).optional(),
  RETRY_FIRST_MS: milliseconds(10, 60_000).default(1000),
  RETRY_LONGEST_MS: milliseconds(10, 3_600_000).default(60_000),
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
    outboxFolder: settings.OUTBOX_FOLDER,
    pollMs: settings.POLL_MS,
    tenantUrl: settings.TENANT_URL,
    client: { id: settings.CLIENT_ID, secret: settings.CLIENT_SECRET },
    daemon: {
      url: settings.DAEMON_URL,
      channel: settings.CHANNEL,
      applicationId: settings.DAEMON_APPLICATION_ID,
      scope: settings.DAEMON_SCOPE,
      answerTimeoutMs: settings.ANSWER_TIMEOUT_MS ?? answerTimeoutMs(settings.DAEMON_URL),
    },
    retry: { firstMs: settings.RETRY_FIRST_MS, longestMs: settings.RETRY_LONGEST_MS },
  };
}

/** In a queue an event may wait for its daemon; sent again too soon it would be there twice. */
function answerTimeoutMs({ protocol }: URL): number {
  return protocol.startsWith('amqp') ? 600_000 : 90_000;
}
