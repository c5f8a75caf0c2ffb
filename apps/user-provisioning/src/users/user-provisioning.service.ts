import { Inject, Injectable } from '@nestjs/common';
import { TokenUnavailableError } from 'nestjs-identity-m2m';
import { TenantRefusalError, TenantUnreachableError } from '../directory/tenant-answer.js';
import {
  type DirectoryUser,
  type FoundUser,
  isCalled,
  type NewDirectoryUser,
  UserDirectory,
} from '../directory/user-directory.js';
import type { RequestTiming } from './request-timing.js';
import type { NewUser, User, UserChange } from './user.schema.js';

/** How far the clocks of the tenant's machines may differ, in milliseconds. */
const TIME_TOLERANCE_MS = 1500;

/** Injection token of the login names of machines, which this service neither changes nor deletes. */
export const MACHINES = Symbol('Machines');

/** The user is a service user: a machine whose rights and secret an administrator manages, and on which others rely. */
export class ServiceUserError extends Error {
  readonly code = 'SERVICE_USER';

  constructor(name: string) {
    super(`${name} is a service user. Change or delete it in the tenant's admin portal instead.`);
    this.name = 'ServiceUserError';
  }
}

/** Creates, shows, changes and deletes users of the tenant. */
@Injectable()
export class UserProvisioningService {
  constructor(
    private readonly directory: UserDirectory,
    @Inject(MACHINES) private readonly machines: readonly string[],
  ) {}

  /** Returns the tenant's time, which dates requests: see `UserDirectory.time`. */
  now(): number {
    return this.directory.time();
  }

  /**
   * Creates a user, once.
   *
   * The tenant's call is not safe to repeat, and may have been carried out without an answer. So after an unknown
   * outcome, the user is looked up, and only if it does not exist is the call repeated.
   *
   * @param options.confirm Called before each call that creates a user; if it rejects, the call is not sent.
   * @param options.inDoubtSince Since when the request may have been carried out, by {@link now}: a user of this name with
   * the same data, created since then, is its result.
   * @returns The user's id.
   * @throws {@link TenantRefusalError}; {@link TenantUnreachableError}, with `outcomeUnknown`
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
        (await this.#createdSince(newUser, inDoubtSince)) ?? (await this.#createAgain(newUser, confirm, inDoubtSince))
      );
    } catch (error) {
      throw isTemporary(error) ? stillUnknown(error) : error;
    }
  }

  /** Returns a user who was created as requested, with the name in the form of the tenant. */
  async viewOfCreated({ name, mail, displayName }: NewUser, id: string): Promise<User> {
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
    return userOf((await this.#find(name)).user);
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
    return userOf((await this.#find(name)).user);
  }

  /**
   * Deletes a user.
   *
   * @param timing When the request was sent: a user who was created later is another one.
   * @throws {@link TenantRefusalError} `not_found`; {@link ServiceUserError}; {@link RequestTimeError}
   */
  async delete(name: string, timing: RequestTiming): Promise<void> {
    const { user, createdAt } = await this.#findPerson(name);
    timing.check(this.now(), createdAt);
    // By its id: a user who is created under the same name from here on has another one.
    await this.directory.delete(user.Uuid);
  }

  async #createNow(newUser: NewUser, confirm: CreationOptions['confirm']): Promise<string> {
    await confirm();
    return this.directory.create(directoryUserOf(newUser));
  }

  /** Creates a user while an earlier call for it may still be under way. */
  async #createAgain(newUser: NewUser, confirm: CreationOptions['confirm'], inDoubtSince: number): Promise<string> {
    try {
      return await this.#createNow(newUser, confirm);
    } catch (error) {
      // The tenant's message for a name that is taken is not always recognised, so any refusal leads to a lookup.
      const meanwhile =
        error instanceof TenantRefusalError ? await this.#createdSince(newUser, inDoubtSince) : undefined;
      if (meanwhile) return meanwhile;
      throw error;
    }
  }

  async #find(name: string): Promise<FoundUser> {
    const found = await this.directory.findByName(name);
    if (!found) throw new TenantRefusalError('not_found', `There is no user named ${name}.`);
    return found;
  }

  /** Checks the tenant's flag and the known names: not every server reports whether a user is a client. */
  async #findPerson(name: string): Promise<FoundUser> {
    const found = await this.#find(name);
    const { user } = found;
    const isMachine = user.OauthClient === true || this.machines.some((machine) => isCalled(machine, user.Name));
    if (isMachine) throw new ServiceUserError(name);
    return found;
  }

  /** A user without a creation time counts as new: the outcome is in doubt, and the data are the same. */
  async #createdSince(newUser: NewUser, timeMs: number): Promise<string | undefined> {
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

/** Sets every field with a default at the tenant, which would for example mail an invitation. */
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

function userOf({ Uuid, Name, Mail, DisplayName, State }: DirectoryUser): User {
  return { id: Uuid, name: Name, mail: Mail ?? null, displayName: DisplayName ?? null, state: State ?? null };
}

function isUnknown(error: unknown): boolean {
  return error instanceof TenantUnreachableError && error.outcomeUnknown;
}

function isTemporary(error: unknown): error is TenantUnreachableError | TokenUnavailableError {
  return error instanceof TenantUnreachableError || error instanceof TokenUnavailableError;
}

/** A later error does not end the doubt. */
function stillUnknown(error: TenantUnreachableError | TokenUnavailableError): TenantUnreachableError {
  return new TenantUnreachableError(error.message, {
    outcomeUnknown: true,
    ...(error instanceof TenantUnreachableError && { retryAfterSeconds: error.retryAfterSeconds }),
  });
}
