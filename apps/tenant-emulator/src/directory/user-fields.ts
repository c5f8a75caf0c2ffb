import { ApiFailure } from '../rest-api/api-failure.js';
import type { RestFields } from '../rest-api/rest-body.js';
import type { UserProfile } from './user.js';

/** A user that is about to be created. */
export interface NewUser {
  readonly profile: UserProfile;
  /** Undefined: a random password. */
  readonly password: string | undefined;
  readonly sendsMail: boolean;
  readonly sendsSms: boolean;
}

/**
 * Reads the fields of CreateUser, with the defaults of the server: an invitation by mail, the Everybody role and a
 * forced change of the password. Ignores fields that only portals send.
 *
 * @param fullName Returns a name as stored.
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

/** Returns the profile after ChangeUser: fields missing in the call stay unchanged. */
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

const STATES = ['Locked', 'Disabled', 'Expired'];

/**
 * Reads a state of SetUserState: `None`, or one or more of the others, separated by commas.
 *
 * @throws {@link ApiFailure}
 */
export function userStateOf(text: string): string {
  if (text.trim().toLowerCase() === 'none') return 'None';
  const named = text.split(',').map((part) => part.trim().toLowerCase());
  const states = STATES.filter((state) => named.includes(state.toLowerCase()));
  if (states.length !== named.length) {
    throw new ApiFailure(null, 'The state must be None, or one or more of Locked, Disabled and Expired.');
  }
  return states.join(',');
}

/** Checks the complexity of a password. @throws {@link ApiFailure} */
export function requireComplexPassword(password: string): void {
  const complex =
    password.length >= 8 &&
    password.length <= 64 &&
    /\d/.test(password) &&
    /\p{Lu}/u.test(password) &&
    /\p{Ll}/u.test(password);
  if (!complex) throw new ApiFailure('_I18N_SetPasswordFailedNotComplex', TEXT);
}

const TEXT =
  'The password does not meet the complexity requirements. Password must be at least 8 characters long, not be longer ' +
  'than 64 characters, contain at least one digit, contain at least one upper and one lower case letter.';
