import { JsonReporter } from '../output/json-reporter.js';
import { OutputStream } from '../output/output-stream.js';
import type { Reporter } from '../output/reporter.js';
import { TerminalReporter } from '../output/terminal-reporter.js';
import { TextReporter } from '../output/text-reporter.js';
import type { Surroundings } from '../surroundings.js';

/** Narrowest terminal that a bar and its percentage fit in, in columns. */
const MIN_COLUMNS = 20;

/** Not where the terminal cannot move its cursor, or no person looks at it: a log of a build, a recorded session. */
function canShowBar(stderr: Surroundings['stderr'], { TERM, CI }: Surroundings['environment']): boolean {
  const isCi = Boolean(CI) && CI !== 'false' && CI !== '0';
  return stderr.isTTY === true && TERM !== 'dumb' && !isCi && (stderr.columns ?? 0) >= MIN_COLUMNS;
}

/** Where an import tells what happens, in the way that suits who is there. */
export class ImportOutput {
  readonly reporter: Reporter;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;

  constructor({ stdout, stderr, environment, clock }: Surroundings, isJson: boolean) {
    this.#stdout = new OutputStream(stdout);
    this.#stderr = new OutputStream(stderr);
    if (isJson) this.reporter = new JsonReporter(this.#stdout, clock);
    else if (!canShowBar(stderr, environment)) this.reporter = new TextReporter(this.#stdout, this.#stderr, clock);
    else {
      this.reporter = new TerminalReporter(this.#stdout, this.#stderr, clock, {
        columns: () => stderr.columns ?? MIN_COLUMNS,
        colors: !environment.NO_COLOR,
      });
    }
  }

  /** Whether the reader of standard output has gone. */
  get isBroken(): boolean {
    return this.#stdout.isBroken;
  }

  /** @throws {@link OutputError} where the summary, or anything before it, could not be written to standard output. */
  requireWritten(): void {
    this.#stdout.requireWritten();
  }

  /** @param listener Called when the reader of standard output goes. */
  onBroken(listener: () => void): void {
    this.#stdout.onBroken = listener;
  }

  async drained(): Promise<void> {
    await this.#stdout.drained();
    await this.#stderr.drained();
  }

  async flushed(): Promise<void> {
    await this.#stdout.flushed();
    await this.#stderr.flushed();
  }
}
