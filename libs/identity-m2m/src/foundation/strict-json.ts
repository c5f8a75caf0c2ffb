/** Why a string is not valid strict JSON. */
export type StrictJsonFault = 'not_json' | 'not_an_object' | 'unreadable_name' | 'duplicate_member' | 'too_deep';

export type StrictJsonResult =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly fault: StrictJsonFault };

/** Maximum depth: more than any header, claims set or OAuth response needs, and safe for recursion over the result. */
const MAX_DEPTH = 32;

const QUOTATION_MARK = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/**
 * Parses a JSON object whose member names are unique at every level (RFC 7515 §4, RFC 7519 §4, RFC 8259 §4).
 *
 * `JSON.parse` keeps the last of two members with the same name, and other parsers keep the first. A string with both
 * would mean different things to different readers, so it is rejected: its value has fewer members than the text, in
 * whatever way the names are escaped. The time is linear in the length of the text.
 *
 * `JSON.parse` of Node.js 24 also confuses names with escape sequences: after `{"a":1,"\\":1}` it reads
 * `{"a":1,"\u0061":2}` as the members `a` and `\`. So it receives names without escape sequences. A name that needs
 * one, for a quotation mark, backslash or control character, is rejected.
 */
export function parseStrictJsonObject(text: string): StrictJsonResult {
  const result = parseStrictJson(text);
  if (!result.ok) return result;
  const { value } = result;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { ok: false, fault: 'not_an_object' };
  return { ok: true, value: value as Record<string, unknown> };
}

/** Parses any JSON value, such as an array, by the same rules. */
export function parseStrictJson(
  text: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly fault: StrictJsonFault } {
  let written: WrittenNames;
  let value: unknown;
  try {
    written = readNames(text);
    value = JSON.parse(written.text);
  } catch {
    return { ok: false, fault: 'not_json' };
  }
  if (!written.areReadable) return { ok: false, fault: 'unreadable_name' };
  const kept = typeof value === 'object' && value !== null ? countMembers(value, 1) : 0;
  if (kept === undefined) return { ok: false, fault: 'too_deep' };
  if (kept !== written.count) return { ok: false, fault: 'duplicate_member' };
  return { ok: true, value };
}

/** Returns the number of members of a value's objects, at every level; undefined if it is too deep. */
function countMembers(value: object, depth: number): number | undefined {
  if (depth > MAX_DEPTH) return undefined;
  const within: unknown[] = Object.values(value);
  let count = Array.isArray(value) ? 0 : within.length;
  for (const one of within) {
    if (typeof one !== 'object' || one === null) continue;
    const more = countMembers(one, depth + 1);
    if (more === undefined) return undefined;
    count += more;
  }
  return count;
}

interface WrittenNames {
  /** The same JSON, with as few escape sequences in names as possible. */
  readonly text: string;
  /** Number of members. */
  readonly count: number;
  /** Whether no name has an escape sequence left. */
  readonly areReadable: boolean;
}

/**
 * Reads the member names of a string. In valid JSON, each is the string before a colon outside of strings.
 *
 * @throws {SyntaxError} if a name is invalid. Does not check the rest of the text.
 */
function readNames(text: string): WrittenNames {
  let rewritten = '';
  let writtenTo = 0;
  let count = 0;
  let areReadable = true;
  let string = { start: 0, end: 0, isEscaped: false };
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (isInString) {
      if (character === BACKSLASH) {
        string.isEscaped = true;
        at++;
      } else if (character === QUOTATION_MARK) {
        string.end = at + 1;
        isInString = false;
      }
    } else if (character === QUOTATION_MARK) {
      string = { start: at, end: at, isEscaped: false };
      isInString = true;
    } else if (character === COLON) {
      count++;
      if (!string.isEscaped) continue;
      const name = JSON.stringify(JSON.parse(text.slice(string.start, string.end)));
      areReadable &&= !name.includes('\\');
      rewritten += text.slice(writtenTo, string.start) + name;
      writtenTo = string.end;
    }
  }
  return { text: rewritten + text.slice(writtenTo), count, areReadable };
}
