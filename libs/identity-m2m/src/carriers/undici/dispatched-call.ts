import { type Dispatcher, errors } from 'undici';
import type { AccessToken } from '../../token/access-token.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import { brokenBodySignal, type CallAuthorization, isReplayableBody, type OutgoingCall } from '../outgoing-call.js';
import type { TokenCarrier } from '../token-carrier.js';
import type { Abort, Attempt, AttemptedCall, AttemptOptions, Caller } from './attempt.js';
import { ControlledCaller } from './controlled-handler.js';
import { authorizedHeaders } from './dispatch-headers.js';
import { isRawHandler, RawCaller } from './raw-handler.js';

export interface CallDetails {
  readonly url: string;
  readonly wanted: GetTokenOptions | undefined;
  readonly carrier: TokenCarrier;
}

/**
 * A call that undici was given to dispatch, between the caller's handler and the attempts at it: one, or several if a
 * rejected token is renewed.
 */
export class DispatchedCall implements OutgoingCall<Attempt>, AttemptedCall {
  readonly method: string;
  readonly url: string;
  readonly token: GetTokenOptions | undefined;
  readonly #caller: Caller;
  readonly #carrier: TokenCarrier;
  /** Aborts the attempt under way. */
  #abortAttempt: Abort | undefined;
  /** Aborts the call; set as soon as there may be no attempt under way. */
  #abortCall: Abort | undefined;
  #waiting: AbortController | undefined;
  #isOver = false;
  /** Whether the carrier counts this call as under way, and must learn of its end. */
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
    this.#caller = callerOf(handler);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Dispatches the call at once, with an available token. */
  sendNow(token: AccessToken): boolean {
    this.#carrier.callBegins();
    this.#isCounted = true;
    const attempt = this.#caller.attempt({
      call: this,
      holds: 'rejections',
      onResponse: (attempt) => this.#settle(this.#carrier.finish(this, token, attempt)),
      onFailure: (error) => this.fail(error),
    });
    try {
      return this.dispatch(withAuthorization(this.options, this.#carrier.authorizationOf(token)), attempt);
    } catch (error) {
      this.complete();
      throw error;
    }
  }

  /** Dispatches the call as soon as there is a token, and a proof of it if it needs one. */
  waitAndSend(): void {
    this.takeOver();
    const brokenBody = brokenBodySignal(this.options.body);
    brokenBody?.addEventListener('abort', () => this.fail(brokenBody.reason as Error), { once: true });
    if (!this.#isOver) this.#settle(this.#carrier.call(this));
  }

  send(authorization: CallAuthorization): Promise<Attempt> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(new errors.RequestAbortedError());
      const options: AttemptOptions = { call: this, holds: 'all', onResponse: resolve, onFailure: reject };
      this.dispatch(withAuthorization(this.options, authorization), this.#caller.attempt(options));
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
    attempt.discard();
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

  #settle(finished: Promise<Attempt>): void {
    finished.then(
      (attempt) => (this.#isOver ? attempt.discard() : attempt.passOn()),
      (error: Error) => this.fail(error),
    );
  }
}

/** Fails a call that was not dispatched. */
export function failCall(handler: Dispatcher.DispatchHandler, error: Error): void {
  callerOf(handler).fail(error);
}

function callerOf(handler: Dispatcher.DispatchHandler): Caller {
  return isRawHandler(handler) ? new RawCaller(handler) : new ControlledCaller(handler);
}

/**
 * Returns a copy of the call's options with the token. It also stops a redirect interceptor behind this one from
 * following redirects, because its requests would not pass through here.
 */
function withAuthorization(
  options: Dispatcher.DispatchOptions,
  authorization: CallAuthorization,
): Dispatcher.DispatchOptions {
  // Not a literal with a spread and a further member: V8 is slow with such an object, here and throughout undici.
  const copy: Dispatcher.DispatchOptions & { maxRedirections?: number } = Object.assign({}, options);
  copy.headers = authorizedHeaders(options.headers, authorization);
  copy.maxRedirections = 0;
  return copy;
}
