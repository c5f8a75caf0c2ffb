import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { CommandContext } from '../context.js';
import { SettingsError } from '../errors.js';
import { checkUser, loginName, type UserFields } from '../input/user-fields.js';
import { type User, UserService } from '../service/user-service.js';
import { readBoth, readSettings, type Settings } from '../settings.js';
import { type OutputOptions, runOneCall, withRetries } from './one-call.js';

/** Options of `create`: the members of a user, and the source of the password. */
export interface CreateOptions extends OutputOptions, Omit<UserFields, 'password'> {
  readonly passwordStdin?: true;
}

export async function createUser(options: CreateOptions, context: CommandContext): Promise<number> {
  const password = options.passwordStdin ? await readPassword(context.stdin) : undefined;
  const [settings, user] = readBoth(
    () => readSettings(context.environment, options),
    () => userOf(options, password),
  );
  // One key for all attempts, so that the user is created once.
  const key = randomUUID();
  return runOneCall(settings, options, context, async (app) =>
    shown(await withRetries(context.clock, () => app.get(UserService).create(user, key))),
  );
}

export async function getUser(name: string, options: OutputOptions, context: CommandContext): Promise<number> {
  const settings = settingsForName(name, options, context);
  return runOneCall(settings, options, context, async (app) =>
    shown(await withRetries(context.clock, () => app.get(UserService).get(name))),
  );
}

export async function deleteUser(name: string, options: OutputOptions, context: CommandContext): Promise<number> {
  const settings = settingsForName(name, options, context);
  return runOneCall(settings, options, context, async (app) => {
    // Not retried: after a lost response to a first attempt, a second one would fail with not_found.
    await app.get(UserService).delete(name);
    return { name, deleted: true };
  });
}

/** Puts the members that people look for first. */
function shown({ name, id, mail, displayName, state }: User): Record<string, unknown> {
  return { name, id, mail, displayName, state };
}

function settingsForName(name: string, options: OutputOptions, { environment }: CommandContext): Settings {
  const [settings] = readBoth(
    () => readSettings(environment, options),
    () => {
      const { error } = loginName.safeParse(name);
      if (error) throw new SettingsError(error.issues.map(({ message }) => `name: ${message}`));
    },
  );
  return settings;
}

function userOf(options: CreateOptions, password: string | undefined): UserFields {
  const { name, mail, displayName, description, mobileNumber, officeNumber, mustChangePassword, sendInvitation } =
    options;
  const fields = { name, mail, displayName, description, mobileNumber, officeNumber, mustChangePassword };
  const checked = checkUser({ ...fields, sendInvitation, password });
  if ('fault' in checked) throw new SettingsError(checked.fault.split('; '));
  return checked.user;
}

/** Maximum length of the input with a password, in bytes. */
const MAX_BYTES = 4096;

/**
 * Reads a password from standard input: its first line, or all of it.
 *
 * @throws SettingsError
 */
async function readPassword(stdin: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.includes(0x0a)) break;
    if (length > MAX_BYTES) throw new SettingsError([`password: is longer than ${MAX_BYTES} bytes`]);
  }
  const bytes = Buffer.concat(chunks);
  // Editors on Windows write a byte order mark first, and some tools double the carriage return.
  const [line = ''] = bytes
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r*\n|\r+$/, 1);
  if (!isUtf8(bytes) || line === '') throw new SettingsError(['password: standard input has no line of UTF-8 text']);
  return line;
}
