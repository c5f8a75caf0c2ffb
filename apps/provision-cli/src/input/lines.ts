/** A line of the input. */
export interface Line {
  /** The first line is 1. */
  readonly number: number;
  /** Without the line break; undefined for a line over the length limit, which is not kept. */
  readonly bytes: Buffer | undefined;
  readonly lineBreak: LineBreak;
  /** Its length in bytes, with the line break. */
  readonly length: number;
}

/**
 * The line break that ends a line. Empty at the end of the input.
 *
 * `\r\r\n` is a Windows line break that a tool has converted a second time.
 */
export type LineBreak = '\n' | '\r' | '\r\n' | '\r\r\n' | '';

/** Maximum length of a line and of a record, in bytes. A user with every field at its limit takes a tenth of it. */
export const MAX_LINE_BYTES = 65_536;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/**
 * Cuts bytes into lines, at any kind of line break. Keeps no more than one unfinished line, up to its limit.
 *
 * Lines come in groups, as they arrive: an asynchronous step for each would cost more than the cutting.
 */
export async function* readLines(
  source: AsyncIterable<Buffer>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<readonly Line[]> {
  const line = new UnfinishedLine(maxBytes);
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
    const { lines, rest } = cut(bytes, line);
    held = rest;
    if (lines.length > 0) yield lines;
  }
  const lines = [...held].map(() => line.finish('\r'));
  if (line.length > 0) lines.push(line.finish(''));
  if (lines.length > 0) yield lines;
}

/**
 * @returns The lines that end in these bytes, and the carriage returns at the end that may begin a longer line break.
 */
function cut(bytes: Buffer, line: UnfinishedLine): { lines: Line[]; rest: Buffer } {
  const lines: Line[] = [];
  let start = 0;
  let [feed, carriage] = [bytes.indexOf(LINE_FEED), bytes.indexOf(CARRIAGE_RETURN)];
  while (feed >= 0 || carriage >= 0) {
    const end = feed < 0 || (carriage >= 0 && carriage < feed) ? carriage : feed;
    const lineBreak = end === feed ? '\n' : lineBreakAt(bytes, end);
    line.add(bytes.subarray(start, end));
    if (lineBreak === undefined) return { lines, rest: bytes.subarray(end) };
    lines.push(line.finish(lineBreak));
    start = end + lineBreak.length;
    if (feed >= 0 && feed < start) feed = bytes.indexOf(LINE_FEED, start);
    if (carriage >= 0 && carriage < start) carriage = bytes.indexOf(CARRIAGE_RETURN, start);
  }
  line.add(bytes.subarray(start));
  return { lines, rest: bytes.subarray(bytes.length) };
}

/** @returns Undefined if the bytes end within what may be a longer line break. */
function lineBreakAt(bytes: Buffer, carriageReturn: number): LineBreak | undefined {
  const [second, third] = bytes.subarray(carriageReturn + 1, carriageReturn + 3);
  if (second === LINE_FEED) return '\r\n';
  if (second === CARRIAGE_RETURN && third === LINE_FEED) return '\r\r\n';
  return second === undefined || (second === CARRIAGE_RETURN && third === undefined) ? undefined : '\r';
}

class UnfinishedLine {
  #pieces: Buffer[] = [];
  #number = 1;
  length = 0;

  constructor(private readonly maxBytes: number) {}

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.length += piece.length;
    if (this.length <= this.maxBytes) this.#pieces.push(piece);
    else this.#pieces = [];
  }

  finish(lineBreak: LineBreak): Line {
    const isKept = this.length <= this.maxBytes;
    const line = {
      number: this.#number,
      bytes: isKept ? this.#bytes() : undefined,
      lineBreak,
      length: this.length + lineBreak.length,
    };
    this.#pieces = [];
    this.#number++;
    this.length = 0;
    return line;
  }

  #bytes(): Buffer {
    const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    const hasMark = this.#number === 1 && bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
    return hasMark ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
  }
}
