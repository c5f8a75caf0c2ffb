import type { z } from 'zod';
import type { OptionFault } from '../foundation/option-fault.js';
import { optionFaults } from '../foundation/option-faults.js';
import { field } from '../foundation/option-field.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
import { addressFault } from './address-fault.js';

/** A part of an address: no blanks, and nothing that would end it early. */
export const pathSegment = (expected: string) =>
  field<string>(expected, (value) => typeof value === 'string' && /^[\w.~!$&'()*+,;=:@-]+$/.test(value));

/** A host name, with a port where it has one. */
export const hostName = (expected: string) =>
  field<string>(expected, (value) => typeof value === 'string' && /^[a-z0-9.-]+(?::\d+)?$/i.test(value));

/** A host name as tokens write it. What is none, perhaps because it was left out, is for the check to report. */
export function inLowerCase(host: unknown): string {
  return String(host).toLowerCase();
}

/** An address without the slashes at its end, for adding a path to. What is no address is left for the check to report. */
export function withoutTrailingSlash(address: unknown): string {
  return String(address).replace(/\/+$/, '');
}

/**
 * What is wrong with the options of a preset: by their schema, and those of them that are addresses. An address that was
 * left out is none.
 */
export function presetFaults<Options extends object>(
  options: Options,
  schema: z.ZodType,
  addresses: readonly (keyof Options & string)[],
  http: HttpAllowance,
): OptionFault[] {
  return [...optionFaults(schema, options), ...addresses.flatMap((path) => addressFault(path, options[path], http))];
}
