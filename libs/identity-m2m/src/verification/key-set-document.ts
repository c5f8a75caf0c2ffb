import { parseStrictJsonObject, type StrictJsonResult } from '../foundation/strict-json.js';

/**
 * Reads the text of a key set (RFC 7517 §5).
 *
 * A key whose text is not acceptable, because a member stands in it twice, say, is taken out and stands for a key of no
 * form: which of its readings its issuer means nobody knows, and the others are as good as before. Anything else that is
 * not acceptable makes the whole text so.
 */
export function parseKeySetDocument(text: string): StrictJsonResult {
  const document = parseStrictJsonObject(text);
  return document.ok || document.fault === 'not_json' ? document : parseStrictJsonObject(withoutFaultyEntries(text));
}

/** @param text JSON. */
function withoutFaultyEntries(text: string): string {
  let kept = '';
  let keptTo = 0;
  for (const [start, end] of listedObjects(text)) {
    if (parseStrictJsonObject(text.slice(start, end)).ok) continue;
    kept += `${text.slice(keptTo, start)}null`;
    keptTo = end;
  }
  return kept + text.slice(keptTo);
}

/** How deep an object lies that is an entry of a list that is a member of the whole. */
const ENTRY_DEPTH = 3;

/** Where such objects begin and end. */
function* listedObjects(text: string): Iterable<readonly [start: number, end: number]> {
  let depth = 0;
  let start = 0;
  // Strings are taken as wholes, so that no bracket in one counts.
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '{' || token === '[') {
      if (++depth === ENTRY_DEPTH) start = index;
    } else if (token === '}' || token === ']') {
      if (depth-- === ENTRY_DEPTH && token === '}') yield [start, index + 1];
    }
  }
}
