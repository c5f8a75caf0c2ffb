import type { Duplex } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import { JUDGED_BODY_TIMEOUT_MS, MAX_JUDGED_BODY_BYTES } from '../../token/token-rejection.js';
import { MAX_KEPT_BYTES, startOfValue, headerRecord } from '../response.js';
import type { Abort, CallController, RawHandler, RawHeaders, RawTrailers } from './raw-handler.js';

/** Longest rest of an answer that is read although nobody wants it, so that its connection can be used again. */
const MAX_DRAINED_BYTES = 65_536;

/** How long the rest of such an answer is waited for, in milliseconds. */
const MAX_DRAINING_MS = 1000;

/** What is known of an answer that is held. */
interface HeldAnswer {
  readonly status: number;
  readonly headers: () => unknown;
}

/** Something that came although the answer is held. */
interface KeptEvent {
  readonly chunk?: Buffer;
  /** Hands it to the caller. Returns whether the caller wants more. */
  deliver(): boolean;
}

/** The call that attempts are made for, one after the other. */
export interface AttemptedCall {
  /** An attempt has its connection. */
  connected(abort: Abort, context: unknown): void;
  /** An attempt has nothing more to abort. */
  disconnected(abort: Abort): void;
  /** From now on there may be times without an attempt, in which the caller can still abort the call. */
  takeOver(): void;
  /** Whether an answer of this status may be one that rejects the token. */
  mayReject(status: number): boolean;
  complete(): void;
  fail(error: Error): void;
}

/** What an attempt is made for. */
export interface AttemptOwner {
  readonly call: AttemptedCall;
  /** Which answers wait until it is decided what becomes of them. */
  readonly holds: 'all' | 'rejections';
  onAnswer(attempt: Attempt): void;
  /** No answer came. */
  onFailure(error: Error): void;
}

/**
 * One sending of a call. All that comes goes through to the caller's handler, but for an answer that has to wait until it
 * is decided what becomes of it: that is kept, and later passed on or let go.
 *
 * Nothing is ever paused on the way: of an answer that ends while it is paused, undici's parser dies, and the process with it
 * (nodejs/undici#5360). What is kept has a bound, and a body beyond it is cut off.
 */
export abstract class Attempt {
  #state: 'open' | 'held' | 'passing on' | 'let go' = 'open';
  #isAnswered = false;
  #hasEnded = false;
  #answer: HeldAnswer | undefined;
  #kept: KeptEvent[] = [];
  #keptBytes = 0;
  #drainedBytes = 0;
  #draining: NodeJS.Timeout | undefined;
  #isDelivering = false;
  #abort: Abort = () => {};
  /** Called when more of the body is there, or its end. */
  #onMore: (() => void) | undefined;

  constructor(protected readonly owner: AttemptOwner) {}

  /** undefined where the answer is not held, or none came. */
  get status(): number | undefined {
    return this.#answer?.status;
  }

  headers(): Readonly<Record<string, string>> {
    return headerRecord(this.#answer?.headers());
  }

  /** The beginning of the body of an answer that is held, as far as it comes in time. */
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

  /** Gives the held answer to the caller. */
  passOn(): void {
    if (this.#state !== 'held') return;
    this.#state = 'passing on';
    this.deliverKept();
  }

  /** Reads what is left of the answer and forgets it. The next attempt may be waiting for this connection. */
  letGo(): void {
    if (this.#state !== 'held') return;
    this.#state = 'let go';
    this.#kept = [];
    this.owner.call.disconnected(this.#abort);
    if (!this.#hasEnded) this.#draining = setTimeout(() => this.#giveUpRest(), MAX_DRAINING_MS).unref();
  }

  /** Whether what comes goes straight to the caller. */
  protected get isOpen(): boolean {
    return this.#state === 'open';
  }

  protected connected(abort: Abort, context: unknown): void {
    this.#abort = abort;
    this.owner.call.connected(abort, context);
  }

  /** Whether an answer of this status goes straight to the caller. */
  protected passes(status: number): boolean {
    if (status < 200) return true;
    this.#isAnswered = true;
    return this.owner.holds === 'rejections' && !this.owner.call.mayReject(status);
  }

  /** Keeps an answer back, and tells of it. */
  protected hold(answer: HeldAnswer, deliver: () => boolean): void {
    this.#state = 'held';
    this.#answer = answer;
    this.#kept.push({ deliver });
    this.owner.call.takeOver();
    this.owner.onAnswer(this);
  }

  /** @returns Whether more may come. */
  protected keep(chunk: Buffer, deliver: () => boolean): boolean {
    if (this.#state === 'let go') {
      this.#drainedBytes += chunk.length;
      if (this.#drainedBytes > MAX_DRAINED_BYTES) this.#giveUpRest();
      return true;
    }
    this.#kept.push({ chunk, deliver });
    this.#keptBytes += chunk.length;
    this.#onMore?.();
    if (this.#state === 'passing on') return false;
    if (this.#keptBytes > MAX_KEPT_BYTES) {
      const message = `A body of more than ${MAX_KEPT_BYTES} bytes came with an answer that may reject the access token; the rest was cut off.`;
      this.#abort(new errors.ResponseExceededMaxSizeError(message));
    }
    return true;
  }

  protected upgraded(deliver: () => unknown): unknown {
    this.#isAnswered = true;
    const result = deliver();
    this.owner.call.complete();
    if (this.owner.holds === 'all') this.owner.onAnswer(this);
    return result;
  }

  protected completed(deliver: () => void): void {
    this.#end({
      deliver: () => {
        deliver();
        // Not before: a handler may throw here, which undici takes for an error of the call.
        this.owner.call.complete();
        return true;
      },
    });
  }

  protected failed(error: Error): void {
    if (this.#state === 'open' && !this.#isAnswered) {
      this.owner.call.disconnected(this.#abort);
      return this.owner.onFailure(error);
    }
    this.#end({
      deliver: () => {
        this.owner.call.fail(error);
        return true;
      },
    });
  }

  /** Hands to the caller what was kept, as long as the caller wants it. */
  protected deliverKept(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      let wantsMore = true;
      while (wantsMore && this.#state === 'passing on') {
        const event = this.#kept.shift();
        if (event) wantsMore = event.deliver();
        else this.#state = 'open';
      }
    } catch (error) {
      // As undici does where a handler throws.
      this.#abort(error as Error);
      this.owner.call.fail(error as Error);
    } finally {
      this.#isDelivering = false;
    }
  }

  #end(event: KeptEvent): void {
    clearTimeout(this.#draining);
    this.#hasEnded = true;
    this.owner.call.disconnected(this.#abort);
    if (this.#state === 'open') event.deliver();
    else if (this.#state !== 'let go') this.#kept.push(event);
    this.#onMore?.();
  }

  #giveUpRest(): void {
    this.#abort(new Error('the rest of the answer is not wanted'));
  }
}

/** An attempt for a handler of undici's older form. */
export class RawAttempt extends Attempt implements RawHandler {
  constructor(
    owner: AttemptOwner,
    private readonly handler: RawHandler,
  ) {
    super(owner);
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

/** An attempt for a handler of undici's newer form. */
export class ControlledAttempt extends Attempt implements Dispatcher.DispatchHandler {
  constructor(
    owner: AttemptOwner,
    private readonly handler: Dispatcher.DispatchHandler,
    private readonly controller: CallController,
  ) {
    super(owner);
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

/** Members that the types of undici 7 do not have in this form. */
type Progress = Pick<RawHandler, 'onBodySent' | 'onRequestSent'>;

/** undici takes whatever is not false for a wish for more. */
function wantsMore(result: boolean | undefined): boolean {
  return result !== false;
}

/** @param headers Names and values in turn; a value is a list where an interceptor has joined the fields of a name. */
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
