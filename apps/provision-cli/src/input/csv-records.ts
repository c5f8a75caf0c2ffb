import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { InputError } from '../errors.js';
import { csvRowsOf, type CsvRow } from './csv-rows.js';
import { type BadRecord, NOT_UTF8, type RawRecord, type RecordPlace } from './input-record.js';
import type { Line } from './lines.js';
import { FIELD_NAMES, FLAG_NAMES, nearestField, REQUIRED_FIELDS } from './user-fields.js';

/**
 * Reads CSV (RFC 4180) whose first row names the columns. Line breaks are allowed inside quotes. Blank lines, and rows
 * of blank cells, are skipped. An unreadable row takes no other row with it.
 *
 * @throws InputError for a missing or invalid header.
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
      const named = separator === undefined ? readSeparatorLine(row) : undefined;
      if (named === undefined) header = readCsvHeader(row, separator);
      else separator = named;
    }
  }
  if (!header) throw new InputError('The input is empty: there is no header.');
  yield seams.end();
}

/** A row and its record. */
interface ReadRow {
  readonly row: CsvRow;
  /** Undefined for a row of blank cells. */
  readonly record: RawRecord | BadRecord | undefined;
  /** Whether it has a cell for each column. */
  readonly isComplete: boolean;
}

/**
 * Checks rows with a line break between them that is not of the header's kind, such as a carriage return in a file of
 * line feeds. If both rows are complete, the line break ends a row. Otherwise it belongs to a cell, and both are pieces
 * of one row: a piece that looks complete would create a user with half a password.
 */
class Seams {
  /** The last row, until the next one decides about it. */
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
    "is incomplete, or the row beside it is, and the line break between them is not of the header's kind; put a cell with a line break in quotes";
  return badRow(row, fault);
}

/** @param fault Repeats no part of the row: any may be the password. */
function badRow(row: CsvRow, fault: string): ReadRow {
  const { line, lastLine = line } = row;
  const maybeGood = lastLine - line;
  if (maybeGood === 0) return { row, record: { ...placeOf(row), fault }, isComplete: false };
  const behind =
    maybeGood === 1 ? `line ${lastLine}, after the quote,` : `lines ${line + 1} to ${lastLine}, after the quote,`;
  return { row, record: { ...placeOf(row), fault: `${fault}; ${behind} may be valid`, maybeGood }, isComplete: false };
}

function cellsOfRows(rows: readonly CsvRow[], header: CsvHeader): ReadRow[] {
  // One call for many rows costs a tenth of a call for each. If one of them is bad, each is parsed by itself.
  const texts = rows.flatMap(({ text }) => (text && isUtf8(text) ? [text, LINE_FEED] : []));
  const cells = texts.length === 2 * rows.length ? parseRows(Buffer.concat(texts), header.delimiter) : undefined;
  if (cells?.length === rows.length) return rows.map((row, i) => readRow(row, cells[i]!, header));
  return rows.map((row) => {
    if (!row.text) return badRow(row, row.fault ?? 'is not CSV');
    if (!isUtf8(row.text)) return badRow(row, NOT_UTF8);
    const own = parseRows(row.text, header.delimiter);
    return own?.length === 1 ? readRow(row, own[0]!, header) : badRow(row, 'has a misplaced quote');
  });
}

const LINE_FEED = Buffer.from('\n');

/** Returns the cells of rows; undefined if one of the rows is not CSV. */
function parseRows(text: Buffer, delimiter: string): string[][] | undefined {
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

/** The words of spreadsheets for true and false, in the languages that have their own. */
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

interface CsvHeader {
  /** A comma, or what spreadsheets write in its place. */
  readonly delimiter: string;
  /** The field of each column; undefined for a column without a name, as spreadsheets leave them at the end. */
  readonly columns: readonly (string | undefined)[];
}

const DELIMITERS = [',', ';', '\t', '|'];
const KNOWN = `A header names fields of a user, in any order and letter case: ${FIELD_NAMES.join(', ')}.`;

/** Maximum number of faults of a header in its message. */
const MAX_FAULTS = 10;

/** Line endings of other systems that are none in CSV: U+0085 (NEL), U+2028 … Any control character but a tab. */
const OTHER_LINE_ENDS = /[^\P{Cc}\t]|[\p{Zl}\p{Zp}]/u;

/**
 * Reads the line `sep=;`, which names the delimiter for spreadsheets.
 *
 * @returns Undefined for any other line.
 * @throws InputError for a delimiter that is not supported.
 */
function readSeparatorLine({ text }: CsvRow): string | undefined {
  const [, separator] = /^"?sep=(.?)"?$/i.exec(text?.toString('utf8') ?? '') ?? [];
  if (separator === undefined || DELIMITERS.includes(separator)) return separator;
  throw new InputError('The line "sep=" names an unsupported delimiter: expected a comma, semicolon, tab or pipe (|).');
}

/**
 * Reads the row that names the columns.
 *
 * Errors repeat no word of it: if the header is missing, or the line endings are unknown, the row has a password in it.
 *
 * @param separator The delimiter of the line `sep=`, if there is one.
 * @throws InputError
 */
function readCsvHeader({ text }: CsvRow, separator: string | undefined): CsvHeader {
  if (!text || !isUtf8(text)) throw new InputError(`The header is not a line of UTF-8 text. ${KNOWN}`);
  const readings = (separator === undefined ? DELIMITERS : [separator]).map((delimiter) => {
    const [cells = []] = parseRows(text, delimiter) ?? [];
    return { delimiter, cells, columns: cells.map(fieldOf) };
  });
  const { delimiter, cells, columns } = readings.find(({ columns }) => columns.includes('name')) ?? readings[0]!;
  const faults = [
    ...REQUIRED_FIELDS.filter((name) => !columns.includes(name)).map((name) => `there is no column ${name}`),
    ...cells.flatMap((cell, i) => (columns[i] === undefined && !isBlank(cell) ? [unknownColumn(cell, i)] : [])),
    ...columns.flatMap((column, i) => {
      const first = columns.indexOf(column);
      return column !== undefined && first < i ? [`column ${i + 1} has the same name as column ${first + 1}`] : [];
    }),
  ];
  if (faults.length === 0) return { delimiter, columns };
  const lineEnds = OTHER_LINE_ENDS.test(text.toString('utf8'))
    ? ' It has a control character or a line separator in it; end lines with a line feed (LF), or CR LF.'
    : '';
  const more = faults.length > MAX_FAULTS ? `; and ${faults.length - MAX_FAULTS} more` : '';
  throw new InputError(
    `The header is not valid: ${faults.slice(0, MAX_FAULTS).join('; ')}${more}.${lineEnds} ${KNOWN}`,
  );
}

function unknownColumn(cell: string, index: number): string {
  const nearest = nearestField(cell.trim());
  return `column ${index + 1} is not a field of a user${nearest === undefined ? '' : ` (did you mean ${nearest}?)`}`;
}

function isBlank(cell: string): boolean {
  return cell.trim() === '';
}

function fieldOf(cell: string): string | undefined {
  return FIELD_NAMES.find((name) => name.toLowerCase() === cell.trim().toLowerCase());
}
