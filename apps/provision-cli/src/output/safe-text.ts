/** Characters that act on a terminal or on the order of text, and those that are unassigned. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Makes text from outside safe for a terminal: one line that cannot move the cursor, set a colour, turn the direction
 * or ring the bell. Letters of any script stay.
 */
export function printable(text: string, maxLength = 300): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(UNPRINTABLE, '?');
}

/** Returns a line of NDJSON that is safe for a terminal: unprintable characters are escaped. */
export function jsonLine(value: object): string {
  const json = JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, i) => escaped(character, i)).join(''),
  );
  return `${json}\n`;
}

function escaped(character: string, index: number): string {
  return `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
}

/** Removes values from a string. */
export type Mask = (text: string) => string;

/**
 * Makes a mask that replaces each value by `<field>`, as it is or encoded for JSON or a URL.
 *
 * A value of less than four characters is replaced only as a word of its own: inside other words it reveals nothing.
 */
export function maskOf(records: readonly Readonly<Record<string, unknown>>[]): Mask {
  const fields = new Map<string, string>();
  for (const record of records) {
    for (const [field, value] of Object.entries(record)) {
      if (typeof value !== 'string' || value === '') continue;
      for (const form of formsOf(value)) fields.set(form.toLowerCase(), field);
    }
  }
  if (fields.size === 0) return (text) => text;
  // The longest first: one value may be a part of another.
  const forms = [...fields.keys()].toSorted((a, b) => b.length - a.length);
  const pattern = new RegExp(forms.map(patternOf).join('|'), 'giu');
  return (text) => text.replace(pattern, (found) => `<${fields.get(found.toLowerCase()) ?? 'value'}>`);
}

function formsOf(value: string): Set<string> {
  const text = value.toWellFormed();
  return new Set([text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text)]);
}

function patternOf(form: string): string {
  const literal = form.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
  return form.length < 4 ? String.raw`(?<![\p{L}\p{N}])${literal}(?![\p{L}\p{N}])` : literal;
}
