import type { z } from 'zod';
import type { OptionFault } from './option-fault.js';
import { printableText } from './printable-text.js';
import { strayCharacters } from './stray-characters.js';

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
  /^(?:applicationId|clientAuthentication|clientSecretMethod|tokenRequestFormat|start|scope|audience|origins|algorithms|maxTokenLength|\w+(?:Ms|Seconds|Bytes))$/;

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
