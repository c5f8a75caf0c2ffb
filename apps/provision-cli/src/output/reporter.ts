import type { Clock } from '../context.js';
import { eventText, type ImportEvent, type ImportProgress } from './import-event.js';
import type { OutputStream } from './output-stream.js';
import { progressBar, progressLine, ProgressMeter, type ProgressView } from './progress.js';
import { jsonLine } from './safe-text.js';

/** Reports the events and the progress of an import. */
export abstract class Reporter {
  #timer: NodeJS.Timeout | undefined;

  abstract emit(event: ImportEvent): void;

  /** Shows the progress. */
  protected abstract show(view: ProgressView): void;

  /** Removes the progress from the screen. */
  protected clear(): void {}

  /** @param intervalMs Time between two reports of the progress. */
  constructor(
    private readonly clock: Clock,
    private readonly intervalMs: number,
  ) {}

  /** Shows the progress regularly, until {@link stop}. */
  follow(progress: () => ImportProgress, totalBytes: number | undefined): void {
    const meter = new ProgressMeter(totalBytes);
    const view = (): ProgressView => {
      const now = progress();
      const nowMs = this.clock.nowMs();
      const lines = now.created + now.replayed + now.rejected;
      return { progress: now, pace: meter.measure(nowMs, lines, now.bytesDone), totalBytes, nowMs };
    };
    view();
    this.#timer = setInterval(() => this.show(view()), this.intervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.clear();
  }
}

/** For programs: writes each event to standard output as a line of JSON. */
export class JsonReporter extends Reporter {
  constructor(
    private readonly output: OutputStream,
    clock: Clock,
  ) {
    super(clock, 1000);
  }

  emit(event: ImportEvent): void {
    this.output.write(jsonLine(event));
  }

  protected show({ progress }: ProgressView): void {
    this.emit({ event: 'progress', ...progress });
  }
}

/** Maximum number of messages about single lines. There may be a million of them; the rejects file has them all. */
const MAX_LINE_MESSAGES = 20;

/** For logs: writes the summary to standard output, everything else to standard error. */
export class TextReporter extends Reporter {
  #lineMessages = 0;

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
      this.#lineMessages++;
      if (this.#lineMessages > MAX_LINE_MESSAGES) {
        if (this.#lineMessages === MAX_LINE_MESSAGES + 1) this.write(this.log, 'Further lines are not shown.');
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

/** Moves the cursor to the start of the line, and clears it. */
const CLEAR_LINE = '\r\u001B[K';

/**
 * For people at a terminal: a bar in the last line, and events above it.
 *
 * Without the package cli-progress: it writes to the stream itself, past {@link OutputStream}, so the loss of the reader
 * would go unnoticed. It also saves the cursor and turns off line wrapping, which a second Ctrl-C would leave so.
 */
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
