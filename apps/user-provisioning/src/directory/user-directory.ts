import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { type AxiosError, type AxiosResponse, isAxiosError } from 'axios';
import { firstValueFrom } from 'rxjs';
import { z } from 'zod';
import { resultOf } from './envelope.js';
import { retryAfterSeconds } from './retry-after.js';
import { TenantRefusalError, TenantUnreachableError } from './tenant-errors.js';

/** Members of a user as the tenant's API names them. */
export interface DirectoryUserFields {
  readonly Mail?: string | undefined;
  readonly DisplayName?: string | undefined;
  readonly Description?: string | undefined;
  readonly MobileNumber?: string | undefined;
  readonly OfficeNumber?: string | undefined;
}

/** A user to be made. Every member that has a default at the server is said here, so that the default has no say. */
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

/** A user that was found, and when it was made by the tenant's own clock, where the tenant says so. */
export interface FoundUser {
  readonly user: DirectoryUser;
  readonly createdAt: number | undefined;
}

/** The users of the tenant, through its REST API. The token is on the calls already. */
@Injectable()
export class UserDirectory {
  /** The tenant's time of its last answer, beside that of a clock that is never set. */
  #clock: { readonly tenantMs: number; readonly monotonicMs: number } | undefined;
  #defaultSuffix: string | undefined;
  #lookupOfSuffix: Promise<unknown> | undefined;

  constructor(private readonly http: HttpService) {}

  /**
   * The tenant's time in milliseconds since the epoch, or a little before it; 0 as long as the tenant has not answered.
   *
   * The clock of this machine has no part in it: that one may be set while a call is under way.
   */
  time(): number {
    return this.#clock ? this.#clock.tenantMs + performance.now() - this.#clock.monotonicMs : 0;
  }

  /**
   * A name as the tenant keeps it: in lower case, with the tenant's default suffix where it is given without one. The
   * first name without a suffix is looked up for that; where the tenant cannot be asked, the suffix is left out.
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

  /** @returns The new user's id. Not safe to be called again after an error whose outcome is unknown. */
  async create(user: NewDirectoryUser): Promise<string> {
    return this.#call('/CDirectoryService/CreateUser', user, z.string());
  }

  /** The user of a name, or undefined where there is none. */
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
    throw new TenantUnreachableError(`The tenant answered ${path} with a result of unknown form.`, {
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

/** Whether a name as somebody gives it is that of a user: the tenant keeps it in lower case, with the suffix. */
export function isCalled(wanted: string, found: string): boolean {
  const [a, b] = [wanted.toLowerCase(), found.toLowerCase()];
  return a === b || (!a.includes('@') && b.startsWith(`${a}@`));
}

/** Errors after which the call can't have reached the tenant. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** The axios error itself goes no further: it holds the body of the call, and with it a user's password. */
function tenantError({ code, response }: AxiosError): Error {
  if (!response) {
    const outcomeUnknown = code === undefined || !NOT_SENT.has(code);
    return new TenantUnreachableError(`The tenant did not answer (${code ?? 'no code'}).`, { outcomeUnknown });
  }
  const { status } = response;
  if (status === 401 || status === 403) {
    return new TenantRefusalError('not_authorised', `The tenant answered HTTP ${status} to this service's token.`);
  }
  const seconds = retryAfterSeconds(response.headers['retry-after']);
  return new TenantUnreachableError(`The tenant answered HTTP ${status}.`, {
    // A server that limits its callers, or that does not know the address, has not carried out the call.
    outcomeUnknown: status >= 500 || status === 408,
    ...(seconds !== undefined && { retryAfterSeconds: seconds }),
  });
}
