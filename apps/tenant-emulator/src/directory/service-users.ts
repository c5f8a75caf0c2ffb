import type { ServiceUserConfiguration } from '../config/service-user.js';
import { stableUuid, type UserDirectory } from './user-directory.js';
import { secretDigest } from './user.js';

/**
 * Puts the service users of the configuration into the directory, where the admin portal would have created them.
 *
 * @returns The UUID of each.
 */
export function seedServiceUsers(
  directory: UserDirectory,
  serviceUsers: readonly ServiceUserConfiguration[],
  now: number,
): [uuid: string, ServiceUserConfiguration][] {
  return serviceUsers.map((configuration) => {
    const name = configuration.loginName.toLowerCase();
    const uuid = stableUuid(`user ${name}`);
    directory.add({
      uuid,
      name,
      mail: null,
      displayName: null,
      description: configuration.description ?? null,
      mobileNumber: null,
      officeNumber: null,
      homeNumber: null,
      reportsTo: null,
      inEverybodyRole: false,
      inSysAdminRole: configuration.rights.includes('System Administrator'),
      forcePasswordChangeNext: false,
      // The tick "Is OAuth confidential client" sets these two as well.
      passwordNeverExpire: true,
      serviceUser: true,
      oauthClient: true,
      state: 'None',
      passwordDigest: configuration.secret === undefined ? undefined : secretDigest(configuration.secret),
      createdAt: now,
      modifiedAt: now,
      passwordChangedAt: now,
      version: 1,
      mailInvitations: 0,
      smsInvitations: 0,
    });
    return [uuid, configuration];
  });
}

/** What a service user may do with one application. */
export interface ApplicationPermission {
  readonly run: boolean;
  readonly allowedClient: boolean;
  /** Undefined: every scope that the application knows. */
  readonly scopes?: readonly string[] | undefined;
}

/** What each service user may do, by its UUID, so that renaming a user takes nothing away from it. */
export class Permissions {
  readonly #byUuid: ReadonlyMap<string, ServiceUserConfiguration>;

  constructor(serviceUsers: Iterable<readonly [uuid: string, ServiceUserConfiguration]>) {
    this.#byUuid = new Map(serviceUsers);
  }

  onApplication(applicationId: string, uuid: string): ApplicationPermission | undefined {
    const applications = this.#byUuid.get(uuid)?.applications ?? {};
    return Object.hasOwn(applications, applicationId) ? applications[applicationId] : undefined;
  }

  /** Has the System Administrator role or the User Management right. */
  mayManageUsers(uuid: string): boolean {
    return (this.#byUuid.get(uuid)?.rights.length ?? 0) > 0;
  }
}
