import type { Clock } from '../clock.js';
import type { ImportEvent } from '../import/import-event.js';
import { eventText } from './event-text.js';
import type { OutputStream } from './output-stream.js';
import { progressLine, type ProgressView } from './progress-text.js';
import { Reporter } from './reporter.js';

/** Most lines about single lines of the input: there may be a million of them, and a file has them all. */
const MAX_COMPLAINTS = 20;

/** For people who read a log: the summary on standard output, all else on standard error. */
export class TextReporter extends Reporter {
  #complaints = 0;

  constructor(
    private readonly output: OutputStream,
    protected readonly log: OutputStream,
    clock: Clock,
    intervalMs = 5000,
  ) {
    super(clock, intervalMs);
  }

  emit(event: ImportEvent): void {
    const text = eventText(event);
    if (text === undefined) return;
    if (event.event === 'rejected' || event.event === 'failed') {
      this.#complaints++;
      if (this.#complaints > MAX_COMPLAINTS) {
        if (this.#complaints === MAX_COMPLAINTS + 1) this.write(this.log, 'There are more of them.');
        return;
      }
    }
    this.write(event.event === 'summary' ? this.output : this.log, text);
  }

  protected show(view: ProgressView): void {
    this.write(this.log, progressLine(view));
  }

  protected write(stream: OutputStream, text: string): void {
    stream.write(`${text}\n`);
  }
}
