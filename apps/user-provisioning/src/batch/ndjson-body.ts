import type { IncomingMessage } from 'node:http';
import { BatchStoppedError, CLIENT_GONE } from './batch-answers.js';
import type { BatchLimits } from './batch-limits.js';

/**
 * Reads the body of a request on demand: the rest stays with the client, except for what fits into the buffers.
 */
export class BodyReader {
  constructor(
    private readonly request: IncomingMessage,
    private readonly limits: Pick<BatchLimits, 'idleMs' | 'lingerMs'>,
  ) {}

  /**
   * Returns the next piece, or undefined at the end.
   *
   * @throws {@link BatchStoppedError} if the client is too slow or gone; the reason of `signal`
   */
  async next(signal: AbortSignal): Promise<Buffer | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const piece = this.request.read() as Buffer | null;
      if (piece !== null) return piece;
      if (this.request.readableEnded) return undefined;
      if (this.request.destroyed) throw new BatchStoppedError(CLIENT_GONE);
      await this.#change(signal);
    }
  }

  /** Reads and discards the rest. */
  discard(): void {
    this.request.on('error', () => {}).resume();
  }

  /**
   * Waits for the end of a discarded body, but not for long. Closing the connection while the client still sends could
   * destroy the answer before the client reads it.
   */
  async linger(): Promise<void> {
    if (this.request.readableEnded || this.request.closed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.limits.lingerMs);
      for (const event of ['end', 'close']) {
        this.request.once(event, () => {
          clearTimeout(timer);
          resolve();
        });
      }
    });
  }

  /** Closes the connection if the client is still sending. */
  close(): void {
    if (!this.request.readableEnded) this.request.socket.destroySoon();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer);
        for (const event of EVENTS) this.request.off(event, proceed);
        signal.removeEventListener('abort', proceed);
        if (error) reject(error);
        else resolve();
      };
      const proceed = () => settle();
      const { idleMs } = this.limits;
      const timer = setTimeout(() => settle(idle(idleMs)), idleMs).unref();
      for (const event of EVENTS) this.request.on(event, proceed);
      signal.addEventListener('abort', proceed);
    });
  }
}

const EVENTS = ['readable', 'end', 'error', 'close'] as const;

function idle(idleMs: number): BatchStoppedError {
  const message = `No line came for ${idleMs / 1000} s.`;
  return new BatchStoppedError({ code: 'idle_timeout', message });
}

/** A line of NDJSON, or why it has no text. Numbers start at 1 and include blank lines. */
export type NdjsonLine =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: 'too_long' | 'not_utf8' };

const LINE_FEED = 0x0a;

/** Splits bytes into lines, and keeps only the incomplete line in memory. */
export class NdjsonSplitter {
  /** Pieces of the incomplete line; undefined if it is too long, and its rest is skipped. */
  #pieces: Buffer[] | undefined = [];
  #length = 0;
  #number = 1;

  constructor(private readonly maxLineBytes: number) {}

  /** Yields the lines that end in these bytes, without blank ones. */
  *push(bytes: Buffer): Generator<NdjsonLine> {
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
      this.#append(bytes.subarray(start, end));
      start = end + 1;
      yield* this.#line();
    }
    this.#append(bytes.subarray(start));
  }

  /** Yields a last line without a line feed. */
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
