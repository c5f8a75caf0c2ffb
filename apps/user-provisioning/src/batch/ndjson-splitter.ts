/** A line of NDJSON as it came, or why it has no text. Lines are counted from 1, blank ones too. */
export type NdjsonLine =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: 'too_long' | 'not_utf8' };

const LINE_FEED = 0x0a;

/** Cuts bytes into lines, and keeps no more of them than the line that is not complete yet. */
export class NdjsonSplitter {
  /** Pieces of the line that is not complete yet; undefined: it is too long, and its rest is passed over. */
  #pieces: Buffer[] | undefined = [];
  #length = 0;
  #number = 1;

  constructor(private readonly maxLineBytes: number) {}

  /** The lines that end in these bytes, cut as they are asked for. Blank ones are left out. */
  *push(bytes: Buffer): Generator<NdjsonLine> {
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
      this.#append(bytes.subarray(start, end));
      start = end + 1;
      yield* this.#line();
    }
    this.#append(bytes.subarray(start));
  }

  /** The last line, where no line feed stands behind it. */
  *end(): Generator<NdjsonLine> {
    yield* this.#line();
  }

  #append(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > this.maxLineBytes) this.#pieces = undefined;
    if (piece.length > 0) this.#pieces?.push(piece);
  }

  *#line(): Generator<NdjsonLine> {
    const pieces = this.#pieces;
    const number = this.#number++;
    this.#pieces = [];
    this.#length = 0;
    const text = pieces && textOf(pieces);
    if (text === undefined) yield { number, fault: pieces ? 'not_utf8' : 'too_long' };
    else if (text.trim() !== '') yield { number, text };
  }
}

function textOf(pieces: readonly Buffer[]): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
  } catch {
    return undefined;
  }
}
