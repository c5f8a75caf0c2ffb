import { z } from 'zod';

/** Injection token of the {@link Settings}. */
export const SETTINGS = Symbol('Settings');

export const deviceName = z.string().regex(/^[\w.-]{1,64}$/, 'must be a name of letters, digits, ".", "-" and "_"');

const integer = (min: number, max: number) =>
  z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(min, `must be at least ${min}`)
    .max(max, `must be at most ${max}`);

/** Leaves the message for an unset variable to the parser. */
const isNoAddress = ({ input }: { input?: unknown }) =>
  input === undefined ? undefined : 'must be an http or https address';

const clients = z
  .string()
  .transform((list) => list.split(',').flatMap((client) => client.trim() || []))
  .refine((clients) => clients.length > 0, 'must name at least one client');

/** The environment variables of the device. */
export const settingsSchema = z
  .object({
    NAME: deviceName.default('device').describe('name of the device'),
    HOST: z.string().default('127.0.0.1').describe('address to listen on'),
    PORT: integer(0, 65_535).default(3010).describe('port to listen on'),
    TENANT_URL: z.string().describe('address of the tenant'),
    API_APPLICATION_ID: z.string().describe('application that issues tokens for this device'),
    API_AUDIENCE: z.string().describe('audience of this device'),
    ALLOWED_CLIENTS: clients.describe('clients that may call this device, separated by commas'),
    CLIENT_ID: z.string().describe('login name of the service user of this device'),
    CLIENT_SECRET: z.string().optional().describe('password of the service user'),
    KEY_FILE: z.string().optional().describe('file of the private key, created if missing'),
    NEIGHBOUR_URL: z.url({ protocol: /^https?$/, error: isNoAddress }).describe('address of the other device'),
    NEIGHBOUR_APPLICATION_ID: z.string().describe('application that issues tokens for the other device'),
    NEIGHBOUR_SCOPE: z.string().default('state.read').describe('scopes for the other device'),
    ASK_EVERY_MS: integer(50, 86_400_000).default(10_000).describe('interval of the calls to the other device'),
  })
  .superRefine(({ CLIENT_SECRET, KEY_FILE }, context) => {
    if ((CLIENT_SECRET === undefined) !== (KEY_FILE === undefined)) return;
    context.addIssue({ code: 'custom', path: ['CLIENT_SECRET'], message: 'set either this or KEY_FILE' });
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
  const variables = given.TENANT_URL === undefined ? { ...sampleDevice(given.DEVICE), ...given } : given;
  const isUnset = ({ input }: { input?: unknown }) => (input === undefined ? 'is not set' : undefined);
  const { data, error } = settingsSchema.safeParse(variables, { error: isUnset });
  if (data) return data;
  const { shape } = settingsSchema;
  const meaning = (name: PropertyKey | undefined) => shape[name as keyof typeof shape].description;
  throw new SettingsError(
    error.issues.map(({ path: [name], message }) => `${String(name)}: ${message} (${meaning(name)})`),
  );
}

/**
 * One of the two devices of the sample, which use the tenant emulator. Applies only without a TENANT_URL: no
 * development value can enter a real configuration.
 */
function sampleDevice(name = 'north'): Readonly<Record<string, string>> {
  if (name !== 'north' && name !== 'south') throw new SettingsError(['DEVICE: must be north or south']);
  const [other, port, otherPort] = name === 'north' ? ['south', '3010', '3011'] : ['north', '3011', '3010'];
  return {
    NAME: name,
    PORT: port,
    TENANT_URL: 'http://127.0.0.1:4400',
    API_APPLICATION_ID: `device-${name}`,
    API_AUDIENCE: `device-${name}`,
    ALLOWED_CLIENTS: `svc-device-${other}@acme.example`,
    CLIENT_ID: `svc-device-${name}@acme.example`,
    ...(name === 'north' ? { CLIENT_SECRET: 'dev-only-device-north' } : { KEY_FILE: 'south-key.pem' }),
    NEIGHBOUR_URL: `http://127.0.0.1:${otherPort}`,
    NEIGHBOUR_APPLICATION_ID: `device-${other}`,
  };
}
