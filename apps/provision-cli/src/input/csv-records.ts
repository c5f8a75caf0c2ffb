import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { type CsvHeader, isBlank, readCsvHeader, readSeparatorLine } from './csv-header.js';
import { csvRowsOf, type CsvRow } from './csv-rows.js';
import { InputError } from './input-error.js';
import { type BadRecord, NOT_UTF8, type RawRecord, type RecordPlace } from './input-record.js';
import type { Line } from './lines.js';
import { FLAG_NAMES } from './user-fields.js';

/**
 * Reads CSV (RFC 4180) whose first row names the columns. Line breaks may stand inside quotes; blank lines, and rows
 * whose cells are all blank, are passed over. A row that cannot be read takes no other one with it.
 *
 * @throws InputError for a header that is missing or not valid.
 */
export async function* csvRecords(
  groups: AsyncIterable<readonly Line[]>,
): AsyncGenerator<readonly (RawRecord | BadRecord)[]> {
  let header: CsvHeader | undefined;
  let separator: string | undefined;
  const seams = new Seams();
  for await (const rows of csvRowsOf(groups, () => header?.delimiter)) {
    if (header) yield seams.check(cellsOfRows(rows, header));
    else {
      const [row] = rows as [CsvRow];
      const told = separator === undefined ? readSeparatorLine(row) : undefined;
      if (told === undefined) header = readCsvHeader(row, separator);
      else separator = told;
    }
  }
  if (!header) throw new InputError('The input is empty: there is no header.');
  yield seams.end();
}

/** A row as it was read. */
interface ReadRow {
  readonly row: CsvRow;
  /** Undefined for a row whose cells are all blank. */
  readonly record: RawRecord | BadRecord | undefined;
  /** Whether it has a cell for each column. */
  readonly isComplete: boolean;
}

/**
 * Checks rows that are separated by a line break of another kind than the header's, such as a carriage return alone in a
 * file of line feeds. Where both rows are complete, it is the end of a row. Where one is not, the line break belongs to a
 * cell: the rows are pieces of one, and a piece that looks complete would be a user with half a password.
 */
class Seams {
  /** The last row, while what follows decides about it. */
  #held: ReadRow | undefined;

  check(rows: readonly ReadRow[]): (RawRecord | BadRecord)[] {
    const records: (RawRecord | BadRecord)[] = [];
    for (let row of rows) {
      if (this.#held) {
        const isTorn = row.row.beginsOddly && !(row.isComplete && this.#held.isComplete);
        if (isTorn) row = torn(row);
        const { record } = isTorn ? torn(this.#held) : this.#held;
        if (record) records.push(record);
        this.#held = undefined;
      }
      if (row.row.endsOddly) this.#held = row;
      else if (row.record) records.push(row.record);
    }
    return records;
  }

  end(): (RawRecord | BadRecord)[] {
    return this.#held?.record ? [this.#held.record] : [];
  }
}

function torn({ row }: ReadRow): ReadRow {
  const fault =
    "is not complete, or the row beside it is not, and the line break between them is not of the header's kind; put a cell with a line break in quotes";
  return badRow(row, fault);
}

/** Any part of a bad row may be the password, so the fault repeats none. */
function badRow(row: CsvRow, fault: string): ReadRow {
  const { line, lastLine = line } = row;
  const maybeGood = lastLine - line;
  if (maybeGood === 0) return { row, record: { ...placeOf(row), fault }, isComplete: false };
  const behind =
    maybeGood === 1
      ? `line ${lastLine}, which stands behind a quote,`
      : `lines ${line + 1} to ${lastLine}, which stand behind a quote,`;
  return { row, record: { ...placeOf(row), fault: `${fault}; ${behind} may be good`, maybeGood }, isComplete: false };
}

function cellsOfRows(rows: readonly CsvRow[], header: CsvHeader): ReadRow[] {
  // One call for many rows costs a tenth of a call for each. Where one of them is bad, each is read by itself.
  const texts = rows.flatMap(({ text }) => (text && isUtf8(text) ? [text, LINE_FEED] : []));
  const cells = texts.length === 2 * rows.length ? parseRows(Buffer.concat(texts), header) : undefined;
  if (cells?.length === rows.length) return rows.map((row, i) => readRow(row, cells[i]!, header));
  return rows.map((row) => {
    if (!row.text) return badRow(row, row.fault ?? 'is not CSV');
    if (!isUtf8(row.text)) return badRow(row, NOT_UTF8);
    const own = parseRows(row.text, header);
    return own?.length === 1 ? readRow(row, own[0]!, header) : badRow(row, 'has a quote where none can be');
  });
}

const LINE_FEED = Buffer.from('\n');

/** The cells of rows; undefined where they are not all CSV. */
function parseRows(text: Buffer, { delimiter }: CsvHeader): string[][] | undefined {
  try {
    return parse(text, { delimiter, record_delimiter: '\n', relax_column_count: true });
  } catch {
    return undefined;
  }
}

function readRow(row: CsvRow, cells: readonly string[], { columns }: CsvHeader): ReadRow {
  const isComplete = cells.length === columns.length;
  if (cells.every(isBlank)) return { row, record: undefined, isComplete };
  if (!isComplete) {
    const found = cells.length === 1 ? '1 column' : `${cells.length} columns`;
    return badRow(row, `has ${found}; the header has ${columns.length}`);
  }
  const fields: Record<string, unknown> = {};
  for (const [i, cell] of cells.entries()) {
    if (isBlank(cell)) continue;
    const column = columns[i];
    if (column === undefined) return badRow(row, `has a cell in column ${i + 1}, which has no name`);
    fields[column] = FLAG_NAMES.includes(column) ? flagOf(cell) : cell;
  }
  return { row, record: { ...placeOf(row), fields }, isComplete };
}

function placeOf({ line, lastLine, bytes }: CsvRow): RecordPlace {
  return lastLine === undefined ? { line, bytes } : { line, lastLine, bytes };
}

/** What spreadsheets write for true and false, in the languages that have words of their own for them. */
const TRUE_WORDS =
  'TRUE WAHR VRAI VERO VERDADERO VERDADEIRO WAAR PRAWDA SANT SAND SANN TOSI PRAVDA IGAZ ADEVĂRAT ИСТИНА DOĞRU 1';
const FALSE_WORDS = 'FALSE FALSCH FAUX FALSO ONWAAR FAŁSZ FALSKT FALSK USANN EPÄTOSI NEPRAVDA HAMIS FALS ЛОЖЬ YANLIŞ 0';
const FLAGS = new Map([
  ...TRUE_WORDS.split(' ').map((word) => [word, true] as const),
  ...FALSE_WORDS.split(' ').map((word) => [word, false] as const),
]);

function flagOf(cell: string): unknown {
  return FLAGS.get(cell.trim().normalize('NFC').toUpperCase()) ?? cell;
}
