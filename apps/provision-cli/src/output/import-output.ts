import type { CommandContext } from '../context.js';
import { OutputStream } from './output-stream.js';
import { JsonReporter, type Reporter, TerminalReporter, TextReporter } from './reporter.js';

/** Narrowest terminal that fits a bar and its percentage, in columns. */
const MIN_COLUMNS = 20;

/** Whether a bar suits the terminal: not one that cannot move its cursor (`dumb`), and not the log of a CI build. */
function canShowBar(stderr: CommandContext['stderr'], { TERM, CI }: CommandContext['environment']): boolean {
  const isCi = Boolean(CI) && CI !== 'false' && CI !== '0';
  return stderr.isTTY === true && TERM !== 'dumb' && !isCi && (stderr.columns ?? 0) >= MIN_COLUMNS;
}

/** Standard output and error of an import, with the reporter that suits them. */
export class ImportOutput {
  readonly reporter: Reporter;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;

  constructor({ stdout, stderr, environment, clock }: CommandContext, isJson: boolean) {
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

  /** Whether the reader of standard output has closed it. */
  get isBroken(): boolean {
    return this.#stdout.isBroken;
  }

  /** @throws OutputError if a write to standard output failed, unless its reader has closed it. */
  requireWritten(): void {
    this.#stdout.requireWritten();
  }

  /** @param listener Called when the reader of standard output closes it. */
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
