import { crc32 } from 'node:zlib';
import { type InputRecord, isBad } from '../input/input-record.js';
import { withoutPassword } from '../input/user-fields.js';

/**
 * A mark of what a record says, by which an input that was changed is noticed even where it can be read only once.
 *
 * The password is left out, because the mark goes into a file: a password could be tried against it.
 */
export function lineMark(record: InputRecord): number {
  return crc32(isBad(record) ? `bad: ${record.fault}` : JSON.stringify(withoutPassword(record.user)));
}
