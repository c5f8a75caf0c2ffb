import type { ServerResponse } from 'node:http';

/** Writes lines of NDJSON as fast as the client takes them. */
export class AnswerStream {
  #room: Promise<void> | undefined;

  /** @param idleMs How long the client may take none of the answer, in milliseconds; then it is taken to be gone. */
  constructor(
    private readonly response: ServerResponse,
    private readonly idleMs: number,
  ) {
    response.writeHead(200, {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    response.flushHeaders();
  }

  /** Resolves when there is room for the next line, or nobody to write it to. */
  async write(line: object): Promise<void> {
    if (this.response.destroyed || this.response.write(`${JSON.stringify(line)}\n`)) return;
    this.#room ??= this.#becomesFree().finally(() => (this.#room = undefined));
    await this.#room;
  }

  /** Resolves when everything has been handed to the operating system, or the client is gone. */
  async end(): Promise<void> {
    if (this.response.destroyed) return;
    await new Promise<void>((resolve) => {
      const patience = setTimeout(() => this.response.destroy(), this.idleMs).unref();
      this.response.once('close', () => {
        clearTimeout(patience);
        resolve();
      });
      this.response.end(resolve);
    });
  }

  #becomesFree(): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(patience);
        this.response.off('drain', settle).off('close', settle);
        resolve();
      };
      const patience = setTimeout(() => this.response.destroy(), this.idleMs).unref();
      this.response.on('drain', settle).on('close', settle);
    });
  }
}
