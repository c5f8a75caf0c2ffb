import { ApiFailure } from '../rest-api/api-failure.js';
import type { RestFields } from '../rest-api/rest-fields.js';
import { requireComplexPassword } from './password-rule.js';
import type { UserProfile } from './user.js';

/** A user that is about to be created. */
export interface NewUser {
  readonly profile: UserProfile;
  /** Undefined: a random one. */
  readonly password: string | undefined;
  readonly sendsMail: boolean;
  readonly sendsSms: boolean;
}

/**
 * Reads the fields of CreateUser, with the defaults of the server: it invites by mail, puts users into the Everybody
 * role and makes them change their password, unless told otherwise. Fields that only portals send are not looked at.
 *
 * @param fullName Completes a name to what is stored.
 * @throws {@link ApiFailure}
 */
export function newUserOf(fields: RestFields, fullName: (name: string) => string): NewUser {
  const name = fields.text('Name') ?? fields.text('PrimaryIdentifier');
  if (name === undefined) throw ApiFailure.missingParameter('Name');

  const sendsMail = fields.flag('SendEmailInvite') ?? true;
  const sendsSms = fields.flag('SendSmsInvite') ?? false;
  const mail = fields.text('Mail') ?? null;
  const mobileNumber = fields.text('MobileNumber') ?? null;
  if (mail === null && (sendsMail || fields.flag('VerifyEmail'))) throw ApiFailure.missingParameter('Mail');
  if (mobileNumber === null && sendsSms) throw ApiFailure.missingParameter('MobileNumber');

  const password = fields.text('Password');
  if (password !== undefined) requireComplexPassword(password);

  const oauthClient = fields.flag('OauthClient') ?? false;
  const serviceUser = oauthClient || (fields.flag('ServiceUser') ?? false);
  return {
    profile: {
      name: fullName(name),
      mail,
      displayName: fields.text('DisplayName') ?? null,
      description: fields.text('Description') ?? null,
      mobileNumber,
      officeNumber: fields.text('OfficeNumber') ?? null,
      homeNumber: fields.text('HomeNumber') ?? null,
      reportsTo: fields.text('ReportsTo') ?? null,
      inEverybodyRole: !serviceUser && (fields.flag('InEverybodyRole') ?? true),
      inSysAdminRole: fields.flag('InSysAdminRole') ?? false,
      forcePasswordChangeNext: fields.flag('ForcePasswordChangeNext') ?? true,
      passwordNeverExpire: oauthClient || (fields.flag('PasswordNeverExpire') ?? false),
      serviceUser,
      oauthClient,
    },
    password,
    sendsMail,
    sendsSms,
  };
}
