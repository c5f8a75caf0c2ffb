import { extname } from 'node:path';
import { InputError } from './input-error.js';
import type { Line } from './lines.js';

export type InputFormat = 'csv' | 'ndjson';

/** The format that a file's name tells; undefined where it tells none. */
export function formatOfName(path: string): InputFormat | undefined {
  switch (extname(path).toLowerCase()) {
    case '.csv':
    case '.tsv':
      return 'csv';
    case '.ndjson':
    case '.jsonl':
      return 'ndjson';
    default:
      return undefined;
  }
}

export interface SniffedInput {
  readonly format: InputFormat;
  /** All lines, with those that were looked at; without blank ones before them. */
  readonly lines: AsyncGenerator<readonly Line[]>;
}

const AS_UTF8 = 'Save it as UTF-8; in a spreadsheet: "CSV UTF-8".';

/** Other formats, by how they begin (in Latin-1). */
const SIGNATURES: readonly (readonly [readonly string[], string])[] = [
  [['\xFF\xFE', '\xFE\xFF'], `The input is UTF-16. ${AS_UTF8}`],
  [['PK\x03\x04', '\xD0\xCF\x11\xE0'], 'The input is a spreadsheet or an archive. Save the table as CSV (UTF-8).'],
  [['\x1F\x8B'], 'The input is compressed: zcat users.csv.gz | provision-cli import - --journal users.journal'],
];

/** Why an input cannot be read that begins with a line; undefined where it may be. */
function unsupported(first: string, named: InputFormat | undefined): string | undefined {
  const [, signature] = SIGNATURES.find(([beginnings]) => beginnings.some((bytes) => first.startsWith(bytes))) ?? [];
  if (signature !== undefined) return signature;
  if (first.includes('\0')) return `The input is UTF-16 or binary. ${AS_UTF8}`;
  const expected = 'expected NDJSON, one JSON object per line';
  if (first.startsWith('[')) {
    return `The input is a JSON array; ${expected}. Convert it: jq -c ".[]" users.json > users.ndjson`;
  }
  if (named === 'csv' || first !== '{') return undefined;
  return `The input is JSON with line breaks inside an object; ${expected}. Convert it: jq -c . users.json > users.ndjson`;
}

/**
 * Tells the format by the first line that is not blank: a brace begins NDJSON, and no header of CSV.
 *
 * @param named What the name of the input tells.
 * @throws InputError for an input that is neither, with the way to convert it.
 */
export async function sniffFormat(
  lines: AsyncGenerator<readonly Line[]>,
  named: InputFormat | undefined,
): Promise<SniffedInput> {
  let group: readonly Line[] = [];
  let firstLine: Line | undefined;
  while (!firstLine) {
    const next = await lines.next();
    if (next.done) break;
    group = next.value;
    firstLine = group.find((line) => line.bytes === undefined || textOf(line) !== '');
  }
  const first = firstLine ? textOf(firstLine) : '';
  const fault = unsupported(first, named);
  if (fault !== undefined) throw new InputError(fault);
  return { format: named ?? (first.startsWith('{') ? 'ndjson' : 'csv'), lines: again(group, lines) };
}

function textOf({ bytes }: Line): string {
  return bytes?.toString('latin1').trim() ?? '';
}

async function* again(group: readonly Line[], rest: AsyncGenerator<readonly Line[]>): AsyncGenerator<readonly Line[]> {
  if (group.length > 0) yield group;
  yield* rest;
}
