import { crc32 } from 'node:zlib';
import { type InputRecord, isBad } from '../input/input-record.js';
import { withoutPassword } from '../input/user-fields.js';
import type { DoneLines } from './done-lines.js';
import { JournalError } from './journal-error.js';

/**
 * A mark of what a record says, by which an input that was changed is noticed even where it can be read only once.
 *
 * The password is left out, because the mark goes into a file: a password could be tried against it.
 */
export function lineMark(record: InputRecord): number {
  return crc32(isBad(record) ? `bad: ${record.fault}` : JSON.stringify(withoutPassword(record.user)));
}

/** @throws {@link JournalError} where a line that is done is not what it was then. */
export function requireUnchanged(record: InputRecord, done: DoneLines): void {
  if (done.isMarked(record.line, lineMark(record))) return;
  throw new JournalError(
    `Line ${record.line} is done, and is not what it was then: the input has changed. Mend rejected lines where they stand, and add or remove none. To begin a new import, name another journal (--journal).`,
  );
}
