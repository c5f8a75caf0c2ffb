import type { RestFields } from '../rest-api/rest-fields.js';
import type { UserProfile } from './user.js';

/** The profile after ChangeUser: what is not named in the call stays as it is. */
export function changedProfile(
  profile: UserProfile,
  fields: RestFields,
  fullName: (name: string) => string,
): UserProfile {
  const name = fields.text('Name');
  const oauthClient = fields.flag('OauthClient') ?? profile.oauthClient;
  const serviceUser = oauthClient || (fields.flag('ServiceUser') ?? profile.serviceUser);
  return {
    name: name === undefined ? profile.name : fullName(name),
    mail: fields.text('Mail') ?? profile.mail,
    displayName: fields.text('DisplayName') ?? profile.displayName,
    description: fields.text('Description') ?? profile.description,
    mobileNumber: fields.text('MobileNumber') ?? profile.mobileNumber,
    officeNumber: fields.text('OfficeNumber') ?? profile.officeNumber,
    homeNumber: fields.text('HomeNumber') ?? profile.homeNumber,
    reportsTo: fields.text('ReportsTo') ?? profile.reportsTo,
    inEverybodyRole: !serviceUser && (fields.flag('InEverybodyRole') ?? profile.inEverybodyRole),
    inSysAdminRole: fields.flag('InSysAdminRole') ?? profile.inSysAdminRole,
    forcePasswordChangeNext: fields.flag('ForcePasswordChangeNext') ?? profile.forcePasswordChangeNext,
    passwordNeverExpire: oauthClient || (fields.flag('PasswordNeverExpire') ?? profile.passwordNeverExpire),
    serviceUser,
    oauthClient,
  };
}
