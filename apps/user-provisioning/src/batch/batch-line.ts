import { z } from 'zod';
import { IDEMPOTENCY_KEY } from '../users/user-creation.js';
import { type NewUser, newUser, strictObject } from '../users/user.schema.js';
import type { LineAnswer } from './batch-answers.js';
import type { NdjsonLine } from './ndjson-splitter.js';

/** One user who is asked for. */
export interface BatchLine {
  readonly key: string;
  readonly user: NewUser;
}

export type LineReading = { readonly line: BatchLine } | { readonly rejection: LineAnswer };

const key = z.string().regex(IDEMPOTENCY_KEY, 'must be 1 to 128 characters that a header token may have');
const keyed = z.object({ key });
const batchLine = strictObject({ key, user: newUser });

/** What a line asks for, or why it can't be. No word of the line is in the reason: it may hold a password. */
export function readLine(line: NdjsonLine, maxLineBytes: number): LineReading {
  const reject = (code: string, message: string, key: string | null = null): LineReading => ({
    rejection: { key, line: line.number, status: 'rejected', error: { code, message } },
  });
  if ('fault' in line) {
    return line.fault === 'too_long'
      ? reject('line_too_long', `The line is longer than ${maxLineBytes} bytes.`)
      : reject('not_utf8', 'The line is not UTF-8.');
  }
  const json = parsed(line.text);
  if (json === undefined) return reject('not_json', 'The line is not JSON.');
  const checked = batchLine.safeParse(json);
  if (checked.success) return { line: checked.data };
  const faults = checked.error.issues.map(({ path, message }) => `${path.join('.') || 'line'}: ${message}`);
  const known = keyed.safeParse(json).data?.key;
  return reject('invalid', faults.join('; ').slice(0, 1000), known);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
