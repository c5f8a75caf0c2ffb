import { ApiFailure } from '../rest-api/api-failure.js';

/** @throws {@link ApiFailure} if the password is not complex enough. */
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
