import type { Agent } from 'node:http';
import { z } from 'zod';
import { strayCharacters } from './stray-characters.js';
import { areCertificateAuthorities, type CertificateAuthorities } from './certificate-authorities.js';

/**
 * Fields of options. Each is a test and, in words, what passes it; what was found instead is added by `option-faults.ts`,
 * which takes care not to show a secret.
 */

export function field<T>(expected: string, test: (value: unknown) => boolean) {
  return z.custom<T>(test, expected);
}

/** A text that is not blank, and that can be encoded. */
export const text = (expected: string) => field<string>(expected, isText);

/** The same without what is copied along with a text: blanks and line breaks at its ends, control characters. */
export const cleanText = (expected: string) =>
  field<string>(`${expected}, without control characters and without blanks at its ends`, isCleanText);

/** One clean text or several. */
export const textOrTexts = (expected: string, test: (text: string) => boolean = () => true) =>
  field<string | readonly string[]>(expected, (value) => {
    const texts = Array.isArray(value) ? (value as unknown[]) : [value];
    return texts.length > 0 && texts.every((one) => isCleanText(one) && test(one));
  });

/** A list of texts, at least one. */
export const texts = (expected: string) =>
  field<readonly string[]>(expected, (value) => Array.isArray(value) && value.length > 0 && value.every(isText));

/** A list of clean texts, at least one. */
export const cleanTexts = (expected: string) =>
  field<readonly string[]>(expected, (value) => Array.isArray(value) && value.length > 0 && value.every(isCleanText));

export const flag = field<boolean>('true or false', (value) => typeof value === 'boolean');

export const oneOf = <T extends string>(values: readonly T[]) =>
  field<T>(`one of ${quoted(values)}`, (value) => values.includes(value as T));

/** A list whose members are all among these, at least one. */
export const someOf = <T extends string>(values: readonly T[]) =>
  field<readonly T[]>(
    `a list of some of ${quoted(values)}`,
    (value) => Array.isArray(value) && value.length > 0 && value.every((one) => values.includes(one as T)),
  );

/** A number with a unit, within bounds, both included. */
export const quantity = (unit: string, min: number, max: number) =>
  field<number>(
    `a number of ${unit} from ${min} to ${max}`,
    (value) => typeof value === 'number' && value >= min && value <= max,
  );

/**
 * What makes connections for `node:http` and `node:https`, such as one for a proxy. As Node.js judges it: older agents for
 * proxies descend from none of its own.
 */
export const anAgent = field<Agent>(
  'an agent of node:http or node:https',
  (value) =>
    typeof value === 'object' && value !== null && 'addRequest' in value && typeof value.addRequest === 'function',
);

export const certificateAuthorities = field<CertificateAuthorities>(
  'certificates of authorities in PEM: a string or Buffer, or a list of them, each with nothing but readable certificates',
  areCertificateAuthorities,
);

export const aFunction = <T extends (...args: never[]) => unknown>(expected: string) =>
  field<T>(expected, (value) => typeof value === 'function');

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.isWellFormed();
}

function isCleanText(value: unknown): value is string {
  return isText(value) && strayCharacters(value) === undefined;
}

function quoted(values: readonly string[]): string {
  return values.map((value) => `'${value}'`).join(', ');
}
