import { EXIT } from '../exit-code.js';
import type { ImportEvent } from '../import/import-event.js';
import { isBad, linesOf } from '../input/input-record.js';
import { inputRecords } from '../input/input-records.js';
import { openInput } from '../input/open-input.js';
import { eventText } from '../output/event-text.js';
import { OutputStream } from '../output/output-stream.js';
import { jsonLine } from '../output/printable.js';
import type { Surroundings } from '../surroundings.js';

/**
 * Checks all lines of a file and tells the faults of each. Sends nothing, writes no file, needs no settings.
 *
 * @returns The exit code.
 */
export async function checkUsers(path: string, isJson: boolean, surroundings: Surroundings): Promise<number> {
  const output = new OutputStream(surroundings.stdout);
  const tell = (event: ImportEvent) => output.write(isJson ? jsonLine(event) : `${eventText(event) ?? ''}\n`);
  const input = await openInput(path, surroundings.stdin);
  let [right, wrong, maybeGood] = [0, 0, 0];
  for await (const records of inputRecords(input.read(), input.format)) {
    output.requireWritten();
    if (output.isBroken) return EXIT.brokenPipe;
    for (const record of records) {
      if (!isBad(record)) right++;
      else {
        wrong += linesOf(record);
        maybeGood += record.maybeGood ?? 0;
        const { line, lastLine, fault } = record;
        tell({ event: 'rejected', line, lastLine, code: 'invalid', reason: fault });
      }
    }
    await output.drained();
  }
  tell({ event: 'checked', right, wrong, maybeGood });
  await output.flushed();
  output.requireWritten();
  return wrong > 0 ? EXIT.rejected : EXIT.done;
}
