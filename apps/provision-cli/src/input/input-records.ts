import { isUtf8 } from 'node:buffer';
import { csvRecords } from './csv-records.js';
import { type BadRecord, type InputRecord, isBad, NOT_UTF8, type RawRecord } from './input-record.js';
import { detectFormat, type InputFormat } from './input-source.js';
import { type Line, MAX_LINE_BYTES, readLines } from './lines.js';
import { checkUser } from './user-fields.js';

/**
 * Reads and checks the records of an input, in groups as they arrive. Memory does not grow with the input.
 *
 * @param format Undefined: detected by the first line.
 * @throws InputError
 */
export async function* inputRecords(
  source: AsyncIterable<Buffer>,
  format: InputFormat | undefined,
): AsyncGenerator<readonly InputRecord[]> {
  const input = await detectFormat(readLines(source), format);
  const read = input.format === 'ndjson' ? ndjsonRecords : csvRecords;
  const names = new NameForms();
  for await (const group of read(input.lines)) {
    yield group.map((record) => (isBad(record) ? record : checked(record, names)));
  }
}

function checked({ fields, ...place }: RawRecord, names: NameForms): InputRecord {
  const user = checkUser(fields);
  const twin = names.add(fields, place.line);
  if ('fault' in user || twin === undefined) return { ...place, ...user };
  return { ...place, fault: `name is that of line ${twin} in another Unicode form (NFC, NFD): it is the same user` };
}

/** Reads lines of one JSON object each (NDJSON). Skips blank lines, and leaves out members that are null. */
async function* ndjsonRecords(
  groups: AsyncIterable<readonly Line[]>,
): AsyncGenerator<readonly (RawRecord | BadRecord)[]> {
  for await (const lines of groups) yield lines.flatMap((line) => ndjsonRecord(line) ?? []);
}

function ndjsonRecord({ number, bytes, length }: Line): RawRecord | BadRecord | undefined {
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
    // The message of JSON.parse quotes the line.
    return { ...place, fault: 'is not JSON' };
  }
}

/** Maximum number of names kept, so that memory does not grow with the input. */
const MAX_NAMES = 50_000;

/**
 * Finds names that are equal but for their Unicode form, as in files from several systems: "ö" as one character (NFC)
 * or as two (NFD). Keeps only names that have more than one form, and of these the last 50,000.
 */
class NameForms {
  readonly #seen = new Map<string, { readonly name: string; readonly line: number }>();

  /** Returns the line that has the same name in another form, if there is one. */
  add(fields: unknown, line: number): number | undefined {
    const name = (fields as { readonly name?: unknown } | null | undefined)?.name;
    if (typeof name !== 'string') return undefined;
    const composed = name.normalize('NFC');
    if (composed === composed.normalize('NFD')) return undefined;
    const known = this.#seen.get(composed);
    if (known) return known.name === name ? undefined : known.line;
    if (this.#seen.size === MAX_NAMES) this.#seen.delete(this.#seen.keys().next().value!);
    this.#seen.set(composed, { name, line });
    return undefined;
  }
}
