import type { UserFields } from './user-fields.js';

/** Where a record stands in the input. */
export interface RecordPlace {
  /** Its first line. It is what a record is known by. */
  readonly line: number;
  /** Its last line, where it has more than one. */
  readonly lastLine?: number;
  /** How much of the input it takes. */
  readonly bytes: number;
}

/** A record whose form is right: its members are still to be judged. */
export interface RawRecord extends RecordPlace {
  readonly fields: unknown;
}

/** A record that cannot become a user. */
export interface BadRecord extends RecordPlace {
  /** Why, for people. Repeats nothing of the record: it may be a password. */
  readonly fault: string;
  /** How many of its lines stand behind a quote that is not closed: they may be good. */
  readonly maybeGood?: number;
}

/** The fault of a record in another encoding, such as Latin-1. */
export const NOT_UTF8 = 'is not UTF-8 text; save the file as UTF-8';

/** A record that the service can be asked to make a user of. */
export interface UserRecord extends RecordPlace {
  readonly user: UserFields;
}

export type InputRecord = UserRecord | BadRecord;

/** How many lines of the input a record takes. */
export function linesOf({ line, lastLine = line }: RecordPlace): number {
  return lastLine - line + 1;
}

export function isBad(record: RawRecord | InputRecord): record is BadRecord {
  return 'fault' in record;
}
