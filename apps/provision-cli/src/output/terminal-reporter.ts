import type { Clock } from '../clock.js';
import type { OutputStream } from './output-stream.js';
import { progressBar, type ProgressView } from './progress-text.js';
import { TextReporter } from './text-reporter.js';

/** To the start of the line, and nothing in it. */
const CLEAR_LINE = '\r\u001B[K';

/** For people at a terminal: a bar in the last line, which all else is written above of. */
export class TerminalReporter extends TextReporter {
  #bar = '';

  constructor(
    output: OutputStream,
    log: OutputStream,
    clock: Clock,
    private readonly terminal: { readonly columns: () => number; readonly colors: boolean },
  ) {
    super(output, log, clock, 100);
  }

  protected override show(view: ProgressView): void {
    this.#bar = progressBar(view, this.terminal.columns(), this.terminal.colors);
    this.log.write(CLEAR_LINE + this.#bar);
  }

  protected override write(stream: OutputStream, text: string): void {
    if (this.#bar !== '') this.log.write(CLEAR_LINE);
    super.write(stream, text);
    if (this.#bar !== '') this.log.write(this.#bar);
  }

  protected override clear(): void {
    if (this.#bar !== '') this.log.write(CLEAR_LINE);
    this.#bar = '';
  }
}
