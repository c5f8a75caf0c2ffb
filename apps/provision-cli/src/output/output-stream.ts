import type { Writable } from 'node:stream';

/** Writes text to a stream at the pace of its reader, who may go at any time. */
export class OutputStream {
  /** Called once, when the reader has gone. */
  onBroken: (() => void) | undefined;
  #isBroken = false;
  #waiting: (() => void)[] = [];

  constructor(private readonly stream: Writable) {
    stream.on('drain', () => this.#release());
    // EPIPE, most likely. What is written from now on is for nobody.
    stream.on('error', () => this.#break());
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
      this.stream.write('', () => resolve());
    });
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
