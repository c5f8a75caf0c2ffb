import type { UserFields } from './user-fields.js';

/** Where a record stands in the input. */
export interface RecordPlace {
  /** Its first line, which identifies the record. */
  readonly line: number;
  /** Its last line, if it has more than one. */
  readonly lastLine?: number;
  /** Its length in the input, in bytes. */
  readonly bytes: number;
}

/** A well-formed record, whose members are still to be checked. */
export interface RawRecord extends RecordPlace {
  readonly fields: unknown;
}

/** A record that cannot become a user. */
export interface BadRecord extends RecordPlace {
  /** The reason, for people. Repeats nothing of the record: any part of it may be a password. */
  readonly fault: string;
  /** How many of its lines follow an unclosed quote, and may be valid. */
  readonly maybeGood?: number;
}

/** The fault of a record in another encoding, such as Latin-1. */
export const NOT_UTF8 = 'is not UTF-8 text; save the file as UTF-8';

/** A record that is ready to be sent. */
export interface UserRecord extends RecordPlace {
  readonly user: UserFields;
}

export type InputRecord = UserRecord | BadRecord;

/** Returns the number of lines that a record takes. */
export function linesOf({ line, lastLine = line }: RecordPlace): number {
  return lastLine - line + 1;
}

export function isBad(record: RawRecord | InputRecord): record is BadRecord {
  return 'fault' in record;
}
