import type { RecordPlace } from './input-record.js';
import { type Line, type LineBreak, MAX_LINE_BYTES } from './lines.js';

/** The lines that make up a row of CSV: several, where a line break stands inside quotes. */
export interface CsvRow extends RecordPlace {
  /** Without the line break at its end; undefined for a row that could not be put together, for the reason in `fault`. */
  readonly text?: Buffer;
  readonly fault?: string;
  /** Whether it ends in a line break of another kind than the header does. */
  readonly endsOddly: boolean;
  /** Whether nothing but such line breaks separates it from the row before. */
  readonly beginsOddly: boolean;
}

const QUOTE = 0x22;

/**
 * Puts lines together to rows, and leaves out blank ones.
 *
 * A quote that is never closed would take the rest of the input with it. It takes what is within the limit of a row, as
 * one bad row: what stands behind a quote may be a text, and no user is made of a text.
 *
 * @param delimiter Undefined until the header has been read. Up to there each row is one line, in a group of its own.
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
  if (!row.isEmpty) yield [row.finishBad('has a quote that is not closed')];
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

  /** @param lineBreak That of the header: the one that is trusted to end a row. */
  expectLineBreak(lineBreak: LineBreak): void {
    this.#expected = lineBreak;
    this.#beginsOddly = false;
  }

  /** A blank line stands between the rows. Line breaks that are all odd may be parts of a cell together. */
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

  /** A line break of another kind than the header's may be the end of a line, or a part of a cell. */
  #isOdd(lineBreak: LineBreak): boolean {
    return this.#expected !== undefined && lineBreak !== '' && lineBreak !== this.#expected;
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

/** Whether there is nothing but blanks in it. */
function isBlank({ bytes }: Line): boolean {
  return bytes !== undefined && bytes.every((byte) => byte === 0x20 || byte === 0x09);
}
