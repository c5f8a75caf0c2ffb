import type { RecordPlace } from './input-record.js';
import { type Line, MAX_LINE_BYTES } from './lines.js';

/** The lines that make up a row of CSV: several, where a line break stands inside quotes. */
export interface CsvRow extends RecordPlace {
  /** Undefined where it could not be put together, for the reason in `fault`. */
  readonly text?: Buffer;
  readonly fault?: string;
}

const QUOTE = 0x22;

/**
 * Puts lines together to rows.
 *
 * A quote that is never closed would take the rest of the input with it. It takes what is within the limit of a row, as
 * one bad row: what stands behind a quote may be a text, and no user is made of a text.
 *
 * @param delimiter Known once the header has been read; the header itself is one line.
 */
export async function* csvRowsOf(
  groups: AsyncIterable<readonly Line[]>,
  delimiter: () => string | undefined,
): AsyncGenerator<readonly CsvRow[]> {
  const row = new UnfinishedRow();
  let isHeader = true;
  for await (const lines of groups) {
    let rows: CsvRow[] = [];
    for (const line of lines) {
      if (row.isEmpty && line.bytes && isBlank(line.bytes)) continue;
      const isContinuation = !row.isEmpty;
      row.add(line);
      if (row.isTooLong) rows.push(row.finishBad(tooLong(isContinuation)));
      else if (!isHeader && endsInQuotes(line.bytes!, delimiter() ?? ',', isContinuation)) continue;
      else rows.push(row.finish());
      if (isHeader) {
        // Handed over by itself, so that the delimiter is known for the rows that follow.
        yield rows;
        rows = [];
        isHeader = false;
      }
    }
    if (rows.length > 0) yield rows;
  }
  if (!row.isEmpty) yield [row.finishBad('has a quote that is not closed')];
}

class UnfinishedRow {
  #lines: Line[] = [];
  #length = 0;

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  get isTooLong(): boolean {
    return this.#length > MAX_LINE_BYTES;
  }

  add(line: Line): void {
    this.#lines.push(line);
    this.#length += line.length;
  }

  finish(): CsvRow {
    const text = this.#lines.length === 1 ? this.#lines[0]!.bytes! : Buffer.concat(this.#lines.map((l) => l.bytes!));
    return { ...this.#end(), text };
  }

  finishBad(fault: string): CsvRow {
    return { ...this.#end(), fault };
  }

  #end(): RecordPlace {
    const [line, lastLine] = [this.#lines[0]!.number, this.#lines.at(-1)!.number];
    const place = { line, ...(lastLine !== line && { lastLine }), bytes: this.#length };
    this.#lines = [];
    this.#length = 0;
    return place;
  }
}

/** Whether a line break inside quotes follows, which makes the next line a part of the same row. */
function endsInQuotes(bytes: Buffer, delimiter: string, beginsInQuotes: boolean): boolean {
  if (!bytes.includes(QUOTE)) return beginsInQuotes;
  const delimiterByte = delimiter.charCodeAt(0);
  let isQuoted = beginsInQuotes;
  let isCellStart = !beginsInQuotes;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isQuoted) {
      if (byte !== QUOTE) continue;
      if (bytes[i + 1] === QUOTE) i++;
      else isQuoted = false;
      isCellStart = false;
    } else {
      isQuoted = byte === QUOTE && isCellStart;
      isCellStart = byte === delimiterByte;
    }
  }
  return isQuoted;
}

function tooLong(isContinuation: boolean): string {
  return isContinuation
    ? `has a quote that is not closed within ${MAX_LINE_BYTES} bytes`
    : `is longer than ${MAX_LINE_BYTES} bytes`;
}

function isBlank(bytes: Buffer): boolean {
  return bytes.length <= 2 && bytes.toString('latin1').trim() === '';
}
