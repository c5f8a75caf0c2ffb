import { isUtf8 } from 'node:buffer';
import { parse } from 'csv-parse/sync';
import type { CsvRow } from './csv-rows.js';
import { InputError } from './input-error.js';
import { FIELD_NAMES, nearestField, REQUIRED_FIELDS } from './user-fields.js';

export interface CsvHeader {
  /** As the header has it: a comma, or what spreadsheets write in its place. */
  readonly delimiter: string;
  /** A field of a user for each column; undefined for a column without a name, as spreadsheets leave them at the end. */
  readonly columns: readonly (string | undefined)[];
}

const DELIMITERS = [',', ';', '\t', '|'];
const KNOWN = `A header names fields of a user, in any order and letter case: ${FIELD_NAMES.join(', ')}.`;

/** Most faults of a header that are listed. */
const MAX_FAULTS = 10;

/** Characters, a tab apart, that some systems end lines with and CSV does not: U+0085 (NEL), U+2028 … */
const OTHER_LINE_ENDS = /[^\P{Cc}\t]|[\p{Zl}\p{Zp}]/u;

/**
 * Reads the line `sep=;` with which a file tells spreadsheets its delimiter.
 *
 * @returns Undefined for any other line.
 * @throws InputError for a delimiter that is not supported.
 */
export function readSeparatorLine({ text }: CsvRow): string | undefined {
  const [, separator] = /^"?sep=(.?)"?$/i.exec(text?.toString('utf8') ?? '') ?? [];
  if (separator === undefined || DELIMITERS.includes(separator)) return separator;
  throw new InputError('The line "sep=" names no supported delimiter: expected a comma, semicolon, tab or pipe (|).');
}

/**
 * Understands the row that names the columns.
 *
 * Errors repeat no word of it: where the header is missing, or the line ends are not understood, it holds a password.
 *
 * @param separator What the file says about its delimiter, where it does.
 * @throws InputError
 */
export function readCsvHeader({ text }: CsvRow, separator: string | undefined): CsvHeader {
  if (!text || !isUtf8(text)) throw new InputError(`The header is not a line of UTF-8 text. ${KNOWN}`);
  const readings = (separator === undefined ? DELIMITERS : [separator]).map((delimiter) => {
    const cells = cellsOf(text, delimiter);
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

function cellsOf(text: Buffer, delimiter: string): string[] {
  try {
    const rows: string[][] = parse(text, { delimiter, record_delimiter: '\n' });
    return rows[0] ?? [];
  } catch {
    return [];
  }
}

export function isBlank(cell: string): boolean {
  return cell.trim() === '';
}

function fieldOf(cell: string): string | undefined {
  return FIELD_NAMES.find((name) => name.toLowerCase() === cell.trim().toLowerCase());
}
