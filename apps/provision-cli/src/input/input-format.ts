import { extname } from 'node:path';
import type { Line } from './lines.js';

export type InputFormat = 'csv' | 'ndjson';

/** The format that a file's name tells; undefined where it tells none. */
export function formatOfName(path: string): InputFormat | undefined {
  switch (extname(path).toLowerCase()) {
    case '.csv':
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
  /** All lines, with those that were looked at. */
  readonly lines: AsyncGenerator<readonly Line[]>;
}

/** Tells the format by the first character that is not blank: a brace begins NDJSON, and no header of CSV. */
export async function sniffFormat(lines: AsyncGenerator<readonly Line[]>): Promise<SniffedInput> {
  const first = await lines.next();
  const group = first.done ? [] : first.value;
  const isNdjson = /^\s*\{/.test(group.map(({ bytes }) => bytes?.toString('latin1') ?? '').join(''));
  return { format: isNdjson ? 'ndjson' : 'csv', lines: again(group, lines) };
}

async function* again(group: readonly Line[], rest: AsyncGenerator<readonly Line[]>): AsyncGenerator<readonly Line[]> {
  if (group.length > 0) yield group;
  yield* rest;
}
