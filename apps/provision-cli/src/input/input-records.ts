import { csvRecords } from './csv-records.js';
import { type InputFormat, sniffFormat } from './input-format.js';
import { type InputRecord, isBad, type RawRecord } from './input-record.js';
import { readLines } from './lines.js';
import { NameForms } from './name-forms.js';
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
  const input = await sniffFormat(readLines(source), format);
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
