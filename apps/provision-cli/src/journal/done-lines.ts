/** What has become of a line, for good. */
export type LineOutcome = 'created' | 'replayed' | 'rejected';

export const LINE_OUTCOMES: readonly LineOutcome[] = ['created', 'replayed', 'rejected'];

/**
 * The lines that need no further work, each with a mark of what it said. Takes five bytes for each line of the input, and
 * so holds millions.
 */
export class DoneLines {
  #outcomes = new Uint8Array(1024);
  #marks = new Uint32Array(1024);
  readonly #counts: Record<LineOutcome, number> = { created: 0, replayed: 0, rejected: 0 };

  get counts(): Readonly<Record<LineOutcome, number>> {
    return this.#counts;
  }

  get size(): number {
    return LINE_OUTCOMES.reduce((sum, outcome) => sum + this.#counts[outcome], 0);
  }

  /** Takes note of a line, once. */
  add(line: number, outcome: LineOutcome, mark: number): void {
    if (this.outcomeOf(line) !== undefined) return;
    this.#makeRoomFor(line);
    this.#outcomes[line] = LINE_OUTCOMES.indexOf(outcome) + 1;
    this.#marks[line] = mark;
    this.#counts[outcome]++;
  }

  outcomeOf(line: number): LineOutcome | undefined {
    return LINE_OUTCOMES[(this.#outcomes[line] ?? 0) - 1];
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
