import { util } from 'undici';
import type { AnswerAboutToken } from '../token-carrier.js';
import type { DispatchedCall } from './dispatched-call.js';
import type { Abort, RawHandler, RawHeaders, RawTrailers } from './raw-handler.js';

/** Longest rest of an answer that is read although nobody wants it, so that its connection can be used again. */
const MAX_DRAINED_BYTES = 65_536;

/** How long the rest of such an answer is waited for, in milliseconds. */
const MAX_DRAINING_MS = 1000;

interface HeldAnswer {
  readonly status: number;
  readonly headers: RawHeaders;
  readonly resume: () => void;
  readonly statusText: string;
}

/**
 * One sending of a call. All that comes goes through to the caller's handler, but for an answer that has to wait until it
 * is decided what becomes of it: that is held, its body left where it is, and later passed on or let go.
 */
export class Attempt implements RawHandler {
  #state: 'open' | 'held' | 'let go' = 'open';
  #isAnswered = false;
  #answer: HeldAnswer | undefined;
  #abort: Abort = () => {};
  #drainedBytes = 0;
  #draining: NodeJS.Timeout | undefined;
  /** What came although the answer is held: not every dispatcher can pause. */
  #late: (() => void)[] | undefined;

  constructor(
    private readonly call: DispatchedCall,
    private readonly holds: 'all' | 'refusals',
    private readonly onAnswer: (attempt: Attempt) => void,
    /** No answer came. */
    private readonly onFailure: (error: Error) => void,
  ) {}

  onConnect(abort: Abort, context?: unknown): void {
    this.#abort = abort;
    this.call.connected(abort, context);
  }

  onResponseStarted(): void {
    this.call.handler.onResponseStarted?.();
  }

  onUpgrade(status: number, headers: RawHeaders, socket: unknown): unknown {
    this.#isAnswered = true;
    const result = this.call.handler.onUpgrade(status, headers, socket);
    this.call.complete();
    if (this.holds === 'all') this.onAnswer(this);
    return result;
  }

  onHeaders(status: number, headers: RawHeaders, resume: () => void, statusText: string): boolean {
    if (status < 200) return this.call.handler.onHeaders(status, headers, resume, statusText);
    this.#isAnswered = true;
    if (this.holds !== 'all' && !this.call.isRefusal(status)) {
      return this.call.handler.onHeaders(status, headers, resume, statusText);
    }
    this.#state = 'held';
    this.#answer = { status, headers, resume, statusText };
    this.call.takeOver();
    this.onAnswer(this);
    return false;
  }

  onData(chunk: Buffer): boolean {
    if (this.#state === 'open') return this.call.handler.onData(chunk);
    if (this.#state === 'held') {
      this.#later(() => this.call.handler.onData(chunk));
      return false;
    }
    this.#drainedBytes += chunk.length;
    if (this.#drainedBytes > MAX_DRAINED_BYTES) this.#giveUpRest();
    return true;
  }

  onComplete(trailers: RawTrailers): void {
    clearTimeout(this.#draining);
    this.call.disconnected(this.#abort);
    if (this.#state === 'held') this.#later(() => this.#complete(trailers));
    else if (this.#state === 'open') this.#complete(trailers);
  }

  onError(error: Error): void {
    clearTimeout(this.#draining);
    this.call.disconnected(this.#abort);
    if (this.#state === 'held') this.#later(() => this.call.fail(error));
    else if (this.#state === 'open' && this.#isAnswered) this.call.fail(error);
    else if (this.#state === 'open') this.onFailure(error);
  }

  about(): AnswerAboutToken | undefined {
    if (!this.#answer) return undefined;
    const headers = util.parseHeaders(this.#answer.headers);
    return {
      status: this.#answer.status,
      challenges: joined(headers['www-authenticate']),
      dpopNonce: joined(headers['dpop-nonce']),
    };
  }

  /** Gives the held answer to the caller. */
  passOn(): void {
    if (this.#state !== 'held' || !this.#answer) return;
    this.#state = 'open';
    const { status, headers, resume, statusText } = this.#answer;
    try {
      const wantsMore = this.call.handler.onHeaders(status, headers, resume, statusText) as boolean | undefined;
      for (const event of this.#late ?? []) event();
      if (wantsMore !== false) resume();
    } catch (error) {
      // As undici does where a handler throws.
      this.#abort(error as Error);
      this.call.fail(error as Error);
    }
  }

  /** Reads what is left of the answer and forgets it. The next attempt may be waiting for this connection. */
  letGo(): void {
    if (this.#state !== 'held') return;
    this.#state = 'let go';
    this.#late = undefined;
    this.call.disconnected(this.#abort);
    this.#draining = setTimeout(() => this.#giveUpRest(), MAX_DRAINING_MS).unref();
    this.#answer?.resume();
  }

  #giveUpRest(): void {
    this.#abort(new Error('the rest of the answer is not wanted'));
  }

  #later(event: () => void): void {
    (this.#late ??= []).push(event);
  }

  #complete(trailers: RawTrailers): void {
    this.call.handler.onComplete(trailers);
    // Not before: a handler may throw here, which undici takes for an error of the call.
    this.call.complete();
  }
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}
