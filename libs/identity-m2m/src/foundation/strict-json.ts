/** Why a text is not acceptable JSON. */
export type StrictJsonFault = 'not_json' | 'not_an_object' | 'unreadable_name' | 'duplicate_member' | 'too_deep';

export type StrictJsonResult =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly fault: StrictJsonFault };

/** Deeper than any header, claims set or OAuth answer; shallow enough for any recursion over the result. */
const MAX_DEPTH = 32;

const QUOTATION_MARK = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/**
 * Reads a JSON object whose member names are unique at every level (RFC 7515 §4, RFC 7519 §4, RFC 8259 §4).
 *
 * `JSON.parse` keeps the last of two equal members and other parsers keep the first, so a text with both means
 * different things to different readers: it is refused. What was kept is fewer members than were written, then, however
 * a name was spelt. Runs in time linear in the length of the text.
 *
 * `JSON.parse` of Node.js 24 also mistakes a name with an escape sequence for another: after `{"a":1,"\\":1}` it reads
 * `{"a":1,"\u0061":2}` as having the members `a` and `\`. It is only given names without, therefore; a name that can't
 * be written so, for its quotation mark, backslash or control character, is refused.
 */
export function parseStrictJsonObject(text: string): StrictJsonResult {
  const result = parseStrictJson(text);
  if (!result.ok) return result;
  const { value } = result;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { ok: false, fault: 'not_an_object' };
  return { ok: true, value: value as Record<string, unknown> };
}

/** The same for any JSON value, an array for example. */
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

/** How many members a value's objects have, at every level; undefined where it is too deep. */
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
  /** The same JSON, each name spelt with as few escape sequences as can be. */
  readonly text: string;
  /** How many members there are. */
  readonly count: number;
  /** Whether no name has an escape sequence left. */
  readonly areReadable: boolean;
}

/**
 * The member names of a text: in valid JSON each is the string before a colon, and no colon but in a string is another's.
 *
 * @throws {SyntaxError} where a name is none; of other faults it knows nothing
 */
function readNames(text: string): WrittenNames {
  let spelt = '';
  let speltTo = 0;
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
      spelt += text.slice(speltTo, string.start) + name;
      speltTo = string.end;
    }
  }
  return { text: spelt + text.slice(speltTo), count, areReadable };
}
