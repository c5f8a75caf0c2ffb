/** Most objects that are looked into: errors are small, and one that is not should cost no more than this. */
const MAX_OBJECTS = 200;

const REDACTED = '[access token]';

/**
 * The shortest token that is taken out wherever it stands, in characters: the letters of a shorter one are in words that an
 * error needs, and in its code.
 */
const SHORTEST_REDACTED = 8;

/**
 * Takes a token out of an error and of what hangs on it: of clients for brokers, some put the command that failed on their
 * errors, and a receiver may repeat what it was sent. A short one is taken out with its scheme alone.
 *
 * Only plain data and errors are looked into. Anything else, such as a connection, is at work for other calls too.
 *
 * @returns The error itself, changed where it must be; another text where it was one.
 */
export function withoutText(error: unknown, text: string): unknown {
  const scheme = text.length < SHORTEST_REDACTED ? 'Bearer ' : '';
  const redacted = redaction(`${scheme}${text}`, `${scheme}${REDACTED}`);
  if (typeof error === 'string') return redacted(error);
  const seen = new Set<unknown>();
  const queue = [error];
  for (let value = queue.shift(); value !== undefined && seen.size < MAX_OBJECTS; value = queue.shift()) {
    if (!isPlain(value) || seen.has(value)) continue;
    seen.add(value);
    for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
      // In newer versions of Node.js the stack is an accessor, and the only one whose reading is known to do nothing else.
      const member: unknown = key === 'stack' && value instanceof Error ? value.stack : descriptor.value;
      if (typeof member === 'string') {
        const rest = redacted(member);
        if (rest !== member) Reflect.set(value, key, rest);
      } else if (typeof member === 'object' && member !== null) queue.push(member);
    }
  }
  return error;
}

/** Puts something in the place of a text in others, however it is spelt there. */
function redaction(text: string, substitute: string): (from: string) => string {
  // Stays as it is in each spelling, and is looked for first because that takes no time.
  const [unchanged = ''] = (text.match(/[a-z\d]+/gi) ?? []).toSorted((a, b) => b.length - a.length);
  let wanted: string | undefined;
  return (from) => {
    if (!from.includes(unchanged)) return from;
    wanted ??= read(text).characters;
    if (wanted === '') return from;
    const { characters, starts, ends } = read(from);
    let rest = '';
    let at = 0;
    for (let found = characters.indexOf(wanted); found >= 0;) {
      rest += from.slice(at, starts[found]) + substitute;
      at = ends[found + wanted.length - 1]!;
      found = characters.indexOf(wanted, found + wanted.length);
    }
    return rest + from.slice(at);
  };
}

/** A character that a URL or JSON has as its code, once or several times over; backslashes in a row; any other character. */
const UNIT = /(?:%|\\+u0025)(?:25)*([\da-f]{2})|\\+u00([\da-f]{2})|\\+|[^]/gi;

/**
 * Reads a text as if its writer had escaped nothing: writers of JSON and of URLs differ in what they escape, and JSON may be
 * within JSON. Backslashes are left out, and a blank is the plus sign that it is within a form.
 *
 * @returns The characters, and of each where it begins and ends in the text.
 */
function read(text: string) {
  const starts: number[] = [];
  const ends: number[] = [];
  let characters = '';
  for (const { 0: unit, 1: inUrl, 2: inJson, index } of text.matchAll(UNIT)) {
    const code = inUrl ?? inJson;
    const character = code === undefined ? unit : String.fromCharCode(parseInt(code, 16));
    if (character.startsWith('\\')) continue;
    characters += character === ' ' ? '+' : character;
    starts.push(index);
    ends.push(index + unit.length);
  }
  return { characters, starts, ends };
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value) || value instanceof Error) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
