import { JsonReporter } from '../output/json-reporter.js';
import { OutputStream } from '../output/output-stream.js';
import type { Reporter } from '../output/reporter.js';
import { TerminalReporter } from '../output/terminal-reporter.js';
import { TextReporter } from '../output/text-reporter.js';
import type { Surroundings } from '../surroundings.js';

/** Where an import tells what happens, in the way that suits who is there. */
export class ImportOutput {
  readonly reporter: Reporter;
  readonly #stdout: OutputStream;
  readonly #stderr: OutputStream;

  constructor({ stdout, stderr, environment }: Surroundings, isJson: boolean) {
    this.#stdout = new OutputStream(stdout);
    this.#stderr = new OutputStream(stderr);
    const hasTerminal = stderr.isTTY === true && environment.TERM !== 'dumb';
    if (isJson) this.reporter = new JsonReporter(this.#stdout);
    else if (!hasTerminal) this.reporter = new TextReporter(this.#stdout, this.#stderr);
    else {
      this.reporter = new TerminalReporter(this.#stdout, this.#stderr, {
        columns: () => stderr.columns ?? 80,
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
