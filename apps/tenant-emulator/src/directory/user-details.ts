import { restDate } from '../rest-api/rest-date.js';
import type { User } from './user.js';

/** A user as GetUser and GetUserByName tell of it. */
export function userDetails(user: User) {
  return {
    Uuid: user.uuid,
    Name: user.name,
    Mail: user.mail,
    DisplayName: user.displayName,
    Alias: user.name.slice(user.name.indexOf('@') + 1),
    State: user.state,
    InEverybodyRole: user.inEverybodyRole,
    OauthClient: user.oauthClient,
    ReportsTo: user.reportsTo ?? 'Unassigned',
    MobileNumber: user.mobileNumber,
    CreateDate: restDate(user.createdAt),
    LastModifiedDate: restDate(user.modifiedAt),
    LastPasswordChangeDate: restDate(user.passwordChangedAt),
    Version: String(user.version),
  };
}
