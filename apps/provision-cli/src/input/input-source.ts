import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { InputError } from '../errors.js';
import type { Line } from './lines.js';

/** The file or stream to import. */
export interface InputSource {
  /** For people: the path, or "standard input". */
  readonly name: string;
  readonly format: InputFormat | undefined;
  /** Undefined if the input can be read only once. */
  readonly content: ContentDigest | undefined;
  /** Begins to read the input. */
  read(): Readable;
}

/** Identifies the content of an input. */
export interface ContentDigest {
  /** In bytes. */
  readonly size: number;
  /** SHA-256, in hexadecimal digits. */
  readonly sha256: string;
}

export type InputFormat = 'csv' | 'ndjson';

/** The path that stands for standard input. */
export const STANDARD_INPUT = '-';

/** @throws InputError if the path is not a file, or cannot be read. */
export async function openInput(path: string, stdin: Readable): Promise<InputSource> {
  if (path === STANDARD_INPUT) {
    return { name: 'standard input', format: undefined, content: undefined, read: () => stdin };
  }
  try {
    // Checked without opening it: opening a pipe waits for its writer.
    if (!(await stat(path)).isFile()) {
      throw new InputError(
        `${path} is not a file. Import a pipe as standard input, with a named journal: provision-cli import - --journal users.journal < ${path}`,
      );
    }
    const content = await digestOf(createReadStream(path));
    return { name: path, format: formatOfName(path), content, read: () => createReadStream(path) };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`, {
      cause: error,
    });
  }
}

async function digestOf(source: AsyncIterable<Buffer>): Promise<ContentDigest> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of source) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest('hex') };
}

function formatOfName(path: string): InputFormat | undefined {
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

/**
 * Detects the format by the first line that is not blank: a brace begins NDJSON, and no CSV header.
 *
 * @param named The format by the name of the input.
 * @returns The format, and all lines from the group with that line on.
 * @throws InputError for any other format, with a command that converts it.
 */
export async function detectFormat(
  lines: AsyncGenerator<readonly Line[]>,
  named: InputFormat | undefined,
): Promise<{ readonly format: InputFormat; readonly lines: AsyncGenerator<readonly Line[]> }> {
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

const AS_UTF8 = 'Save it as UTF-8; in a spreadsheet: "CSV UTF-8".';

/** Other formats, by their first bytes (in Latin-1). */
const SIGNATURES: readonly (readonly [readonly string[], string])[] = [
  [['\xFF\xFE', '\xFE\xFF'], `The input is UTF-16. ${AS_UTF8}`],
  [['PK\x03\x04', '\xD0\xCF\x11\xE0'], 'The input is a spreadsheet or an archive. Save the table as CSV (UTF-8).'],
  [['\x1F\x8B'], 'The input is compressed: zcat users.csv.gz | provision-cli import - --journal users.journal'],
];

/** Returns why an input with this first line cannot be read; undefined if it may be readable. */
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
