import { randomUUID } from 'node:crypto';
import { EXIT } from '../exit-code.js';
import { checkUser, loginName, type UserFields } from '../input/user-fields.js';
import { connectedForOneCall } from '../service/connect.js';
import { type User, UserService } from '../service/user-service.js';
import { readBoth, SettingsError } from '../settings/settings-error.js';
import { type ConnectionOptions, readSettings } from '../settings/settings.js';
import type { Surroundings } from '../surroundings.js';
import { readPassword } from './read-password.js';
import { repeated } from './repeated.js';
import { show } from './show.js';

export interface OutputOptions extends ConnectionOptions {
  readonly json?: true;
}

/** Options of `create`: the members of a user, and where the password comes from. */
export interface CreateOptions extends OutputOptions, Omit<UserFields, 'password'> {
  readonly passwordStdin?: true;
}

/** Makes a user. */
export async function createUser(options: CreateOptions, surroundings: Surroundings): Promise<number> {
  const password = options.passwordStdin ? await readPassword(surroundings.stdin) : undefined;
  const [settings, user] = readBoth(
    () => readSettings(surroundings.environment, options),
    () => userOf(options, password),
  );
  // One key for all attempts: the user is made once.
  const key = randomUUID();
  return connectedForOneCall(settings, surroundings, async (app) => {
    const created = await repeated(surroundings.clock, () => app.get(UserService).create(user, key));
    await show(shown(created), options, surroundings);
    return EXIT.done;
  });
}

/** Shows a user. */
export async function getUser(name: string, options: OutputOptions, surroundings: Surroundings): Promise<number> {
  const settings = settingsForName(name, options, surroundings);
  return connectedForOneCall(settings, surroundings, async (app) => {
    const user = await repeated(surroundings.clock, () => app.get(UserService).get(name));
    await show(shown(user), options, surroundings);
    return EXIT.done;
  });
}

/** Deletes a user. */
export async function deleteUser(name: string, options: OutputOptions, surroundings: Surroundings): Promise<number> {
  const settings = settingsForName(name, options, surroundings);
  return connectedForOneCall(settings, surroundings, async (app) => {
    // Not repeated: after a first attempt that got through, a second one would say that there is no such user.
    await app.get(UserService).delete(name);
    await show({ name, deleted: true }, options, surroundings);
    return EXIT.done;
  });
}

/** The members that people look for first come first. */
function shown({ name, id, mail, displayName, state }: User): Record<string, unknown> {
  return { name, id, mail, displayName, state };
}

function settingsForName(name: string, options: OutputOptions, { environment }: Surroundings) {
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
