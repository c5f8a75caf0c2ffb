import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import { printable } from '../output/printable.js';
import type { CsvRow } from './csv-rows.js';
import { InputError } from './input-error.js';
import { FIELD_NAMES } from './user-fields.js';

export interface CsvHeader {
  /** As the header has it: a comma, or what spreadsheets write in its place. */
  readonly delimiter: string;
  /** A field of a user for each column. */
  readonly columns: readonly string[];
}

const DELIMITERS = [',', ';', '\t'];
const REQUIRED = ['name', 'mail'];
const KNOWN = `A header names fields of a user, in any order and letter case: ${FIELD_NAMES.join(', ')}.`;

/**
 * Understands the row that names the columns.
 *
 * Its words are shown only where it is a header for sure, one that names a column that is needed: where the header is
 * missing, this is the first user, with the password.
 *
 * @throws InputError
 */
export function readCsvHeader({ text }: CsvRow): CsvHeader {
  if (!text || !isUtf8(text)) throw new InputError(`The header is not a line of UTF-8 text. ${KNOWN}`);
  const readings = DELIMITERS.map((delimiter) => ({ delimiter, cells: cellsOf(text, delimiter) }));
  const { delimiter, cells } = readings.find(({ cells }) => cells.some((cell) => fieldOf(cell) === 'name')) ?? {
    delimiter: ',',
    cells: readings[0]!.cells,
  };
  const columns = cells.map(fieldOf);
  const isHeader = REQUIRED.some((name) => columns.includes(name));
  const faults = [
    ...columns.flatMap((column, i) =>
      column === undefined
        ? [`column ${i + 1} is not a field of a user${isHeader ? ` (${shown(cells[i]!)})` : ''}`]
        : [],
    ),
    ...columns.flatMap((column, i) =>
      column !== undefined && columns.indexOf(column) < i ? [`column ${i + 1} is ${column} once more`] : [],
    ),
    ...REQUIRED.filter((name) => !columns.includes(name)).map((name) => `there is no column ${name}`),
  ];
  if (faults.length > 0) {
    const found = isHeader ? ` Found: ${cells.map(shown).join(', ')}.` : '';
    throw new InputError(`The header is not right: ${faults.join('; ')}.${found} ${KNOWN}`);
  }
  return { delimiter, columns: columns as string[] };
}

function cellsOf(text: Buffer, delimiter: string): string[] {
  try {
    const rows: string[][] = parse(text, { delimiter, record_delimiter: ['\r\n', '\n'] });
    return rows[0] ?? [];
  } catch {
    return [];
  }
}

function shown(cell: string): string {
  return printable(cell.trim(), 40) || 'no name';
}

function fieldOf(cell: string): string | undefined {
  return FIELD_NAMES.find((name) => name.toLowerCase() === cell.trim().toLowerCase());
}
