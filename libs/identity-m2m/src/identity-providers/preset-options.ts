import type { z } from 'zod';
import type { OptionFault } from '../foundation/option-fault.js';
import { optionFaults } from '../foundation/option-faults.js';
import { field } from '../foundation/option-field.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
import { parseUrl } from '../foundation/parse-url.js';
import { addressFault } from './address-fault.js';
import { isIssuerName } from './issuer-fault.js';

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
  http: HttpAllowance,
): OptionFault[] {
  const allowance = 'internalJwksUri' in options && options.internalJwksUri !== undefined ? 'anywhere' : http;
  return [
    ...optionFaults(schema, options),
    ...addresses.flatMap((path) => addressFault(path, options[path], allowance)),
  ];
}
