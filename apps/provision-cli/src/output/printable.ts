/** Characters that do something to a terminal or to the order of a text, and those that are nothing. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Makes text from outside fit for a terminal: one line, in which nothing moves the cursor, sets a colour, turns the
 * direction or rings the bell. Letters of any script stay.
 */
export function printable(text: string, maxLength = 300): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(UNPRINTABLE, '?');
}

/** A line of NDJSON that is fit for a terminal too: what would act on it is escaped, and reads as the same JSON. */
export function jsonLine(value: object): string {
  return `${printableJson(JSON.stringify(value))}\n`;
}

/** JSON in which no unprintable character stands as itself; line breaks between members stay. */
export function printableJson(json: string): string {
  return json.replace(UNPRINTABLE, (character) =>
    character === '\n' ? character : [...Array(character.length).keys()].map((i) => escaped(character, i)).join(''),
  );
}

function escaped(character: string, index: number): string {
  return `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
}
