import type { Dispatcher } from 'undici';
import { type Abort, Attempt, type AttemptOptions, type Caller } from './attempt.js';

type RawHeaders = Buffer[];
type RawTrailers = string[] | null;

/**
 * The older of undici's two forms of a handler. Version 7 calls its own handlers in this form. It would convert them to
 * the newer form and back for each interceptor, and the headers with them. Version 8 knows only the newer form,
 * `Dispatcher.DispatchHandler`.
 */
export interface RawHandler {
  onConnect(abort: Abort, context?: unknown): void;
  onBodySent?(...args: unknown[]): void;
  onRequestSent?(): void;
  onResponseStarted?(): void;
  onUpgrade(status: number, headers: RawHeaders, socket: unknown): unknown;
  /** @returns false to pause until `resume` is called; undefined counts as true. */
  onHeaders(status: number, headers: RawHeaders, resume: () => void, statusText: string): boolean;
  /** @returns false to pause until `resume` is called; undefined counts as true. */
  onData(chunk: Buffer): boolean;
  onComplete(trailers: RawTrailers): void;
  onError(error: Error): void;
}

/** undici 7 wraps its interceptors' handlers in ones of both forms, and calls them in the older one. */
export function isRawHandler(handler: Dispatcher.DispatchHandler | RawHandler): handler is RawHandler {
  return typeof handler.onHeaders === 'function';
}

/** A caller with a handler of the older form. */
export class RawCaller implements Caller {
  constructor(private readonly handler: RawHandler) {}

  start(abort: Abort, context: unknown): void {
    this.handler.onConnect(abort, context);
  }

  takeOver(abort: Abort): void {
    this.handler.onConnect(abort);
  }

  fail(error: Error): void {
    this.handler.onError(error);
  }

  attempt(options: AttemptOptions): Attempt & Dispatcher.DispatchHandler {
    return new RawAttempt(options, this.handler);
  }
}

class RawAttempt extends Attempt implements RawHandler {
  constructor(
    options: AttemptOptions,
    private readonly handler: RawHandler,
  ) {
    super(options);
  }

  onConnect(abort: Abort, context?: unknown): void {
    this.connected(abort, context);
  }

  onBodySent(...progress: unknown[]): void {
    this.handler.onBodySent?.(...progress);
  }

  onRequestSent(): void {
    this.handler.onRequestSent?.();
  }

  onResponseStarted(): void {
    this.handler.onResponseStarted?.();
  }

  onUpgrade(status: number, headers: RawHeaders, socket: unknown): unknown {
    return this.upgraded(() => this.handler.onUpgrade(status, headers, socket));
  }

  onHeaders(status: number, headers: RawHeaders, resume: () => void, statusText: string): boolean {
    if (this.passes(status)) return this.handler.onHeaders(status, headers, resume, statusText);
    const resumeAll = () => {
      this.deliverKept();
      resume();
    };
    this.hold({ status, headers: () => pairsOf(headers) }, () =>
      wantsMore(this.handler.onHeaders(status, headers, resumeAll, statusText)),
    );
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.isOpen) return this.handler.onData(chunk);
    return this.keep(chunk, () => wantsMore(this.handler.onData(chunk)));
  }

  onComplete(trailers: RawTrailers): void {
    this.completed(() => this.handler.onComplete(trailers));
  }

  onError(error: Error): void {
    this.failed(error);
  }
}

/** undici pauses only for false. */
function wantsMore(result: boolean | undefined): boolean {
  return result !== false;
}

/** @param headers Names and values in turn; a value is a list if an interceptor has joined the fields of a name. */
function pairsOf(headers: RawHeaders): [string, string | string[]][] {
  const pairs: [string, string | string[]][] = [];
  for (let index = 0; index < headers.length; index += 2) {
    const value: Buffer | Buffer[] | undefined = headers[index + 1];
    pairs.push([latin1(headers[index]!), Array.isArray(value) ? value.map(latin1) : latin1(value!)]);
  }
  return pairs;
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1');
}
