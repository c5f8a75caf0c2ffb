import type { OptionFault } from '../foundation/option-fault.js';
import { strayCharacters } from '../foundation/stray-characters.js';
import { describeAddress } from './address-fault.js';

/** Longest issuer identifier, in characters. */
const MAX_LENGTH = 1024;

/**
 * Whether a text can be an issuer identifier: any StringOrURI (RFC 7519 §4.1.1). It is compared to the letter and never
 * resolved. Control characters and blanks at the ends are in no token: they come from copying.
 */
export function isIssuerName(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    name !== '' &&
    name.length <= MAX_LENGTH &&
    name.isWellFormed() &&
    strayCharacters(name) === undefined
  );
}

/** Checks an option that names an issuer, where nothing is fetched by that name. */
export function issuerFault(path: string, value: unknown): OptionFault[] {
  if (isIssuerName(value)) return [];
  const expected = 'an issuer identifier, to the letter as in its tokens, without blanks at its ends';
  return [{ path, expected, found: describeAddress(value) }];
}
