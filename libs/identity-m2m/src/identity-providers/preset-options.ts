import type { z } from 'zod';
import { field, type OptionFault, optionFaults } from '../foundation/option-check.js';
import { printableText, strayCharacters } from '../foundation/text.js';
import { type PlainHttp, parseUrl, urlFault } from '../foundation/url.js';

/**
 * A name that becomes a part of a path, by {@link inPath}: as the product's console shows it, with its blanks and
 * umlauts. A slash is no part of a name but of a path that was given in its place.
 */
export const pathSegment = (expected: string) =>
  field<string>(
    `${expected}, without slashes, and without blanks at its ends`,
    (value) => isIssuerName(value) && !/[/\\]/.test(value) && value !== '.' && value !== '..',
  );

/** A name as addresses have it (RFC 3986 §2.1). What is none, perhaps because it was left out, is for the check to report. */
export function inPath(name: unknown): string {
  const text = String(name);
  return text.isWellFormed() ? encodeURIComponent(text) : text;
}

/** An identifier whose case does not count, as tokens write it. What is none is left for the check to report. */
export function inLowerCase(identifier: unknown): string {
  return String(identifier).toLowerCase();
}

/** A host name, with a port where it has one. */
export const hostName = (expected: string) =>
  field<string>(
    expected,
    (value) => typeof value === 'string' && !/[\s/\\?#@]/.test(value) && parseUrl(`https://${value}`) !== undefined,
  );

/** A host name as tokens write it: in lower case, other letters than ASCII in Punycode. What is none is left as it is. */
export function hostOf(name: unknown): string {
  return parseUrl(`https://${String(name)}`)?.host ?? String(name);
}

/** An address without the slashes at its end, for adding a path to. What is no address is left for the check to report. */
export function withoutTrailingSlash(address: unknown): string {
  return String(address).replace(/\/+$/, '');
}

/**
 * What is wrong with the options of a preset: by their schema, and those of them that are addresses. An address that was
 * left out is none. Where the keys have an address of their own, the others may be names alone, which nothing is fetched
 * by: whether that is so is judged where the provider is used.
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
  plain_http: 'an https URL (plain http is for loopback, and not for production; see unsafeAllowHttp)',
} as const;

/**
 * Checks an option that is the address of an identity provider, or of one of its endpoints. These may have a query (RFC
 * 6749 §3.1, §3.2), an issuer or a tenant may not (RFC 8414 §2).
 */
export function addressFault(
  path: string,
  value: unknown,
  plainHttp: PlainHttp,
  { mayHaveQuery = false } = {},
): OptionFault[] {
  if (typeof value !== 'string') return [{ path, expected: EXPECTED.not_a_url, found: describeAddress(value) }];
  // The parser passes over what an issuer, compared to the letter, must not have.
  const stray = mayHaveQuery ? undefined : strayCharacters(value);
  if (stray !== undefined) return [{ path, expected: EXPECTED.not_a_url, found: `an address that ${stray}` }];
  const fault = urlFault(value, plainHttp);
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
