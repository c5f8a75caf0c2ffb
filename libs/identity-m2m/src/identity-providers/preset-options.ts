import type { z } from 'zod';
import { field, type OptionFault, optionFaults } from '../foundation/option-check.js';
import { printableText, strayCharacters } from '../foundation/text.js';
import { type PlainHttp, parseUrl, urlFault } from '../foundation/url.js';

/**
 * A name that becomes a path segment by {@link encodedSegment}: as the product's console shows it, with spaces and
 * umlauts. A slash shows that a path was passed instead of a name.
 */
export const pathSegment = (expected: string) =>
  field<string>(
    `${expected}, without slashes or surrounding whitespace`,
    (value) => isIssuerName(value) && !/[/\\]/.test(value) && value !== '.' && value !== '..',
  );

/** Returns a name percent-encoded (RFC 3986 §2.1). Leaves an invalid name to the check of the options. */
export function encodedSegment(name: unknown): string {
  const text = String(name);
  return text.isWellFormed() ? encodeURIComponent(text) : text;
}

/** Returns a case-insensitive identifier as it appears in tokens. Leaves an invalid one to the check of the options. */
export function inLowerCase(identifier: unknown): string {
  return String(identifier).toLowerCase();
}

/** A host name, with or without a port. */
export const hostName = (expected: string) =>
  field<string>(
    expected,
    (value) => typeof value === 'string' && !/[\s/\\?#@]/.test(value) && parseUrl(`https://${value}`) !== undefined,
  );

/** Returns a host name as it appears in tokens: in lower case and Punycode. Returns an invalid one unchanged. */
export function hostOf(name: unknown): string {
  return parseUrl(`https://${String(name)}`)?.host ?? String(name);
}

/** Returns an address without trailing slashes. Leaves an invalid one to the check of the options. */
export function withoutTrailingSlash(address: unknown): string {
  return String(address).replace(/\/+$/, '');
}

/**
 * Returns what is invalid in the options of a preset and in the addresses among them. With `internalJwksUri`, the
 * addresses may be mere names, so plain http is valid here. The client or guard that uses the provider checks the
 * addresses that it fetches.
 */
export function presetFaults<Options extends object>(
  options: Options,
  schema: z.ZodType,
  addresses: readonly (keyof Options & string)[],
  plainHttp: PlainHttp,
): OptionFault[] {
  const allowance = 'internalJwksUri' in options && options.internalJwksUri !== undefined ? 'anywhere' : plainHttp;
  return [
    ...optionFaults(schema, options),
    ...addresses.flatMap((path) => addressFault(path, options[path], allowance)),
  ];
}

const EXPECTED = {
  not_a_url: 'an absolute https URL',
  not_http: 'an absolute https URL',
  has_userinfo: 'an absolute https URL without user name and password',
  plain_http: 'an https URL (plain http is allowed only for loopback outside production; see unsafeAllowHttp)',
} as const;

/**
 * Checks the address of an identity provider or of an endpoint. An endpoint may have a query (RFC 6749 §3.1, §3.2); an
 * issuer or a tenant may not (RFC 8414 §2).
 */
export function addressFault(
  path: string,
  value: unknown,
  plainHttp: PlainHttp,
  { mayHaveQuery = false } = {},
): OptionFault[] {
  if (typeof value !== 'string') return [{ path, expected: EXPECTED.not_a_url, found: describeAddress(value) }];
  // The URL parser ignores characters that an issuer must not have, because it is compared exactly.
  const stray = mayHaveQuery ? undefined : strayCharacters(value);
  if (stray !== undefined) return [{ path, expected: EXPECTED.not_a_url, found: `an address that ${stray}` }];
  const fault = urlFault(value, plainHttp);
  if (fault) return [{ path, expected: EXPECTED[fault], found: describeAddress(value) }];
  const { search, hash } = new URL(value);
  if (hash !== '') return [{ path, expected: 'a URL without fragment', found: describeAddress(value) }];
  if (search === '' || mayHaveQuery) return [];
  return [{ path, expected: 'a URL without query', found: describeAddress(value) }];
}

/** Describes an address for errors, without a password that it may contain. */
export function describeAddress(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : typeof value;
  return value.includes('@') ? 'an address with user name or password' : JSON.stringify(printableText(value, 80));
}

/** Maximum length of an issuer identifier, in characters. */
const MAX_LENGTH = 1024;

/**
 * Whether a value can be an issuer identifier: any StringOrURI (RFC 7519 §4.1.1). It is compared exactly and never
 * resolved. Control characters and surrounding whitespace come from copying; no token has them.
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

/** Checks the identifier of an issuer through which nothing is discovered. */
export function issuerFault(path: string, value: unknown): OptionFault[] {
  if (isIssuerName(value)) return [];
  const expected = 'an issuer identifier, exactly as in its tokens, without surrounding whitespace';
  return [{ path, expected, found: describeAddress(value) }];
}
