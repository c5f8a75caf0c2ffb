import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { type CsvHeader, readCsvHeader } from './csv-header.js';
import { csvRowsOf, type CsvRow } from './csv-rows.js';
import type { BadRecord, RawRecord } from './input-record.js';
import { FLAG_NAMES } from './user-fields.js';
import type { Line } from './lines.js';

/**
 * Reads CSV (RFC 4180) whose first row names the columns. Line breaks may stand inside quotes; blank lines are passed
 * over. A row that cannot be read takes no other one with it.
 *
 * @throws InputError for a header that cannot be understood.
 */
export async function* csvRecords(
  groups: AsyncIterable<readonly Line[]>,
): AsyncGenerator<readonly (RawRecord | BadRecord)[]> {
  let header: CsvHeader | undefined;
  for await (const rows of csvRowsOf(groups, () => header?.delimiter)) {
    let toRead = rows;
    if (!header && rows.length > 0) {
      header = readCsvHeader(rows[0]!);
      toRead = rows.slice(1);
    }
    if (header) yield recordsOf(toRead, header);
  }
}

function recordsOf(rows: readonly CsvRow[], header: CsvHeader): (RawRecord | BadRecord)[] {
  // One call for many rows costs a tenth of a call for each. Where one of them is bad, each is read by itself.
  const texts = rows.flatMap(({ text }) => (text && isUtf8(text) ? [text] : []));
  const cells = texts.length === rows.length ? parseRows(Buffer.concat(texts), header) : undefined;
  if (cells?.length === rows.length) return rows.map((row, i) => recordOf(row, cells[i]!, header));
  return rows.map((row) => {
    const { text, fault, ...place } = row;
    if (!text) return { ...place, fault: fault ?? 'is not CSV' };
    if (!isUtf8(text)) return { ...place, fault: 'is not UTF-8 text' };
    const own = parseRows(text, header);
    return own?.length === 1 ? recordOf(row, own[0]!, header) : { ...place, fault: 'has a quote where none can be' };
  });
}

/** The cells of rows; undefined where they are not all CSV. */
function parseRows(text: Buffer, { delimiter }: CsvHeader): string[][] | undefined {
  try {
    return parse(text, { delimiter, record_delimiter: ['\r\n', '\n'], relax_column_count: true });
  } catch {
    return undefined;
  }
}

function recordOf(
  { text: _text, fault: _fault, ...place }: CsvRow,
  cells: string[],
  { columns }: CsvHeader,
): RawRecord | BadRecord {
  if (cells.length !== columns.length) {
    // Nobody can tell which of these cells is the password.
    return { ...place, fault: `has ${cells.length} columns; the header has ${columns.length}` };
  }
  const fields: Record<string, unknown> = {};
  columns.forEach((column, i) => {
    const cell = cells[i]!;
    if (cell !== '') fields[column] = FLAG_NAMES.includes(column) ? flagOf(cell) : cell;
  });
  return { ...place, fields };
}

function flagOf(cell: string): unknown {
  if (/^true$/i.test(cell)) return true;
  return /^false$/i.test(cell) ? false : cell;
}
