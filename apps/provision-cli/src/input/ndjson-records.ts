import { isUtf8 } from 'node:buffer';
import { type BadRecord, NOT_UTF8, type RawRecord } from './input-record.js';
import { type Line, MAX_LINE_BYTES } from './lines.js';

/** Reads lines that are a JSON object each (NDJSON). Blank lines are passed over; a member that is null is left out. */
export async function* ndjsonRecords(
  groups: AsyncIterable<readonly Line[]>,
): AsyncGenerator<readonly (RawRecord | BadRecord)[]> {
  for await (const lines of groups) {
    yield lines.flatMap((line) => recordOf(line) ?? []);
  }
}

function recordOf({ number, bytes, length }: Line): RawRecord | BadRecord | undefined {
  const place = { line: number, bytes: length };
  if (!bytes) return { ...place, fault: `is longer than ${MAX_LINE_BYTES} bytes` };
  if (!isUtf8(bytes)) return { ...place, fault: NOT_UTF8 };
  const text = bytes.toString('utf8').trim();
  if (text === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return { ...place, fault: 'is not a JSON object' };
    }
    return { ...place, fields: Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null)) };
  } catch {
    // What JSON.parse says quotes the line.
    return { ...place, fault: 'is not JSON' };
  }
}
