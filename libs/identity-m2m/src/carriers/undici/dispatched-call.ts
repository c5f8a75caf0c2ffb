import { type Dispatcher, errors } from 'undici';
import type { AccessToken } from '../../token/access-token.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import { brokenBodySignal, type CallAuthorization, isReplayableBody, type OutgoingCall } from '../outgoing-call.js';
import type { TokenCarrier } from '../token-carrier.js';
import { type Attempt, type AttemptedCall, type AttemptOwner, ControlledAttempt, RawAttempt } from './attempt.js';
import { authorizedHeaders } from './dispatch-headers.js';
import { type Abort, CallController, isRawHandler, type RawHandler } from './raw-handler.js';

export interface CallDetails {
  readonly url: string;
  readonly wanted: GetTokenOptions | undefined;
  readonly carrier: TokenCarrier;
}

/**
 * A call that undici was given to dispatch, from the caller's handler on the one side to the attempts to answer it on the
 * other: one, or several where a 401 can be mended.
 */
export class DispatchedCall implements OutgoingCall<Attempt>, AttemptedCall {
  readonly method: string;
  readonly url: string;
  readonly token: GetTokenOptions | undefined;
  readonly #caller: Caller;
  readonly #carrier: TokenCarrier;
  /** Ends the attempt that is under way. */
  #abortAttempt: Abort | undefined;
  /** What the caller ends the call with, from when on there may be no attempt under way. */
  #abortCall: Abort | undefined;
  #waiting: AbortController | undefined;
  #isOver = false;
  /** Whether the carrier has been told that it begins, and has to be told of its end. */
  #isCounted = false;

  constructor(
    private readonly dispatch: Dispatcher.Dispatch,
    private readonly options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    { url, wanted, carrier }: CallDetails,
  ) {
    this.method = options.method;
    this.url = url;
    this.token = wanted;
    this.#carrier = carrier;
    this.#caller = isRawHandler(handler) ? new RawCaller(handler) : new ControlledCaller(handler);
  }

  /** The handler for a dispatch that is made at once, with a token that was there. */
  firstAttempt(token: AccessToken): Dispatcher.DispatchHandler {
    this.#carrier.callBegins();
    this.#isCounted = true;
    return this.#caller.attempt({
      call: this,
      holds: 'rejections',
      onAnswer: (answered) => this.#settle(this.#carrier.finish(this, token, answered)),
      onFailure: (error) => this.fail(error),
    });
  }

  /** Dispatches the call when there is a token, and a proof of it if that is needed. */
  waitAndSend(): void {
    this.takeOver();
    const brokenBody = brokenBodySignal(this.options.body);
    brokenBody?.addEventListener('abort', () => this.fail(brokenBody.reason as Error), { once: true });
    if (!this.#isOver) this.#settle(this.#carrier.call(this));
  }

  send(authorization: CallAuthorization): Promise<Attempt> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(new errors.RequestAbortedError());
      const owner: AttemptOwner = { call: this, holds: 'all', onAnswer: resolve, onFailure: reject };
      this.dispatch(withAuthorization(this.options, authorization), this.#caller.attempt(owner));
    });
  }

  status({ status }: Attempt): number | undefined {
    return status;
  }

  headers(attempt: Attempt): Readonly<Record<string, string>> {
    return attempt.headers();
  }

  bodyStart(attempt: Attempt): Promise<string> {
    return attempt.bodyStart();
  }

  mayReject(status: number): boolean {
    return this.#carrier.mayReject(status);
  }

  isReplayable(): boolean {
    const { upgrade, body } = this.options;
    return !upgrade && isReplayableBody(body, this.#carrier.maxReplayBytes);
  }

  discard(attempt: Attempt): void {
    attempt.letGo();
  }

  signal(): AbortSignal {
    this.#waiting ??= new AbortController();
    if (this.#isOver) this.#waiting.abort();
    return this.#waiting.signal;
  }

  connected(abort: Abort, context: unknown): void {
    if (this.#isOver) return abort();
    this.#abortAttempt = abort;
    this.#caller.start(this.#abortCall ?? abort, context);
  }

  takeOver(): void {
    if (this.#abortCall) return;
    this.#abortCall = (reason = new errors.RequestAbortedError()) => {
      this.#abortAttempt?.(reason);
      this.fail(reason);
    };
    this.#caller.takeOver(this.#abortCall);
  }

  disconnected(abort: Abort): void {
    if (this.#abortAttempt === abort) this.#abortAttempt = undefined;
  }

  complete(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#isCounted) this.#carrier.callEnds();
  }

  fail(error: Error): void {
    if (this.#isOver) return;
    this.complete();
    this.#waiting?.abort();
    this.#caller.fail(error);
  }

  #settle(answered: Promise<Attempt>): void {
    answered.then(
      (attempt) => (this.#isOver ? attempt.letGo() : attempt.passOn()),
      (error: Error) => this.fail(error),
    );
  }
}

/** The handler that the caller gave undici, in either of its forms. */
interface Caller {
  /** A request begins, which the caller can end by this. */
  start(abort: Abort, context: unknown): void;
  /** The caller can end the call by this from now on. */
  takeOver(abort: Abort): void;
  fail(error: Error): void;
  /** A handler of the same form, for a request that is made for the caller. */
  attempt(owner: AttemptOwner): Attempt & Dispatcher.DispatchHandler;
}

class RawCaller implements Caller {
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

  attempt(owner: AttemptOwner): Attempt & Dispatcher.DispatchHandler {
    return new RawAttempt(owner, this.handler);
  }
}

class ControlledCaller implements Caller {
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

  attempt(owner: AttemptOwner): Attempt & Dispatcher.DispatchHandler {
    return new ControlledAttempt(owner, this.handler, this.#controller);
  }
}

/**
 * A copy of a call's options with the token on it, and marked so that a redirect interceptor further in leaves the call
 * alone: what it would make of it does not pass here any more.
 */
export function withAuthorization(
  options: Dispatcher.DispatchOptions,
  authorization: CallAuthorization,
): Dispatcher.DispatchOptions {
  // A literal that spreads and then adds a member makes an object that V8 is slow with, here and all through undici.
  const copy: Dispatcher.DispatchOptions & { maxRedirections?: number } = Object.assign({}, options);
  copy.headers = authorizedHeaders(options.headers, authorization);
  copy.maxRedirections = 0;
  return copy;
}
