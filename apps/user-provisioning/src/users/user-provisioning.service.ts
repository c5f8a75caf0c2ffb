import { Inject, Injectable } from '@nestjs/common';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { TenantRefusalError, TenantUnreachableError } from '../directory/tenant-errors.js';
import { type DirectoryUser, isCalled, type NewDirectoryUser, UserDirectory } from '../directory/user-directory.js';
import { ServiceUserError } from './service-user-error.js';
import type { NewUser, User, UserChange } from './user.schema.js';

/** The tenant tells its time to the second, and the call took a moment to get there; in milliseconds. */
const TIME_TOLERANCE_MS = 1500;

/** Names of machines, which are nothing that this service changes or deletes. */
export const MACHINES = Symbol('Machines');

/** Makes, shows, changes and deletes users of the tenant. */
@Injectable()
export class UserProvisioningService {
  constructor(
    private readonly directory: UserDirectory,
    @Inject(MACHINES) private readonly machines: readonly string[],
  ) {}

  /**
   * Makes a user, once.
   *
   * The tenant's call is not safe to repeat, and may have been carried out although no answer came. So after an error
   * whose outcome is unknown the user is looked up, and only if it is not there is the call made a second time.
   *
   * @param inDoubtSince Since when the same may have been carried out, in milliseconds since the epoch: a user of this
   * name who was made since, with the same data, is the one that is asked for.
   * @throws {@link TenantRefusalError}; {@link TenantUnreachableError}, with `outcomeUnknown` where that is so.
   */
  async create(newUser: NewUser, inDoubtSince?: number): Promise<User> {
    if (inDoubtSince === undefined) {
      const startedAt = Date.now();
      try {
        return await this.#createNow(newUser);
      } catch (error) {
        if (!isUnknown(error)) throw error;
        inDoubtSince = startedAt;
      }
    }
    try {
      return (await this.#madeSince(newUser, inDoubtSince)) ?? (await this.#createAgain(newUser, inDoubtSince));
    } catch (error) {
      throw isPassing(error) ? stillUnknown(error) : error;
    }
  }

  /** @throws {@link TenantRefusalError} `not_found` */
  async get(name: string): Promise<User> {
    return shown(await this.#find(name));
  }

  /** @throws {@link TenantRefusalError} `not_found`; {@link ServiceUserError} */
  async change(name: string, change: UserChange): Promise<User> {
    const { Uuid } = await this.#findPerson(name);
    await this.directory.change(Uuid, {
      Mail: change.mail,
      DisplayName: change.displayName,
      Description: change.description,
      MobileNumber: change.mobileNumber,
      OfficeNumber: change.officeNumber,
    });
    return shown(await this.#find(name));
  }

  /** @throws {@link TenantRefusalError} `not_found`; {@link ServiceUserError} */
  async delete(name: string): Promise<void> {
    const { Uuid } = await this.#findPerson(name);
    await this.directory.delete(Uuid);
  }

  async #createNow(newUser: NewUser): Promise<User> {
    return made(newUser, await this.directory.create(directoryUserOf(newUser)));
  }

  /** Makes a user that may be being made still, by an earlier call that is on its way. */
  async #createAgain(newUser: NewUser, inDoubtSince: number): Promise<User> {
    try {
      return await this.#createNow(newUser);
    } catch (error) {
      // The tenant's words for a name that is taken are not always understood, so it is looked up after any refusal.
      const meanwhile = error instanceof TenantRefusalError ? await this.#madeSince(newUser, inDoubtSince) : undefined;
      if (meanwhile) return meanwhile;
      throw error;
    }
  }

  async #find(name: string): Promise<DirectoryUser> {
    const found = await this.directory.findByName(name);
    if (!found) throw new TenantRefusalError('not_found', `There is no user named ${name}.`);
    return found.user;
  }

  /** By the tenant's word, and by name too: not every server tells of each user whether it is a client. */
  async #findPerson(name: string): Promise<DirectoryUser> {
    const user = await this.#find(name);
    const isMachine = user.OauthClient === true || this.machines.some((machine) => isCalled(machine, user.Name));
    if (isMachine) throw new ServiceUserError(name);
    return user;
  }

  async #madeSince(newUser: NewUser, timeMs: number): Promise<User | undefined> {
    const found = await this.directory.findByName(newUser.name);
    if (found?.ageMs === undefined || found.ageMs > Date.now() - timeMs + TIME_TOLERANCE_MS) return undefined;
    const { Uuid, Mail, DisplayName } = found.user;
    const isSame =
      Mail?.toLowerCase() === newUser.mail.toLowerCase() &&
      (newUser.displayName === undefined || DisplayName === newUser.displayName);
    return isSame ? made(newUser, Uuid) : undefined;
  }
}

/** The tenant's defaults would mail an invitation; here each default is chosen and said. */
function directoryUserOf(newUser: NewUser): NewDirectoryUser {
  return {
    Name: newUser.name,
    Mail: newUser.mail,
    DisplayName: newUser.displayName,
    Description: newUser.description,
    MobileNumber: newUser.mobileNumber,
    OfficeNumber: newUser.officeNumber,
    Password: newUser.password,
    InEverybodyRole: true,
    InSysAdminRole: false,
    ForcePasswordChangeNext: newUser.mustChangePassword,
    PasswordNeverExpire: false,
    SendEmailInvite: newUser.sendInvitation,
    SendSmsInvite: false,
    ServiceUser: false,
    OauthClient: false,
  };
}

function shown({ Uuid, Name, Mail, DisplayName, State }: DirectoryUser): User {
  return { id: Uuid, name: Name, mail: Mail ?? null, displayName: DisplayName ?? null, state: State ?? null };
}

/** A user who was just made, as it was asked for. */
export function made({ name, mail, displayName }: NewUser, id: string): User {
  return { id, name, mail, displayName: displayName ?? null, state: 'None' };
}

function isUnknown(error: unknown): boolean {
  return error instanceof TenantUnreachableError && error.outcomeUnknown;
}

function isPassing(error: unknown): error is TenantUnreachableError | TokenUnavailableError {
  return error instanceof TenantUnreachableError || error instanceof TokenUnavailableError;
}

/** What came after the doubt began does not end it. */
function stillUnknown(error: TenantUnreachableError | TokenUnavailableError): TenantUnreachableError {
  return new TenantUnreachableError(error.message, {
    outcomeUnknown: true,
    ...(error instanceof TenantUnreachableError && { retryAfterSeconds: error.retryAfterSeconds }),
  });
}
