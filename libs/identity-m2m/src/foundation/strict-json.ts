/** Why a text is not acceptable JSON. */
export type StrictJsonFault = 'not_json' | 'not_an_object' | 'duplicate_member' | 'too_deep';

export type StrictJsonResult =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly fault: StrictJsonFault };

/** Deeper than any header, claims set or OAuth answer; shallow enough for any recursion over the result. */
const MAX_DEPTH = 32;

/**
 * Reads a JSON object whose member names are unique at every level (RFC 7515 §4, RFC 7519 §4, RFC 8259 §4).
 *
 * `JSON.parse` keeps the last of two equal members and other parsers keep the first, so a text with both means
 * different things to different readers: it is refused. What was kept is fewer members than were written, then, however
 * a name was spelt. Runs in time linear in the length of the text.
 */
export function parseStrictJsonObject(text: string): StrictJsonResult {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, fault: 'not_json' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, fault: 'not_an_object' };
  }
  const kept = countMembers(value, 1);
  if (kept === undefined) return { ok: false, fault: 'too_deep' };
  if (kept !== countMembersWritten(text)) return { ok: false, fault: 'duplicate_member' };
  return { ok: true, value: value as Record<string, unknown> };
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

/** How many members stand in a text that is known to be valid JSON: each has a colon, and no colon but in a string is another's. */
function countMembersWritten(text: string): number {
  let count = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === 0x22 /* " */) isInString = !isInString;
    else if (isInString && character === 0x5c /* \ */) at++;
    else if (!isInString && character === 0x3a /* : */) count++;
  }
  return count;
}
