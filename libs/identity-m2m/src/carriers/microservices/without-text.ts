/** Most objects that are looked into: errors are small, and one that is not should cost no more than this. */
const MAX_OBJECTS = 200;

const REDACTED = '[access token]';

/**
 * Takes a text out of an error and of what hangs on it: of clients for brokers, some put the command that failed on their
 * errors, and a receiver may repeat what it was sent.
 *
 * Only plain data and errors are looked into. Anything else, such as a connection, is at work for other calls too.
 *
 * @returns The error itself, changed where it must be; another text where it was one.
 */
export function withoutText(error: unknown, text: string): unknown {
  const spellings = spellingsOf(text);
  const redacted = (member: string) =>
    spellings.reduce((rest, spelling) => rest.replaceAll(spelling, REDACTED), member);
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
        if (spellings.some((spelling) => member.includes(spelling))) Reflect.set(value, key, redacted(member));
      } else if (typeof member === 'object' && member !== null) queue.push(member);
    }
  }
  return error;
}

/** As it is, within JSON, and within a URL or a form: an opaque token may have characters that these escape. */
function spellingsOf(text: string): readonly string[] {
  const form = new URLSearchParams([['', text]]).toString().slice(1);
  return [...new Set([text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text), form])];
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value) || value instanceof Error) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
