import type { Clock } from '../clock.js';
import type { ImportEvent } from '../import/import-event.js';
import type { OutputStream } from './output-stream.js';
import { jsonLine } from './printable.js';
import type { ProgressView } from './progress-text.js';
import { Reporter } from './reporter.js';

/** For machines: each event is a line of JSON on standard output. */
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
