import type { Writable } from 'node:stream';

/** What was to be written could not be, and not because its reader has gone: the disk is full, for example. */
export class OutputError extends Error {
  readonly code = 'OUTPUT_UNWRITABLE';

  constructor(cause: Error) {
    super(`The output cannot be written: ${cause.message}`, { cause });
    this.name = 'OutputError';
  }
}

/** Writes text to a stream at the pace of its reader, who may go at any time. */
export class OutputStream {
  /** Called once, when the reader has gone. */
  onBroken: (() => void) | undefined;
  #isBroken = false;
  #error: Error | undefined;
  #waiting: (() => void)[] = [];

  constructor(private readonly stream: Writable) {
    stream.on('drain', () => this.#release());
    // What is written from now on is for nobody.
    stream.on('error', (error) => this.#fail(error));
    stream.on('close', () => this.#break());
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  write(text: string): void {
    if (!this.#isBroken) this.stream.write(text);
  }

  /** Resolves when there is room. */
  async drained(): Promise<void> {
    if (this.stream.writableNeedDrain && !this.#isBroken) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when all is written. */
  async flushed(): Promise<void> {
    if (this.#isBroken) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      // An error comes here before it is an event of the stream.
      this.stream.write('', (error) => {
        if (error) this.#fail(error);
        resolve();
      });
    });
  }

  /** @throws {@link OutputError} where something could not be written, unless its reader has gone. */
  requireWritten(): void {
    if (this.#error) throw new OutputError(this.#error);
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (error.code !== 'EPIPE') this.#error ??= error;
    this.#break();
  }

  #break(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#release();
    this.onBroken?.();
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
