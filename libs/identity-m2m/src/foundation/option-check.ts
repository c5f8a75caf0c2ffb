import type { Agent } from 'node:http';
import { z } from 'zod';
import { printableText, strayCharacters } from './text.js';
import { areCertificateAuthorities, type CertificateAuthorities } from './tls.js';

/** One invalid option. */
export interface OptionFault {
  /** Path of the option, from the root of the options: `client.allowedOrigins[1]`. */
  readonly path: string;
  /** What a valid value is. */
  readonly expected: string;
  /** What was found: never a secret, and only as much of a string as is needed to recognise it. */
  readonly found: string;
  /** The line of the error, if it is not `<path>: expected <expected>; found <found>`. */
  readonly line?: string;
}

/** Returns the line that describes a fault in an error. */
export function faultLine({ path, expected, found, line }: OptionFault): string {
  return line ?? `${path}: expected ${expected}; found ${found}`;
}

/**
 * Checks options against a schema. Returns every invalid option.
 *
 * @param root Path of these options within all options; empty for the root.
 * @param placeOf Returns where an option belongs that the schema does not have; undefined if it belongs nowhere.
 */
export function optionFaults(
  schema: z.ZodType,
  options: unknown,
  root = '',
  placeOf: (option: string) => string | undefined = () => undefined,
): OptionFault[] {
  if (options instanceof Promise) {
    const expected = 'an object with options, not a promise; use a factory for asynchronous options';
    return [{ path: root || 'options', expected, found: kindOf(options) }];
  }
  const result = schema.safeParse(options);
  if (result.success) return [];
  return result.error.issues.flatMap((issue): OptionFault[] => {
    if (issue.code === 'unrecognized_keys') {
      const known = knownOptions(schema, issue.path);
      return issue.keys.map((option) => {
        const path = [...issue.path, option];
        return {
          path: pathOf(root, path),
          expected: 'no such option',
          found: kindOf(valueAt(options, path)),
          line: `${pathOf(root, issue.path)}: ${unknownOption(option, known, placeOf(option))}`,
        };
      });
    }
    const expected = issue.code === 'invalid_type' ? 'an object with options' : issue.message;
    const isShown = issue.code === 'custom' && issue.params?.isShown === true;
    return [{ path: pathOf(root, issue.path), expected, found: found(valueAt(options, issue.path), isShown) }];
  });
}

/** Returns whether there is no fault in these fields or their members, nor in the options as a whole. */
export function areSound(fields: readonly string[], root: string, faults: readonly OptionFault[]): boolean {
  const isIn = (path: string, field: string) =>
    path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`);
  return !faults.some(({ path }) => path === root || fields.some((field) => isIn(path, `${root}.${field}`)));
}

function pathOf(root: string, path: readonly PropertyKey[]): string {
  const keys = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return [root, ...keys].join('').replace(/^\./, '') || 'options';
}

function valueAt(options: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], options);
}

function unknownOption(option: string, known: readonly string[], place: string | undefined): string {
  const problem = `unknown option "${printableText(option, 60)}"`;
  if (place !== undefined) return `${problem}; it belongs in ${place}`;
  const meant = closestName(option, known);
  return meant === undefined ? problem : `${problem}; did you mean "${meant}"?`;
}

/** Returns the names of the options that a schema knows at a path. */
function knownOptions(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const key of path) {
    at = unwrapped(at);
    at = at instanceof z.ZodArray ? at.element : at instanceof z.ZodObject ? at.shape[String(key)] : undefined;
  }
  at = unwrapped(at);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function unwrapped(schema: unknown): unknown {
  return schema instanceof z.ZodOptional ? schema.unwrap() : schema;
}

/** Returns the known name that a misspelt one resembles most; undefined if none is close. */
function closestName(name: string, known: readonly string[]): string | undefined {
  const limit = Math.min(3, Math.ceil(name.length / 4));
  const [closest] = known
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .toSorted((a, b) => a.edits - b.edits);
  return closest?.candidate;
}

/** Counts the insertions, deletions and substitutions of characters that turn one string into another (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1];
    for (let at = 0; at < to.length; at++) {
      next.push(Math.min(next[at]! + 1, row[at + 1]! + 1, row[at]! + (from[index] === to[at] ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length]!;
}

/** @param isShown Whether a string is shown: only if the field can hold no secret, not even by mistake. */
function found(value: unknown, isShown: boolean): string {
  if (value === '') return 'an empty string';
  if (!isShown) return kindOf(value);
  if (typeof value === 'number') return String(value);
  if (typeof value !== 'string') return kindOf(value);
  const stray = strayCharacters(value);
  return `${JSON.stringify(printableText(value, 60))}${stray === undefined ? '' : `, which ${stray}`}`;
}

/** Describes a string without showing it. Stray characters at its ends are often all that is wrong. */
function describeString(value: string): string {
  const stray = strayCharacters(value);
  return stray === undefined || value.trim() === '' ? 'a string' : `a string that ${stray}`;
}

/** Names the first member with stray characters at its ends, as in a list that was split at its commas. */
function describeList(list: readonly unknown[]): string {
  const strays = list.map((member) => (typeof member === 'string' ? strayCharacters(member) : undefined));
  const at = strays.findIndex((stray) => stray !== undefined);
  return at < 0 ? `a list of ${list.length}` : `a list of ${list.length} whose [${at}] ${strays[at]}`;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return describeString(value);
  if (typeof value === 'number' || typeof value === 'bigint') return 'a number';
  if (Array.isArray(value)) return describeList(value);
  if (value instanceof Promise) return 'a promise';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/**
 * A field of a schema: a test, and a description of what passes it. Errors do not show the value, because it may be a
 * secret, in its own place or in a wrong one.
 */
export function field<T>(expected: string, test: (value: unknown) => boolean) {
  return z.custom<T>(test, expected);
}

/** A field whose value is shown in errors: for fields that hold no secret. */
export function shownField<T>(expected: string, test: (value: unknown) => boolean) {
  return z.custom<T>(test, { error: expected, params: { isShown: true } });
}

/** A well-formed string that is not blank. */
export const text = (expected: string) => field<string>(expected, isText);

/** A string without what copying adds: surrounding whitespace and control characters. */
export const cleanText = (expected: string) =>
  field<string>(`${expected}, without control characters or surrounding whitespace`, isCleanText);

/** A list of clean strings, at least one. */
export const cleanTexts = (expected: string) =>
  field<readonly string[]>(expected, (value) => Array.isArray(value) && areCleanTexts(value));

export const flag = field<boolean>('true or false', (value) => typeof value === 'boolean');

export const oneOf = <T extends string>(values: readonly T[]) =>
  shownField<T>(`one of ${quoted(values)}`, (value) => values.includes(value as T));

/** A list whose members are all among these, at least one. */
export const someOf = <T extends string>(values: readonly T[]) =>
  shownField<readonly T[]>(
    `a list of one or more of ${quoted(values)}`,
    (value) => Array.isArray(value) && value.length > 0 && value.every((one) => values.includes(one as T)),
  );

/** A number with a unit, from `min` to `max`. */
export const quantity = (unit: string, min: number, max: number) =>
  shownField<number>(
    `a number of ${unit} from ${min} to ${max}`,
    (value) => typeof value === 'number' && value >= min && value <= max,
  );

/**
 * An agent that opens connections for `node:http` and `node:https`, such as one for a proxy. Checked as Node.js checks
 * it: older agents for proxies extend none of its classes.
 */
export const anAgent = field<Agent>(
  'an agent of node:http or node:https',
  (value) =>
    typeof value === 'object' && value !== null && 'addRequest' in value && typeof value.addRequest === 'function',
);

export const certificateAuthorities = field<CertificateAuthorities>(
  'CA certificates in PEM: a string or Buffer, or a list of them, each with only valid certificates',
  areCertificateAuthorities,
);

export const aFunction = <T extends (...args: never[]) => unknown>(expected: string) =>
  field<T>(expected, (value) => typeof value === 'function');

/** Whether a value is a well-formed string that is not blank. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '' && value.isWellFormed();
}

/** Whether a value is such a string without control characters and without surrounding whitespace. */
export function isCleanText(value: unknown): value is string {
  return isText(value) && strayCharacters(value) === undefined;
}

/** Whether a value is a list of such strings, at least one. */
export function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isText);
}

/** Whether a value is one clean string, or a list of at least one, and each passes the test. */
export function areCleanTexts(value: unknown, test: (text: string) => boolean = () => true): boolean {
  const texts: unknown[] = Array.isArray(value) ? value : [value];
  return texts.length > 0 && texts.every((one) => isCleanText(one) && test(one));
}

function quoted(values: readonly string[]): string {
  return values.map((value) => `'${value}'`).join(', ');
}
