import type { DoneLine } from '../journal/done-lines.js';
import type { Journal } from '../journal/journal.js';
import type { Reject, RejectsFile } from '../journal/rejects-file.js';

/**
 * Writes down what became of lines.
 *
 * Whoever comes while a write is under way shares the next one, so that there is one sync for many. Rejects are written
 * before the journal says that they are done: a line may be rejected twice, but not be missing.
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

  /** Resolves when it is on the disk. Rejects, from then on always, when it cannot be written. */
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
