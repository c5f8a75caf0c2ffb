import type { DoneLine } from './done-lines.js';
import type { Journal } from './journal.js';
import type { Reject, RejectsFile } from './rejects-file.js';

/**
 * Writes the outcomes of lines to the rejects file and the journal.
 *
 * Outcomes that arrive during a write share the next one, so that one sync serves many. Rejects are written before the
 * journal has them as done: after a crash a line may be rejected twice, but none is missing.
 */
export class OutcomeLog {
  #done: DoneLine[] = [];
  #rejects: Reject[] = [];
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(
    private readonly journal: Journal,
    private readonly rejects: RejectsFile,
  ) {}

  /** Resolves when the outcomes are on the disk. After a failed write, this and every later call rejects. */
  add(done: readonly DoneLine[], rejects: readonly Reject[]): Promise<void> {
    this.#done.push(...done);
    this.#rejects.push(...rejects);
    this.#next ??= this.#current.then(() => {
      this.#current = this.#write();
      return this.#current;
    });
    return this.#next;
  }

  async #write(): Promise<void> {
    const [done, rejects] = [this.#done, this.#rejects];
    this.#done = [];
    this.#rejects = [];
    this.#next = undefined;
    await this.rejects.add(rejects);
    await this.journal.add(done);
  }
}
