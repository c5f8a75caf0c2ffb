import { csvRecords } from './csv-records.js';
import { type InputFormat, sniffFormat } from './input-format.js';
import { type InputRecord, isBad, type RawRecord } from './input-record.js';
import { readLines } from './lines.js';
import { ndjsonRecords } from './ndjson-records.js';
import { checkUser } from './user-fields.js';

/**
 * The records of an input, each checked, in groups as they come in. Memory does not grow with the input.
 *
 * @param format Undefined: told by how the input begins.
 * @throws InputError
 */
export async function* inputRecords(
  source: AsyncIterable<Buffer>,
  format: InputFormat | undefined,
): AsyncGenerator<readonly InputRecord[]> {
  const input = await sniffFormat(readLines(source));
  const read = (format ?? input.format) === 'ndjson' ? ndjsonRecords : csvRecords;
  for await (const group of read(input.lines)) {
    yield group.map((record) => (isBad(record) ? record : checked(record)));
  }
}

function checked({ fields, ...place }: RawRecord): InputRecord {
  return { ...place, ...checkUser(fields) };
}
