import { z } from 'zod';

/** Injection token of the {@link Settings}. */
export const SETTINGS = Symbol('SETTINGS');

/** How the device is set up. Comes from environment variables; `.env.example` documents each. */
export interface Settings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly tenantUrl: string;
  /** The application that issues tokens for this device, and who may come with one. */
  readonly api: {
    readonly applicationId: string;
    readonly audience: string;
    readonly clients: readonly string[];
  };
  /** The device itself, as a client: it proves itself by a secret, or by the private key in a file. */
  readonly client: { readonly id: string } & ({ readonly secret: string } | { readonly keyFile: string });
  /** The device that this one asks, and how often. */
  readonly neighbour: {
    readonly url: string;
    readonly applicationId: string;
    readonly scope: string;
    readonly askEveryMs: number;
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

const EMULATOR_URL = 'http://127.0.0.1:4400';

/** The two devices of the sample, which run without an account. They stand in only where no TENANT_URL is given. */
const EMULATOR = {
  north: {
    NAME: 'north',
    PORT: '3010',
    TENANT_URL: EMULATOR_URL,
    API_APPLICATION_ID: 'device-north',
    API_AUDIENCE: 'device-north',
    ALLOWED_CLIENTS: 'svc-device-south@acme.example',
    CLIENT_ID: 'svc-device-north@acme.example',
    CLIENT_SECRET: 'dev-only-device-north',
    NEIGHBOUR_URL: 'http://127.0.0.1:3011',
    NEIGHBOUR_APPLICATION_ID: 'device-south',
  },
  south: {
    NAME: 'south',
    PORT: '3011',
    TENANT_URL: EMULATOR_URL,
    API_APPLICATION_ID: 'device-south',
    API_AUDIENCE: 'device-south',
    ALLOWED_CLIENTS: 'svc-device-north@acme.example',
    CLIENT_ID: 'svc-device-south@acme.example',
    KEY_FILE: 'south-key.pem',
    NEIGHBOUR_URL: 'http://127.0.0.1:3010',
    NEIGHBOUR_APPLICATION_ID: 'device-north',
  },
};

const required = (meaning: string) => z.string(`${meaning} is not set`).min(1, `${meaning} is empty`);

export const deviceName = z.string().regex(/^[\w.-]{1,64}$/, 'must be a name of letters, digits, ".", "-" and "_"');

const schema = z
  .object({
    NAME: deviceName.default('device'),
    HOST: z.string().default('127.0.0.1'),
    PORT: z.coerce.number().int().min(0).max(65_535).default(3010),
    TENANT_URL: required('address of the tenant'),
    API_APPLICATION_ID: required('Application ID for callers of this device'),
    API_AUDIENCE: required('audience of this device'),
    ALLOWED_CLIENTS: required('list of clients that may call this device')
      .transform((list) => list.split(',').flatMap((client) => client.trim() || []))
      .refine((clients) => clients.length > 0, 'list of clients that may call this device names none'),
    CLIENT_ID: required('login name of the service user'),
    CLIENT_SECRET: z.string().optional(),
    KEY_FILE: z.string().optional(),
    NEIGHBOUR_URL: z.url({ protocol: /^https?$/, error: 'must be the address of the other device' }),
    NEIGHBOUR_APPLICATION_ID: required('Application ID for callers of the other device'),
    NEIGHBOUR_SCOPE: z.string().default('state.read'),
    ASK_EVERY_MS: z.coerce.number().int().min(50).max(86_400_000).default(10_000),
  })
  .superRefine(({ CLIENT_SECRET, KEY_FILE }, context) => {
    if ((CLIENT_SECRET === undefined) !== (KEY_FILE === undefined)) return;
    context.addIssue({ code: 'custom', path: ['CLIENT_SECRET'], message: 'set either this or KEY_FILE' });
  });

/** @throws {@link SettingsError} */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  // An empty variable, as a line left blank in an .env file makes it, is one that is not set.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const result = schema.safeParse(given.TENANT_URL === undefined ? { ...emulatorDevice(given), ...given } : given);
  if (!result.success) {
    throw new SettingsError(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
  }
  const settings = result.data;
  return {
    name: settings.NAME,
    host: settings.HOST,
    port: settings.PORT,
    tenantUrl: settings.TENANT_URL,
    api: {
      applicationId: settings.API_APPLICATION_ID,
      audience: settings.API_AUDIENCE,
      clients: settings.ALLOWED_CLIENTS,
    },
    client: {
      id: settings.CLIENT_ID,
      ...(settings.KEY_FILE === undefined ? { secret: settings.CLIENT_SECRET! } : { keyFile: settings.KEY_FILE }),
    },
    neighbour: {
      url: settings.NEIGHBOUR_URL,
      applicationId: settings.NEIGHBOUR_APPLICATION_ID,
      scope: settings.NEIGHBOUR_SCOPE,
      askEveryMs: settings.ASK_EVERY_MS,
    },
  };
}

function emulatorDevice({ DEVICE = 'north' }: Readonly<Record<string, string | undefined>>): object {
  if (DEVICE === 'north' || DEVICE === 'south') return EMULATOR[DEVICE];
  throw new SettingsError(['DEVICE: must be north or south']);
}
