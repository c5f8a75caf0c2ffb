/**
 * Reads response headers of any form that clients and their mocks have them in, into a plain record.
 *
 * @param headers A record of any class, with values that are strings, numbers or lists; a `Map`, the `Headers` of the Fetch
 * standard or another list of pairs; nothing at all.
 * @returns Values by their names in lower case. Several of one name are joined (RFC 9110 §5.3).
 */
export function headerRecord(headers: unknown): Readonly<Record<string, string>> {
  const record: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of entriesOf(headers)) {
    const text = textOf(value);
    if (text === undefined) continue;
    const lower = String(name).toLowerCase();
    record[lower] = lower in record ? `${record[lower]}, ${text}` : text;
  }
  return record;
}

function entriesOf(headers: unknown): (readonly [unknown, unknown])[] {
  if (typeof headers !== 'object' || headers === null) return [];
  if (!(Symbol.iterator in headers)) return Object.entries(headers);
  return [...(headers as Iterable<unknown>)].filter(
    (entry): entry is [unknown, unknown] => Array.isArray(entry) && entry.length === 2,
  );
}

function textOf(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.map(String).join(', ');
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
