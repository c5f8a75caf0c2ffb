import type { Duplex } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import { type Abort, Attempt, type AttemptOptions, type Caller } from './attempt.js';
import type { RawHandler } from './raw-handler.js';

/** A caller with a handler of undici's newer form, which steers its call by a controller. */
export class ControlledCaller implements Caller {
  /** One for the whole call: the caller keeps it. */
  readonly #controller = new CallController();
  #isStarted = false;

  constructor(private readonly handler: Dispatcher.DispatchHandler) {}

  start(abort: Abort, context: unknown): void {
    this.#controller.abortRequest = abort;
    this.#isStarted = true;
    this.handler.onRequestStart?.(this.#controller, context);
  }

  takeOver(abort: Abort): void {
    if (this.#isStarted) this.#controller.abortRequest = abort;
    else this.start(abort, {});
  }

  fail(error: Error): void {
    this.handler.onResponseError?.(this.#controller, error);
  }

  attempt(options: AttemptOptions): Attempt & Dispatcher.DispatchHandler {
    return new ControlledAttempt(options, this.handler, this.#controller);
  }
}

/** Steers a call, however many requests it takes. Pauses only the request whose response is passed on. */
class CallController implements Dispatcher.DispatchController {
  paused = false;
  reason: Error | null = null;
  /** Ends the request under way, or the wait for the next one. */
  abortRequest: Abort = () => {};
  /** Controller of the request under way. */
  request: Dispatcher.DispatchController | undefined;
  /** Called before the request resumes. */
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
    this.paused = false;
    this.onResume?.();
    // The caller may have paused again on a kept event.
    if (!this.paused) this.request?.resume();
  }
}

class ControlledAttempt extends Attempt implements Dispatcher.DispatchHandler {
  constructor(
    options: AttemptOptions,
    private readonly handler: Dispatcher.DispatchHandler,
    private readonly controller: CallController,
  ) {
    super(options);
  }

  onRequestStart(request: Dispatcher.DispatchController, context?: unknown): void {
    this.controller.request = request;
    this.controller.onResume = () => this.deliverKept();
    this.connected((reason = new errors.RequestAbortedError()) => request.abort(reason), context);
  }

  onBodySent(...progress: unknown[]): void {
    (this.handler as Progress).onBodySent?.(...progress);
  }

  onRequestSent(): void {
    (this.handler as Progress).onRequestSent?.();
  }

  onResponseStarted(): void {
    this.handler.onResponseStarted?.();
  }

  onRequestUpgrade(
    _request: Dispatcher.DispatchController,
    status: number,
    headers: ParsedHeaders,
    socket: Duplex,
  ): void {
    this.upgraded(() => this.handler.onRequestUpgrade?.(this.controller, status, headers, socket));
  }

  onResponseStart(
    _request: Dispatcher.DispatchController,
    status: number,
    headers: ParsedHeaders,
    statusText?: string,
  ): void {
    const deliver = () => {
      this.handler.onResponseStart?.(this.controller, status, headers, statusText);
      return !this.controller.paused;
    };
    if (this.passes(status)) deliver();
    else this.hold({ status, headers: () => headers }, deliver);
  }

  onResponseData(request: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.isOpen) return this.handler.onResponseData?.(this.controller, chunk);
    const mayMoreCome = this.keep(chunk, () => {
      this.handler.onResponseData?.(this.controller, chunk);
      return !this.controller.paused;
    });
    if (!mayMoreCome) request.pause();
  }

  onResponseEnd(_request: Dispatcher.DispatchController, trailers: ParsedHeaders): void {
    this.completed(() => this.handler.onResponseEnd?.(this.controller, trailers));
  }

  onResponseError(_request: Dispatcher.DispatchController | null, error: Error): void {
    this.failed(error);
  }
}

type ParsedHeaders = Record<string, string | string[] | undefined>;

/** Members that the types of undici 7 do not declare in this form. */
type Progress = Pick<RawHandler, 'onBodySent' | 'onRequestSent'>;
