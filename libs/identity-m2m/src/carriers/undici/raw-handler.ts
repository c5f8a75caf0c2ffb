import type { Dispatcher } from 'undici';

/** What ends a request, as undici hands it out when the request begins. */
export type Abort = (reason?: Error) => void;
export type RawHeaders = Buffer[];
export type RawTrailers = string[] | null;

/**
 * The older of undici's two forms of a handler. Version 7 calls its own handlers by it, and would turn it into the newer
 * form and back for each interceptor, which takes the headers apart and puts them together again each time. Version 8 knows
 * the newer form alone, `Dispatcher.DispatchHandler`.
 */
export interface RawHandler {
  onConnect(abort: Abort, context?: unknown): void;
  onBodySent?(...args: unknown[]): void;
  onRequestSent?(): void;
  onResponseStarted?(): void;
  onUpgrade(status: number, headers: RawHeaders, socket: unknown): unknown;
  /** @returns false: no more until `resume` is called. Nothing is as good as true. */
  onHeaders(status: number, headers: RawHeaders, resume: () => void, statusText: string): boolean;
  /** @returns false: no more until `resume` is called. Nothing is as good as true. */
  onData(chunk: Buffer): boolean;
  onComplete(trailers: RawTrailers): void;
  onError(error: Error): void;
}

/** Handlers that speak both forms, as undici 7 puts them around those of its interceptors, are called by the older one. */
export function isRawHandler(handler: Dispatcher.DispatchHandler | RawHandler): handler is RawHandler {
  return typeof handler.onHeaders === 'function';
}

/** Fails a call that was not dispatched. */
export function failCall(handler: Dispatcher.DispatchHandler, error: Error): void {
  if (isRawHandler(handler)) handler.onError(error);
  else handler.onResponseError?.(new CallController(), error);
}

/**
 * What a handler of the newer form steers its call by: one for the whole call, however many requests it takes. Only the one
 * whose answer is passed on is paused.
 */
export class CallController implements Dispatcher.DispatchController {
  paused = false;
  reason: Error | null = null;
  /** Ends the request that is under way, or the wait for the next. */
  abortRequest: Abort = () => {};
  /** That of the request under way. */
  request: Dispatcher.DispatchController | undefined;
  /** Called when the caller wants more after a pause, before the request is. */
  onResume: (() => void) | undefined;

  get aborted(): boolean {
    return this.reason !== null;
  }

  get rawHeaders(): Dispatcher.DispatchController['rawHeaders'] {
    return this.request?.rawHeaders;
  }

  get rawTrailers(): Dispatcher.DispatchController['rawTrailers'] {
    return this.request?.rawTrailers;
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.reason = reason;
    this.abortRequest(reason);
  }

  pause(): void {
    this.paused = true;
    this.request?.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.onResume?.();
    // The caller may have paused again with what was kept for it.
    if (!this.paused) this.request?.resume();
  }
}
