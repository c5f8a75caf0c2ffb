import type { ServiceUserConfiguration } from '../config/service-user-configuration.js';
import { secretDigest } from './secret-digest.js';
import { stableUuid } from './stable-uuid.js';
import type { UserDirectory } from './user-directory.js';

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
