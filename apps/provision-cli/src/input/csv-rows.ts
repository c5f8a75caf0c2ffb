import type { RecordPlace } from './input-record.js';
import { type Line, type LineBreak, MAX_LINE_BYTES } from './lines.js';

/** A row of CSV: one line, or several if a line break is inside quotes. */
export interface CsvRow extends RecordPlace {
  /** Without the line break at its end; undefined for a row that is unreadable, for the reason in `fault`. */
  readonly text?: Buffer;
  readonly fault?: string;
  /** Whether it ends in a line break of another kind than the header's. */
  readonly endsOddly: boolean;
  /** Whether only such line breaks separate it from the row before. */
  readonly beginsOddly: boolean;
}

const QUOTE = 0x22;

/**
 * Joins lines to rows, and skips blank lines.
 *
 * csv-parse splits rows into cells (csv-records.ts). It does not find the rows, because its streaming parser:
 *
 * - goes on inside quotes after text behind a closing quote, and after `max_record_size`, also with
 *   `skip_records_with_error`: one bad row would take the rest of the input with it;
 * - counts a CR LF inside quotes as two lines in `info.lines`, so that messages would name the wrong line;
 * - does not tell which line break ended a record, so that half a password would pass for a row;
 * - decodes bytes that are not UTF-8 to U+FFFD without an error.
 *
 * Here an unclosed quote takes lines up to the limit of a row, as one bad row: they may be the content of a cell, and
 * no user is created from such content.
 *
 * @param delimiter Undefined until the header has been read. Up to then each row is one line, in a group of its own.
 */
export async function* csvRowsOf(
  groups: AsyncIterable<readonly Line[]>,
  delimiter: () => string | undefined,
): AsyncGenerator<readonly CsvRow[]> {
  const row = new UnfinishedRow();
  for await (const lines of groups) {
    let rows: CsvRow[] = [];
    for (const line of lines) {
      if (row.isEmpty && isBlank(line)) {
        row.separate(line.lineBreak);
        continue;
      }
      const isContinuation = !row.isEmpty;
      row.add(line);
      const separator = delimiter();
      if (row.isTooLong) rows.push(row.finishBad(tooLong(isContinuation)));
      else if (separator !== undefined && endsInQuotes(line.bytes!, separator, isContinuation)) continue;
      else rows.push(row.finish());
      if (separator === undefined) {
        yield rows;
        rows = [];
        if (delimiter() !== undefined) row.expectLineBreak(line.lineBreak);
      }
    }
    if (rows.length > 0) yield rows;
  }
  if (!row.isEmpty) yield [row.finishBad('has an unclosed quote')];
}

class UnfinishedRow {
  #lines: Line[] = [];
  #length = 0;
  #expected: LineBreak | undefined;
  #beginsOddly = false;

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  get isTooLong(): boolean {
    return this.#length > MAX_LINE_BYTES;
  }

  /** @param lineBreak That of the header: it always ends a row. */
  expectLineBreak(lineBreak: LineBreak): void {
    this.#expected = lineBreak;
    this.#beginsOddly = false;
  }

  /** Notes a blank line between rows. Odd line breaks alone may still be a part of a cell. */
  separate(lineBreak: LineBreak): void {
    this.#beginsOddly &&= this.#isOdd(lineBreak);
  }

  add(line: Line): void {
    this.#lines.push(line);
    this.#length += line.length;
  }

  finish(): CsvRow {
    const text = this.#text();
    return { ...this.#end(), text };
  }

  finishBad(fault: string): CsvRow {
    return { ...this.#end(), fault };
  }

  #text(): Buffer {
    const last = this.#lines.at(-1)!;
    if (this.#lines.length === 1) return last.bytes!;
    return Buffer.concat(
      this.#lines.flatMap((line) => (line === last ? [line.bytes!] : [line.bytes!, Buffer.from(line.lineBreak)])),
    );
  }

  #end() {
    const [first, last] = [this.#lines[0]!, this.#lines.at(-1)!];
    const endsOddly = this.#isOdd(last.lineBreak);
    const place = {
      line: first.number,
      ...(last !== first && { lastLine: last.number }),
      bytes: this.#length,
      beginsOddly: this.#beginsOddly,
      endsOddly,
    };
    this.#lines = [];
    this.#length = 0;
    this.#beginsOddly = endsOddly;
    return place;
  }

  /** Whether a line break is of another kind than the header's: it may end a row, or be a part of a cell. */
  #isOdd(lineBreak: LineBreak): boolean {
    return this.#expected !== undefined && lineBreak !== '' && lineBreak !== this.#expected;
  }
}

/** Whether a line ends inside quotes, so that the next line belongs to the same row. */
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

/** Whether a line is empty or has only spaces and tabs. */
function isBlank({ bytes }: Line): boolean {
  return bytes !== undefined && bytes.every((byte) => byte === 0x20 || byte === 0x09);
}
