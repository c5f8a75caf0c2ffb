/** A line of the input, as it stands there. */
export interface Line {
  /** Of this line, the first one being 1. */
  readonly number: number;
  /** With its line break; undefined for a line that is longer than lines may be, which is read and not kept. */
  readonly bytes: Buffer | undefined;
  /** How much of the input it takes. */
  readonly length: number;
}

/** Longest line, and longest record, in bytes. A user with every field filled to its limit takes a tenth of it. */
export const MAX_LINE_BYTES = 65_536;

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/**
 * Cuts bytes into lines, and holds no more than one unfinished line meanwhile, up to its limit.
 *
 * Lines come in groups, as they come in: a step for each would cost more than the cutting.
 */
export async function* readLines(
  source: AsyncIterable<Buffer>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<readonly Line[]> {
  const line = new UnfinishedLine(maxBytes);
  for await (const chunk of source) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      line.add(chunk.subarray(start, end + 1));
      lines.push(line.finish());
      start = end + 1;
    }
    if (start < chunk.length) line.add(chunk.subarray(start));
    if (lines.length > 0) yield lines;
  }
  if (line.length > 0) yield [line.finish()];
}

class UnfinishedLine {
  #pieces: Buffer[] = [];
  #number = 1;
  length = 0;

  constructor(private readonly maxBytes: number) {}

  add(piece: Buffer): void {
    this.length += piece.length;
    if (this.length <= this.maxBytes) this.#pieces.push(piece);
    else this.#pieces = [];
  }

  finish(): Line {
    const isKept = this.length <= this.maxBytes;
    const line = { number: this.#number, bytes: isKept ? this.#bytes() : undefined, length: this.length };
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
