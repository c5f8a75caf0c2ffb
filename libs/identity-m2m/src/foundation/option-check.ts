import type { Agent } from 'node:http';
import { z } from 'zod';
import { printableText, strayCharacters } from './text.js';
import { areCertificateAuthorities, type CertificateAuthorities } from './tls.js';

/** One wrong field of the options that a user wrote. */
export interface OptionFault {
  /** Where it stands, from the root of the options: `client.allowedOrigins[1]`. */
  readonly path: string;
  /** What would be right, in words. */
  readonly expected: string;
  /** What stands there. Never a secret, and never more of a text than is needed to find it. */
  readonly found: string;
}

/**
 * What a schema finds wrong with options, field by field.
 *
 * @param root Where the options stand in those of the whole; empty for the whole itself.
 * @param placeOf Says where an option belongs that is unknown in its place, if it has a place elsewhere.
 */
export function optionFaults(
  schema: z.ZodType,
  options: unknown,
  root = '',
  placeOf: (option: string) => string | undefined = () => undefined,
): OptionFault[] {
  if (options instanceof Promise) {
    const expected = 'the options themselves; those that have to be waited for go through forRootAsync({ useFactory })';
    return [{ path: root || 'options', expected, found: kindOf(options) }];
  }
  const result = schema.safeParse(options);
  if (result.success) return [];
  return result.error.issues.flatMap((issue): OptionFault[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => {
        const path = [...issue.path, key];
        const place = placeOf(key);
        const expected = place ? `no such option here: its place is ${place}` : 'no such option (is it misspelt?)';
        return { path: pathOf(root, path), expected, found: kindOf(valueAt(options, path)) };
      });
    }
    const expected = issue.code === 'invalid_type' ? 'an object with options' : issue.message;
    const option = String(issue.path.at(-1) ?? '');
    return [{ path: pathOf(root, issue.path), expected, found: found(valueAt(options, issue.path), option) }];
  });
}

function pathOf(root: string, path: readonly PropertyKey[]): string {
  const keys = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return [root, ...keys].join('').replace(/^\./, '') || 'options';
}

function valueAt(options: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], options);
}

/** Options whose content is shown. That of any other might be a secret, in its own place or in a wrong one. */
const SHOWN =
  /^(?:applicationId|clientAuthentication|clientSecretMethod|tokenRequestFormat|start|scope|audience|allowedOrigins|algorithms|maxTokenLength|\w+(?:Ms|Seconds|Bytes))$/;

function found(value: unknown, option: string): string {
  if (value === '') return 'an empty text';
  if (!SHOWN.test(option)) return kindOf(value);
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string') return kindOf(value);
  const stray = strayCharacters(value);
  return `${JSON.stringify(printableText(value, 60))}${stray === undefined ? '' : `, which ${stray}`}`;
}

/** Not the text itself: what is odd about its ends is often all that is wrong with it. */
function describeText(text: string): string {
  const stray = strayCharacters(text);
  return stray === undefined || text.trim() === '' ? 'a text' : `a text that ${stray}`;
}

/** With the first member that has something odd about its ends: a list that was split at its commas, say. */
function describeList(list: readonly unknown[]): string {
  const strays = list.map((member) => (typeof member === 'string' ? strayCharacters(member) : undefined));
  const at = strays.findIndex((stray) => stray !== undefined);
  return at < 0 ? `a list of ${list.length}` : `a list of ${list.length} whose [${at}] ${strays[at]}`;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return describeText(value);
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number';
  if (Array.isArray(value)) return describeList(value);
  if (value instanceof Promise) return 'a promise';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

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
