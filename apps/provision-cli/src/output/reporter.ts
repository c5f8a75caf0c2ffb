import type { Clock, CommandContext } from '../context.js';
import { eventText, type ImportEvent, type ImportProgress } from './import-event.js';
import { OutputStream } from './output-stream.js';
import { progressBar, progressLine, ProgressMeter, type ProgressView } from './progress.js';
import { jsonLine } from './safe-text.js';

/** Chooses the reporter of an import: JSON for programs, a bar at a terminal, plain lines anywhere else. */
export function reporterFor(context: CommandContext, isJson: boolean): Reporter {
  if (isJson) return new JsonReporter(context);
  return canShowBar(context) ? new TerminalReporter(context) : new TextReporter(context);
}

/** Narrowest terminal that fits a bar and its percentage, in columns. */
const MIN_COLUMNS = 20;

/** Whether a bar suits the terminal: not one that cannot move its cursor (`dumb`), and not the log of a CI build. */
function canShowBar({ stderr, environment: { TERM, CI } }: CommandContext): boolean {
  const isCi = Boolean(CI) && CI !== 'false' && CI !== '0';
  return stderr.isTTY === true && TERM !== 'dumb' && !isCi && (stderr.columns ?? 0) >= MIN_COLUMNS;
}

/** Reports the events and the progress of an import. */
export abstract class Reporter {
  /** Standard output. */
  readonly output: OutputStream;
  /** Standard error. */
  protected readonly log: OutputStream;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;

  /** @param intervalMs Time between two reports of the progress. */
  constructor(
    { stdout, stderr, clock }: CommandContext,
    private readonly intervalMs: number,
  ) {
    this.output = new OutputStream(stdout);
    this.log = new OutputStream(stderr);
    this.#clock = clock;
  }

  abstract emit(event: ImportEvent): void;

  /** Shows the progress. */
  protected abstract show(view: ProgressView): void;

  /** Removes the progress from the screen. */
  protected clear(): void {}

  /** Shows the progress regularly, until {@link stop}. */
  follow(progress: () => ImportProgress, totalBytes: number | undefined): void {
    const meter = new ProgressMeter(totalBytes);
    const view = (): ProgressView => {
      const now = progress();
      const nowMs = this.#clock.nowMs();
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

  /** Resolves when both streams take more. */
  async drained(): Promise<void> {
    await this.output.drained();
    await this.log.drained();
  }

  /** Resolves when everything is written. */
  async flushed(): Promise<void> {
    await this.output.flushed();
    await this.log.flushed();
  }
}

/** For programs: writes each event to standard output as a line of JSON. */
class JsonReporter extends Reporter {
  constructor(context: CommandContext) {
    super(context, 1000);
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
class TextReporter extends Reporter {
  #lineMessages = 0;

  constructor(context: CommandContext, intervalMs = 5000) {
    super(context, intervalMs);
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
 * Without the package cli-progress: its layout does not shrink with the terminal, its pace counts what a resumed import
 * skips, and a single bar has no lines above it. Only the few escape sequences here would be left to it.
 */
class TerminalReporter extends TextReporter {
  #bar = '';

  constructor(private readonly context: CommandContext) {
    super(context, 100);
  }

  protected override show(view: ProgressView): void {
    const { stderr, environment } = this.context;
    this.#bar = progressBar(view, stderr.columns ?? MIN_COLUMNS, !environment.NO_COLOR);
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
