import type { IncomingMessage } from 'node:http';
import type { BatchLimits } from './batch-limits.js';
import { BatchStoppedError } from './batch-stopped-error.js';

/**
 * Reads the body of a request no further than it is asked to: what is not asked for stays with the client, but for
 * what fits into the buffers on the way.
 */
export class BodyReader {
  constructor(
    private readonly request: IncomingMessage,
    private readonly limits: Pick<BatchLimits, 'idleMs' | 'lingerMs'>,
  ) {}

  /**
   * The next piece; undefined where there is none.
   *
   * @throws {@link BatchStoppedError} where the client is too slow or gone; the reason of `signal`
   */
  async next(signal: AbortSignal): Promise<Buffer | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const piece = this.request.read() as Buffer | null;
      if (piece !== null) return piece;
      if (this.request.readableEnded) return undefined;
      if (this.request.destroyed) {
        throw new BatchStoppedError({ code: 'client_gone', message: 'The client is gone.' });
      }
      await this.#change(signal);
    }
  }

  /** Reads the rest and throws it away. */
  discard(): void {
    this.request.on('error', () => {}).resume();
  }

  /**
   * Waits for the end of a body that is being thrown away, but not for long. Closing the connection with bytes on their
   * way to it could take the answer away from a client that has not read it yet.
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

  /** Ends the connection where the client is not done with its request. */
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
