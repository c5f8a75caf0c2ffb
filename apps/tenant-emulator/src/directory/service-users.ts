import type { ServiceUserConfiguration } from '../config/service-user.js';
import { stableUuid, type UserDirectory } from './user-directory.js';
import { secretDigest } from './user.js';

/**
 * Adds the service users of the configuration to the directory. In a real tenant, the admin portal creates them.
 *
 * @returns Each service user with its UUID.
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
      // The checkbox "Is OAuth confidential client" sets these two as well.
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

/** The permissions of a service user on one application. */
export interface ApplicationPermission {
  readonly run: boolean;
  readonly allowedClient: boolean;
  /** Undefined: every scope of the application. */
  readonly scopes?: readonly string[] | undefined;
}

/** The permissions of each service user by UUID, so that they stay when the user is renamed. */
export class Permissions {
  readonly #byUuid: ReadonlyMap<string, ServiceUserConfiguration>;

  constructor(serviceUsers: Iterable<readonly [uuid: string, ServiceUserConfiguration]>) {
    this.#byUuid = new Map(serviceUsers);
  }

  onApplication(applicationId: string, uuid: string): ApplicationPermission | undefined {
    const applications = this.#byUuid.get(uuid)?.applications ?? {};
    return Object.hasOwn(applications, applicationId) ? applications[applicationId] : undefined;
  }

  /** Returns true for users with the System Administrator role or the User Management right. */
  mayManageUsers(uuid: string): boolean {
    return (this.#byUuid.get(uuid)?.rights.length ?? 0) > 0;
  }
}
