import { type Dispatcher, util } from 'undici';

/** What ends a request, as undici hands it out when the request begins. */
export type Abort = (reason?: Error) => void;
export type RawHeaders = Buffer[];
export type RawTrailers = string[] | null;

/**
 * The form in which undici's clients themselves call a handler. In between, undici turns it into the newer form and back
 * for each interceptor, which takes the headers apart and puts them together again each time, and costs more than all
 * that is done here.
 */
export interface RawHandler {
  onConnect(abort: Abort, context?: unknown): void;
  onResponseStarted?(): void;
  onUpgrade(status: number, headers: RawHeaders, socket: unknown): unknown;
  /** @returns false: no more until `resume` is called. Nothing is as good as true. */
  onHeaders(status: number, headers: RawHeaders, resume: () => void, statusText: string): boolean;
  /** @returns false: no more until `resume` is called. Nothing is as good as true. */
  onData(chunk: Buffer): boolean;
  onComplete(trailers: RawTrailers): void;
  onError(error: Error): void;
}

/** The handler in its raw form, which those of undici's own calls have, and those that came with older versions. */
export function toRawHandler(handler: Dispatcher.DispatchHandler): RawHandler {
  return typeof handler.onHeaders === 'function' ? (handler as unknown as RawHandler) : new AdaptedHandler(handler);
}

/** A handler of the newer form only, as interceptors that redirect or retry put in between. */
class AdaptedHandler implements RawHandler {
  #controller: Controller | undefined;

  constructor(private readonly handler: Dispatcher.DispatchHandler) {}

  onConnect(abort: Abort, context?: unknown): void {
    this.#controller = new Controller(abort);
    this.handler.onRequestStart?.(this.#controller, context);
  }

  onResponseStarted(): void {
    this.handler.onResponseStarted?.();
  }

  onUpgrade(status: number, headers: RawHeaders, socket: unknown): void {
    const controller = this.#started();
    controller.rawHeaders = headers;
    this.handler.onRequestUpgrade?.(controller, status, util.parseHeaders(headers), socket as never);
  }

  onHeaders(status: number, headers: RawHeaders, resume: () => void, statusText: string): boolean {
    const controller = this.#started();
    controller.rawHeaders = headers;
    controller.whenResumed = resume;
    this.handler.onResponseStart?.(controller, status, util.parseHeaders(headers), statusText);
    return !controller.paused;
  }

  onData(chunk: Buffer): boolean {
    const controller = this.#started();
    this.handler.onResponseData?.(controller, chunk);
    return !controller.paused;
  }

  onComplete(trailers: RawTrailers): void {
    const controller = this.#started();
    controller.rawTrailers = trailers;
    this.handler.onResponseEnd?.(controller, util.parseHeaders(trailers ?? []));
  }

  onError(error: Error): void {
    this.handler.onResponseError?.(this.#started(), error);
  }

  /** An error may come before a request has begun. */
  #started(): Controller {
    return (this.#controller ??= new Controller(() => {}));
  }
}

class Controller implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;
  rawHeaders: RawHeaders | null = null;
  rawTrailers: RawTrailers = null;
  whenResumed: (() => void) | undefined;
  readonly #abort: Abort;

  constructor(abort: Abort) {
    this.#abort = abort;
  }

  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.#abort(reason);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.whenResumed?.();
  }
}
