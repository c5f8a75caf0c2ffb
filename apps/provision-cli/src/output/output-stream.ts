import type { Writable } from 'node:stream';
import { OutputError } from '../errors.js';

/** Writes text to a stream at the pace of its reader. The reader may close the stream at any time. */
export class OutputStream {
  /** Called once, when the reader has closed the stream. */
  onBroken: (() => void) | undefined;
  #isBroken = false;
  #error: Error | undefined;
  #waiting: (() => void)[] = [];

  constructor(private readonly stream: Writable) {
    stream.on('drain', () => this.#release());
    // After an error nothing more is written.
    stream.on('error', (error) => this.#fail(error));
    stream.on('close', () => this.#break());
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  write(text: string): void {
    if (!this.#isBroken) this.stream.write(text);
  }

  /** Resolves when the stream takes more. */
  async drained(): Promise<void> {
    if (this.stream.writableNeedDrain && !this.#isBroken) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when everything is written. */
  async flushed(): Promise<void> {
    if (this.#isBroken) return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      // The callback gets an error before the stream emits it.
      this.stream.write('', (error) => {
        if (error) this.#fail(error);
        resolve();
      });
    });
  }

  /** @throws OutputError if a write failed, unless the reader has closed the stream. */
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
