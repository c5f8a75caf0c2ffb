import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { type AxiosResponse, isAxiosError } from 'axios';
import { firstValueFrom } from 'rxjs';
import { z } from 'zod';
import { resultOf, tenantError, TenantRefusalError, TenantUnreachableError } from './tenant-answer.js';

/** Fields of a user, under the names of the tenant's API. */
export interface DirectoryUserFields {
  readonly Mail?: string | undefined;
  readonly DisplayName?: string | undefined;
  readonly Description?: string | undefined;
  readonly MobileNumber?: string | undefined;
  readonly OfficeNumber?: string | undefined;
}

/** A new user. Sets every field that has a default at the server, so that no default applies. */
export interface NewDirectoryUser extends DirectoryUserFields {
  readonly Name: string;
  readonly Mail: string;
  readonly Password?: string | undefined;
  readonly InEverybodyRole: boolean;
  readonly InSysAdminRole: boolean;
  readonly ForcePasswordChangeNext: boolean;
  readonly PasswordNeverExpire: boolean;
  readonly SendEmailInvite: boolean;
  readonly SendSmsInvite: boolean;
  readonly ServiceUser: boolean;
  readonly OauthClient: boolean;
}

const directoryUser = z.object({
  Uuid: z.string(),
  Name: z.string(),
  Mail: z.string().nullish(),
  DisplayName: z.string().nullish(),
  State: z.string().nullish(),
  CreateDate: z.string().nullish(),
  OauthClient: z.boolean().nullish(),
});

/** A user as the tenant's API shows it. */
export type DirectoryUser = z.infer<typeof directoryUser>;

/** A user in the directory, and its creation time by the tenant's clock, if the tenant reports it. */
export interface FoundUser {
  readonly user: DirectoryUser;
  readonly createdAt: number | undefined;
}

/** The users of the tenant, through its REST API. The module adds the token to each call. */
@Injectable()
export class UserDirectory {
  /** The tenant's time at its last response, and the monotonic time, which is never set. */
  #clock: { readonly tenantMs: number; readonly monotonicMs: number } | undefined;
  #defaultSuffix: string | undefined;
  #lookupOfSuffix: Promise<unknown> | undefined;

  constructor(private readonly http: HttpService) {}

  /**
   * Returns the tenant's time in milliseconds since the epoch, or slightly less; 0 before its first response.
   *
   * The clock of this machine is not used: it may be set during a call.
   */
  time(): number {
    return this.#clock ? this.#clock.tenantMs + performance.now() - this.#clock.monotonicMs : 0;
  }

  /**
   * Returns a name as the tenant stores it: in lower case, with the default suffix if it has none. The first name
   * without a suffix is looked up for that; if the tenant is unreachable, the suffix is left out.
   */
  async fullName(name: string): Promise<string> {
    const lower = name.toLowerCase();
    if (lower.includes('@')) return lower;
    if (this.#defaultSuffix === undefined) {
      this.#lookupOfSuffix ??= this.findByName(name).finally(() => (this.#lookupOfSuffix = undefined));
      await this.#lookupOfSuffix.catch(() => {});
    }
    return lower + (this.#defaultSuffix ?? '');
  }

  /** @returns The new user's id. Not safe to repeat after an error whose outcome is unknown. */
  async create(user: NewDirectoryUser): Promise<string> {
    return this.#call('/CDirectoryService/CreateUser', user, z.string());
  }

  /** Returns the user of this name, or undefined. */
  async findByName(name: string): Promise<FoundUser | undefined> {
    try {
      const user = await this.#call('/CDirectoryService/GetUserByName', { username: name }, directoryUser);
      if (!isCalled(name, user.Name)) return undefined;
      if (!name.includes('@')) this.#defaultSuffix = user.Name.toLowerCase().slice(name.toLowerCase().length);
      const [, createdMs] = /^\/Date\((\d+)\)\/$/.exec(user.CreateDate ?? '') ?? [];
      return { user, createdAt: createdMs === undefined ? undefined : Number(createdMs) };
    } catch (error) {
      if (error instanceof TenantRefusalError && error.kind === 'not_found') return undefined;
      throw error;
    }
  }

  async change(id: string, fields: DirectoryUserFields): Promise<void> {
    await this.#call('/CDirectoryService/ChangeUser', { ID: id, ...fields }, z.unknown());
  }

  async delete(id: string): Promise<void> {
    await this.#call('/CDirectoryService/DeleteUser', { ID: id }, z.unknown());
  }

  async #call<Result>(path: string, body: object, schema: z.ZodType<Result>): Promise<Result> {
    const { data, headers } = await this.#post(path, body);
    const answeredAt = Date.parse(String(headers['date']));
    if (!Number.isNaN(answeredAt)) this.#clock = { tenantMs: answeredAt, monotonicMs: performance.now() };
    const result = schema.safeParse(resultOf(data));
    if (result.success) return result.data;
    throw new TenantUnreachableError(`The result of ${path} has an unknown form.`, {
      outcomeUnknown: true,
    });
  }

  async #post(path: string, body: object): Promise<AxiosResponse<unknown>> {
    try {
      return await firstValueFrom(this.http.post<unknown>(path, body));
    } catch (error) {
      throw isAxiosError(error) ? tenantError(error) : error;
    }
  }
}

/** Whether a given name is a user's: the tenant stores names in lower case, with the suffix. */
export function isCalled(wanted: string, found: string): boolean {
  const [a, b] = [wanted.toLowerCase(), found.toLowerCase()];
  return a === b || (!a.includes('@') && b.startsWith(`${a}@`));
}
