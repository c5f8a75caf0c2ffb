/** Takes values out of a text. */
export type Mask = (text: string) => string;

/**
 * Makes a mask that puts `<field>` in the place of each value, as it is or encoded for JSON or a URL.
 *
 * A value of less than four characters is replaced only as a word of its own: inside of other words it says nothing.
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
