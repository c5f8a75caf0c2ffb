import { Inject, Injectable } from '@nestjs/common';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { TenantRefusalError, TenantUnreachableError } from '../directory/tenant-errors.js';
import {
  type DirectoryUser,
  type FoundUser,
  isCalled,
  type NewDirectoryUser,
  UserDirectory,
} from '../directory/user-directory.js';
import type { RequestTiming } from './request-timing.js';
import { ServiceUserError } from './service-user-error.js';
import type { NewUser, User, UserChange } from './user.schema.js';

/** The clocks of the tenant's machines may differ by this much, in milliseconds. */
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

  /** The time that requests of users are dated by: the tenant's own, as of `UserDirectory.time`. */
  now(): number {
    return this.directory.time();
  }

  /**
   * Makes a user, once.
   *
   * The tenant's call is not safe to repeat, and may have been carried out although no answer came. So after an error
   * whose outcome is unknown the user is looked up, and only if it is not there is the call made a second time.
   *
   * @param options.confirm Called before each call that makes a user; where it rejects, that call is not made.
   * @param options.inDoubtSince Since when the same may have been carried out, as of {@link now}: a user of this name who
   * was made since, with the same data, is the one that is asked for.
   * @returns The user's id.
   * @throws {@link TenantRefusalError}; {@link TenantUnreachableError}, with `outcomeUnknown` where that is so.
   */
  async create(newUser: NewUser, { confirm, inDoubtSince }: CreationOptions): Promise<string> {
    if (inDoubtSince === undefined) {
      const startedAt = this.now();
      try {
        return await this.#createNow(newUser, confirm);
      } catch (error) {
        if (!isUnknown(error)) throw error;
        inDoubtSince = startedAt;
      }
    }
    try {
      return (
        (await this.#madeSince(newUser, inDoubtSince)) ?? (await this.#createAgain(newUser, confirm, inDoubtSince))
      );
    } catch (error) {
      throw isPassing(error) ? stillUnknown(error) : error;
    }
  }

  /** A user who was made as it was asked for, under the name that the tenant has given it. */
  async made({ name, mail, displayName }: NewUser, id: string): Promise<User> {
    return {
      id,
      name: await this.directory.fullName(name),
      mail,
      displayName: displayName ?? null,
      state: 'None',
    };
  }

  /** @throws {@link TenantRefusalError} `not_found` */
  async get(name: string): Promise<User> {
    return shown((await this.#find(name)).user);
  }

  /** @throws {@link TenantRefusalError} `not_found`; {@link ServiceUserError} */
  async change(name: string, change: UserChange): Promise<User> {
    const { user } = await this.#findPerson(name);
    await this.directory.change(user.Uuid, {
      Mail: change.mail,
      DisplayName: change.displayName,
      Description: change.description,
      MobileNumber: change.mobileNumber,
      OfficeNumber: change.officeNumber,
    });
    return shown((await this.#find(name)).user);
  }

  /**
   * Deletes a user.
   *
   * @param timing When the request was made: a user who was made later is not the one that was meant.
   * @throws {@link TenantRefusalError} `not_found`; {@link ServiceUserError}; {@link RequestTimeError}
   */
  async delete(name: string, timing: RequestTiming): Promise<void> {
    const { user, createdAt } = await this.#findPerson(name);
    timing.check(this.now(), createdAt);
    // By its id: whoever is made under the same name from here on has another one.
    await this.directory.delete(user.Uuid);
  }

  async #createNow(newUser: NewUser, confirm: CreationOptions['confirm']): Promise<string> {
    await confirm();
    return this.directory.create(directoryUserOf(newUser));
  }

  /** Makes a user that may be being made still, by an earlier call that is on its way. */
  async #createAgain(newUser: NewUser, confirm: CreationOptions['confirm'], inDoubtSince: number): Promise<string> {
    try {
      return await this.#createNow(newUser, confirm);
    } catch (error) {
      // The tenant's words for a name that is taken are not always understood, so it is looked up after any refusal.
      const meanwhile = error instanceof TenantRefusalError ? await this.#madeSince(newUser, inDoubtSince) : undefined;
      if (meanwhile) return meanwhile;
      throw error;
    }
  }

  async #find(name: string): Promise<FoundUser> {
    const found = await this.directory.findByName(name);
    if (!found) throw new TenantRefusalError('not_found', `There is no user named ${name}.`);
    return found;
  }

  /** By the tenant's word, and by name too: not every server tells of each user whether it is a client. */
  async #findPerson(name: string): Promise<FoundUser> {
    const found = await this.#find(name);
    const { user } = found;
    const isMachine = user.OauthClient === true || this.machines.some((machine) => isCalled(machine, user.Name));
    if (isMachine) throw new ServiceUserError(name);
    return found;
  }

  /** A user whose age the tenant does not tell counts as new: the doubt is there, and the data are the same. */
  async #madeSince(newUser: NewUser, timeMs: number): Promise<string | undefined> {
    const found = await this.directory.findByName(newUser.name);
    if (!found || (found.createdAt ?? Infinity) < timeMs - TIME_TOLERANCE_MS) return undefined;
    const { Uuid, Mail, DisplayName } = found.user;
    const isSame =
      Mail?.toLowerCase() === newUser.mail.toLowerCase() &&
      (newUser.displayName === undefined || DisplayName === newUser.displayName);
    return isSame ? Uuid : undefined;
  }
}

export interface CreationOptions {
  readonly confirm: () => Promise<void>;
  readonly inDoubtSince?: number | undefined;
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
