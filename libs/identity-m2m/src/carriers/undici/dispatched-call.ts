import { type Dispatcher, errors } from 'undici';
import type { AccessToken } from '../../token/access-token.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import { brokenBodySignal } from '../broken-body.js';
import { isReplayableBody } from '../replayable-body.js';
import type { AnswerAboutToken, BoundCall, CallAuthorization, TokenCarrier } from '../token-carrier.js';
import { Attempt } from './attempt.js';
import { authorizedHeaders } from './dispatch-headers.js';
import type { Abort, RawHandler } from './raw-handler.js';

export interface CallDetails {
  readonly url: string;
  readonly wanted: GetTokenOptions | undefined;
  readonly carrier: TokenCarrier;
}

/**
 * A call that undici was given to dispatch, from the caller's handler on the one side to the attempts to answer it on the
 * other: one, or several where a 401 can be mended.
 */
export class DispatchedCall implements BoundCall<Attempt> {
  readonly method: string;
  readonly url: string;
  readonly token: GetTokenOptions | undefined;
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
    readonly handler: RawHandler,
    { url, wanted, carrier }: CallDetails,
  ) {
    this.method = options.method;
    this.url = url;
    this.token = wanted;
    this.#carrier = carrier;
  }

  /** The handler for a dispatch that is made at once, with a token that was there. */
  firstAttempt(token: AccessToken): RawHandler {
    this.#carrier.callBegins();
    this.#isCounted = true;
    return new Attempt(
      this,
      'refusals',
      (answered) => this.#settle(this.#carrier.finish(this, token, answered)),
      (error) => this.fail(error),
    );
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
      this.dispatch(withAuthorization(this.options, authorization), new Attempt(this, 'all', resolve, reject));
    });
  }

  about(attempt: Attempt): AnswerAboutToken | undefined {
    return attempt.about();
  }

  isRefusal(status: number): boolean {
    return this.#carrier.isRefusal(status);
  }

  isReplayable(): boolean {
    const { upgrade, body } = this.options;
    return !upgrade && isReplayableBody(body, this.#carrier.replay.maxBytes);
  }

  discard(attempt: Attempt): void {
    attempt.letGo();
  }

  signal(): AbortSignal {
    this.#waiting ??= new AbortController();
    if (this.#isOver) this.#waiting.abort();
    return this.#waiting.signal;
  }

  /** An attempt has its connection. */
  connected(abort: Abort, context: unknown): void {
    if (this.#isOver) return abort();
    this.#abortAttempt = abort;
    this.handler.onConnect(this.#abortCall ?? abort, context);
  }

  /** From now on there may be times with nothing under way, in which the caller can still end the call. */
  takeOver(): void {
    if (this.#abortCall) return;
    this.#abortCall = (reason = new errors.RequestAbortedError()) => {
      this.#abortAttempt?.(reason);
      this.fail(reason);
    };
    this.handler.onConnect(this.#abortCall);
  }

  /** An attempt has nothing more that could be aborted. */
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
    this.handler.onError(error);
  }

  #settle(answered: Promise<Attempt>): void {
    answered.then(
      (attempt) => (this.#isOver ? attempt.letGo() : attempt.passOn()),
      (error: Error) => this.fail(error),
    );
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
