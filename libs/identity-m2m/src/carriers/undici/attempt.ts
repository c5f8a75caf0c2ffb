import { type Dispatcher, errors } from 'undici';
import { JUDGED_BODY_TIMEOUT_MS, MAX_JUDGED_BODY_BYTES } from '../../token/token-rejection.js';
import { headerRecord, MAX_KEPT_BYTES, startOfValue } from '../response.js';

/** Aborts a request; undici passes it to the handler when the request begins. */
export type Abort = (reason?: Error) => void;

/** The caller's handler, in either of undici's two forms. */
export interface Caller {
  /** Reports the start of a request, which the caller can end with `abort`. */
  start(abort: Abort, context: unknown): void;
  /** Gives the caller another `abort` for the call. */
  takeOver(abort: Abort): void;
  fail(error: Error): void;
  /** Returns a handler of the same form for one attempt at the call. */
  attempt(options: AttemptOptions): Attempt & Dispatcher.DispatchHandler;
}

/** The call of an attempt; attempts at it follow one another. */
export interface AttemptedCall {
  /** Whether the caller's handler has had its last event. */
  readonly isOver: boolean;
  /** An attempt has its connection. */
  connected(abort: Abort, context: unknown): void;
  /** An attempt can no longer be aborted. */
  disconnected(abort: Abort): void;
  /** Makes the call abortable even while no attempt is under way. */
  takeOver(): void;
  /** Whether a response with this status may reject the token. */
  mayReject(status: number): boolean;
  complete(): void;
  fail(error: Error): void;
}

export interface AttemptOptions {
  readonly call: AttemptedCall;
  /** Which responses wait until the carrier has decided about them. */
  readonly holds: 'all' | 'rejections';
  onResponse(attempt: Attempt): void;
  /** No response came. */
  onFailure(error: Error): void;
}

/**
 * Maximum size of the rest of a discarded response that is read, so that its connection can be used again; in bytes.
 */
const MAX_DRAINED_BYTES = 65_536;

/** Time to wait for that rest, in milliseconds. */
const MAX_DRAINING_MS = 1000;

interface HeldResponse {
  readonly status: number;
  readonly headers: () => unknown;
}

/** An event of a held response. */
interface KeptEvent {
  readonly chunk?: Buffer;
  /** Passes the event to the caller. Returns whether the caller wants more. */
  deliver(): boolean;
}

/**
 * One attempt at a call. Everything passes straight to the caller's handler, except a response that the carrier has to
 * decide about: the attempt keeps it, and passes it on or discards it later.
 *
 * It never pauses a response: if one ends while it is paused, undici's parser throws and ends the process
 * (nodejs/undici#5360). What it keeps is limited, and a longer body is cut off.
 */
export abstract class Attempt {
  #state: 'open' | 'held' | 'passing on' | 'discarded' = 'open';
  #hasResponse = false;
  #hasEnded = false;
  #response: HeldResponse | undefined;
  #kept: KeptEvent[] = [];
  #keptBytes = 0;
  #drainedBytes = 0;
  #draining: NodeJS.Timeout | undefined;
  #isDelivering = false;
  #abort: Abort = () => {};
  /** Called when more of the body has arrived, or its end. */
  #onMore: (() => void) | undefined;

  constructor(protected readonly options: AttemptOptions) {}

  /** undefined if no response is held. */
  get status(): number | undefined {
    return this.#response?.status;
  }

  headers(): Readonly<Record<string, string>> {
    return headerRecord(this.#response?.headers());
  }

  /** Returns the beginning of a held response's body, as far as it arrives in time. */
  async bodyStart(): Promise<string> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, JUDGED_BODY_TIMEOUT_MS);
      this.#onMore = () => {
        if (!this.#hasEnded && this.#keptBytes < MAX_JUDGED_BODY_BYTES) return;
        clearTimeout(timer);
        resolve();
      };
      this.#onMore();
    });
    return startOfValue(Buffer.concat(this.#kept.flatMap(({ chunk }) => chunk ?? [])));
  }

  /** Passes the held response to the caller. */
  passOn(): void {
    this.#state = 'passing on';
    this.deliverKept();
  }

  /** Reads the rest of the response and drops it. The next attempt may be waiting for this connection. */
  discard(): void {
    if (this.#state !== 'held') return;
    this.#state = 'discarded';
    this.#kept = [];
    this.options.call.disconnected(this.#abort);
    if (!this.#hasEnded) this.#draining = setTimeout(() => this.#abortRest(), MAX_DRAINING_MS).unref();
  }

  /** Whether events pass straight to the caller. */
  protected get isOpen(): boolean {
    return this.#state === 'open';
  }

  protected connected(abort: Abort, context: unknown): void {
    this.#abort = abort;
    this.options.call.connected(abort, context);
  }

  /** Whether a response with this status passes straight to the caller. */
  protected passes(status: number): boolean {
    if (status < 200) return true;
    this.#hasResponse = true;
    return this.options.holds === 'rejections' && !this.options.call.mayReject(status);
  }

  /** Keeps a response for later, and reports it. */
  protected hold(response: HeldResponse, deliver: () => boolean): void {
    this.#state = 'held';
    this.#response = response;
    this.#kept.push({ deliver });
    this.options.call.takeOver();
    this.options.onResponse(this);
  }

  /** @returns Whether more may come. */
  protected keep(chunk: Buffer, deliver: () => boolean): boolean {
    if (this.#state === 'discarded') {
      this.#drainedBytes += chunk.length;
      if (this.#drainedBytes > MAX_DRAINED_BYTES) this.#abortRest();
      return true;
    }
    this.#kept.push({ chunk, deliver });
    this.#keptBytes += chunk.length;
    this.#onMore?.();
    if (this.#state === 'passing on') return false;
    if (this.#keptBytes > MAX_KEPT_BYTES) {
      const message = `A body of more than ${MAX_KEPT_BYTES} bytes came with a response that may reject the access token; the rest was cut off.`;
      this.#abort(new errors.ResponseExceededMaxSizeError(message));
    }
    return true;
  }

  protected upgraded(deliver: () => unknown): unknown {
    try {
      return deliver();
    } finally {
      this.options.call.complete();
      this.options.onResponse(this);
    }
  }

  protected completed(deliver: () => void): void {
    this.#end({
      deliver: () => {
        deliver();
        // Not before: undici treats an error that the handler throws as an error of the call.
        this.options.call.complete();
        return true;
      },
    });
  }

  protected failed(error: Error): void {
    if (!this.#hasResponse) {
      this.options.call.disconnected(this.#abort);
      return this.options.onFailure(error);
    }
    this.#end({
      deliver: () => {
        this.options.call.fail(error);
        return true;
      },
    });
  }

  /** Passes the kept events to the caller, as long as the caller wants more and has not ended the call. */
  protected deliverKept(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      let wantsMore = true;
      while (wantsMore && this.#state === 'passing on' && !this.options.call.isOver) {
        const event = this.#kept.shift();
        if (event) wantsMore = event.deliver();
        else this.#state = 'open';
      }
    } catch (error) {
      // As undici does if a handler throws.
      this.#abort(error as Error);
      this.options.call.fail(error as Error);
    } finally {
      this.#isDelivering = false;
    }
  }

  #end(event: KeptEvent): void {
    clearTimeout(this.#draining);
    this.#hasEnded = true;
    this.options.call.disconnected(this.#abort);
    if (this.#state === 'open') event.deliver();
    else this.#kept.push(event);
    this.#onMore?.();
  }

  #abortRest(): void {
    this.#abort(new Error('the rest of the response was discarded'));
  }
}
