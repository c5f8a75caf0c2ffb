import type { Clock } from '../clock.js';
import type { ImportEvent, ImportProgress } from '../import/import-event.js';
import { ProgressMeter } from './progress-meter.js';
import type { ProgressView } from './progress-text.js';

/** Tells what happens in an import. */
export abstract class Reporter {
  #timer: NodeJS.Timeout | undefined;

  abstract emit(event: ImportEvent): void;

  /** Shows how far it is. */
  protected abstract show(view: ProgressView): void;

  /** Takes away what is shown of the progress. */
  protected clear(): void {}

  /** @param intervalMs How often the progress is shown. */
  constructor(
    private readonly clock: Clock,
    private readonly intervalMs: number,
  ) {}

  /** Shows the progress from now on, until {@link stop}. */
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
