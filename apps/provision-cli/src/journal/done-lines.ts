/** What has become of a line, for good; a rejected one until it is mended. */
export type LineOutcome = 'created' | 'replayed' | 'rejected';

export const LINE_OUTCOMES: readonly LineOutcome[] = ['created', 'replayed', 'rejected'];

/** A line that is done, and the mark of what it said. */
export interface DoneLine {
  readonly line: number;
  readonly outcome: LineOutcome;
  readonly mark: number;
  /** How many lines of the input the record takes. */
  readonly lines: number;
}

/**
 * The lines that need no further work, each with a mark of what it said. Takes five bytes for each line of the input, and
 * so holds millions.
 */
export class DoneLines {
  #outcomes = new Uint8Array(1024);
  #marks = new Uint32Array(1024);
  /** Of rejected records, those with more than one line or more than one rejection. */
  readonly #rejections = new Map<number, { readonly lines: number; readonly times: number }>();
  readonly #counts: Record<LineOutcome, number> = { created: 0, replayed: 0, rejected: 0 };

  /** Users that were created, and lines that were rejected. */
  get counts(): Readonly<Record<LineOutcome, number>> {
    return this.#counts;
  }

  get size(): number {
    return LINE_OUTCOMES.reduce((sum, outcome) => sum + this.#counts[outcome], 0);
  }

  /** Takes note of a line. Only a rejected one can have another outcome later. */
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

  /** How often a line was rejected. */
  rejectionsOf(line: number): number {
    return this.outcomeOf(line) === 'rejected' ? (this.#rejections.get(line)?.times ?? 1) : 0;
  }

  /** Whether a line that is done said the same then. */
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
