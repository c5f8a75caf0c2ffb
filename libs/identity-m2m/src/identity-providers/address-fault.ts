import type { OptionFault } from '../foundation/option-fault.js';
import { strayCharacters } from '../foundation/stray-characters.js';
import { printableText } from '../foundation/printable-text.js';
import { type HttpAllowance, urlFault } from '../foundation/secure-url.js';

const EXPECTED = {
  not_a_url: 'an absolute https URL',
  not_http: 'an absolute https URL',
  has_userinfo: 'an absolute https URL without user name and password',
  plain_http: 'an https URL (plain http is for loopback, and not for production; see unsafeAllowHttp)',
} as const;

/**
 * Checks an option that is the address of an identity provider, or of one of its endpoints. These may have a query (RFC
 * 6749 §3.1, §3.2), an issuer or a tenant may not (RFC 8414 §2).
 */
export function addressFault(
  path: string,
  value: unknown,
  http: HttpAllowance,
  { mayHaveQuery = false } = {},
): OptionFault[] {
  if (typeof value !== 'string') return [{ path, expected: EXPECTED.not_a_url, found: describeAddress(value) }];
  // The parser passes over what an issuer, compared to the letter, must not have.
  const stray = mayHaveQuery ? undefined : strayCharacters(value);
  if (stray !== undefined) return [{ path, expected: EXPECTED.not_a_url, found: `an address that ${stray}` }];
  const fault = urlFault(value, http);
  if (fault) return [{ path, expected: EXPECTED[fault], found: describeAddress(value) }];
  const { search, hash } = new URL(value);
  if (hash !== '') return [{ path, expected: 'a URL without fragment', found: describeAddress(value) }];
  if (search === '' || mayHaveQuery) return [];
  return [{ path, expected: 'a URL without query', found: describeAddress(value) }];
}

/** Shows an address as it was found, without what may be a password in it. */
export function describeAddress(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : typeof value;
  return value.includes('@') ? 'an address with user name or password' : JSON.stringify(printableText(value, 80));
}
