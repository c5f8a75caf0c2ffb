import { crc32 } from 'node:zlib';
import { JournalError } from '../errors.js';
import { type InputRecord, isBad } from '../input/input-record.js';
import { withoutPassword } from '../input/user-fields.js';

/** The outcome of a line that is done. A rejected line may get another one once it is corrected. */
export type LineOutcome = 'created' | 'replayed' | 'rejected';

export const LINE_OUTCOMES: readonly LineOutcome[] = ['created', 'replayed', 'rejected'];

/** A line that is done, with the mark of its content. */
export interface DoneLine {
  readonly line: number;
  readonly outcome: LineOutcome;
  readonly mark: number;
  /** Number of lines that the record takes in the input. */
  readonly lines: number;
}

/** The lines that are done, each with a mark of its content. Takes five bytes a line, so that it holds millions. */
export class DoneLines {
  #outcomes = new Uint8Array(1024);
  #marks = new Uint32Array(1024);
  /** Rejected records with more than one line or more than one rejection. */
  readonly #rejections = new Map<number, { readonly lines: number; readonly times: number }>();
  readonly #counts: Record<LineOutcome, number> = { created: 0, replayed: 0, rejected: 0 };

  /** Numbers of users created and of lines rejected. */
  get counts(): Readonly<Record<LineOutcome, number>> {
    return this.#counts;
  }

  get size(): number {
    return LINE_OUTCOMES.reduce((sum, outcome) => sum + this.#counts[outcome], 0);
  }

  /** Adds a line. Only a rejected one can get another outcome later. */
  add({ line, outcome, mark, lines }: DoneLine): void {
    const before = this.outcomeOf(line);
    if (before !== undefined && before !== 'rejected') return;
    const times = this.rejectionsOf(line) + 1;
    if (before) this.#counts.rejected -= this.#rejections.get(line)?.lines ?? 1;
    this.#rejections.delete(line);
    this.#makeRoomFor(line);
    this.#outcomes[line] = LINE_OUTCOMES.indexOf(outcome) + 1;
    this.#marks[line] = mark;
    if (outcome !== 'rejected') this.#counts[outcome]++;
    else {
      this.#counts.rejected += lines;
      if (lines > 1 || times > 1) this.#rejections.set(line, { lines, times });
    }
  }

  outcomeOf(line: number): LineOutcome | undefined {
    return LINE_OUTCOMES[(this.#outcomes[line] ?? 0) - 1];
  }

  /** Returns how often a line was rejected. */
  rejectionsOf(line: number): number {
    return this.outcomeOf(line) === 'rejected' ? (this.#rejections.get(line)?.times ?? 1) : 0;
  }

  /** Whether a line that is done had the same mark then. */
  isMarked(line: number, mark: number): boolean {
    return this.#marks[line] === mark;
  }

  #makeRoomFor(line: number): void {
    if (line < this.#outcomes.length) return;
    const length = Math.max(line + 1, this.#outcomes.length * 2);
    const [outcomes, marks] = [this.#outcomes, this.#marks];
    this.#outcomes = new Uint8Array(length);
    this.#outcomes.set(outcomes);
    this.#marks = new Uint32Array(length);
    this.#marks.set(marks);
  }
}

/**
 * Returns a checksum of a record, to detect a changed input even if it can be read only once.
 *
 * Leaves out the password, because the mark is written to a file: guesses of a password could be checked against it.
 */
export function lineMark(record: InputRecord): number {
  return crc32(isBad(record) ? `bad: ${record.fault}` : JSON.stringify(withoutPassword(record.user)));
}

/** @throws JournalError if a line that is done has another content now. */
export function requireUnchanged(record: InputRecord, done: DoneLines): void {
  if (done.isMarked(record.line, lineMark(record))) return;
  throw new JournalError(
    `Line ${record.line} is done, and has changed since. Correct rejected lines in the file, and add or remove none. To start a new import, name another journal (--journal).`,
  );
}
