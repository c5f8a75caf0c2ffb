import type { Dispatcher } from 'undici';
import { bearerInterceptor } from '../../libs/identity-m2m/src/carriers/undici/bearer-interceptor.js';
import type { RawHandler } from '../../libs/identity-m2m/src/carriers/undici/raw-handler.js';
import { carrierOf, type ReplayPolicy } from '../../libs/identity-m2m/src/carriers/token-carrier.js';
import { FixedTokenProvider } from '../../libs/identity-m2m/src/testing/fixed-token-provider.js';
import { ManualClock } from '../../libs/identity-m2m/src/testing/manual-clock.js';

/** The older form of undici's handlers, and the newer one. */
export const FORMS = ['raw', 'controlled'] as const;
export type Form = (typeof FORMS)[number];

/** A caller with a handler of either form, which notes each event of its call. */
class TestCaller {
  /** All events but the starts of requests. */
  readonly log: string[] = [];
  /** How often it was told that a request starts. */
  starts = 0;
  readonly handler: Dispatcher.DispatchHandler;
  /** Called for each event; a request starts with `start`. */
  onEvent: (event: string) => void = () => {};
  #isPaused = false;
  #abort: (reason?: Error) => void = () => {};
  #resume: () => void = () => {};
  #controller: Dispatcher.DispatchController | undefined;

  constructor(form: Form) {
    this.handler = form === 'raw' ? this.#raw() : this.#controlled();
  }

  abort(reason?: Error): void {
    if (this.#controller) this.#controller.abort(reason!);
    else this.#abort(reason);
  }

  pause(): void {
    this.#isPaused = true;
    this.#controller?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#controller) this.#controller.resume();
    else this.#resume();
  }

  #note(event: string): boolean {
    if (event === 'start') this.starts += 1;
    else this.log.push(event);
    this.onEvent(event);
    return !this.#isPaused;
  }

  #raw(): RawHandler {
    return {
      onConnect: (abort) => {
        this.#abort = abort;
        this.#note('start');
      },
      onUpgrade: (status) => this.#note(`upgrade ${status}`),
      onHeaders: (status, _headers, resume) => {
        this.#resume = resume;
        return this.#note(`headers ${status}`);
      },
      onData: (chunk) => this.#note(`data ${textOf(chunk)}`),
      onComplete: () => this.#note('end'),
      onError: (error) => this.#note(`error ${error.message}`),
    };
  }

  #controlled(): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller) => {
        this.#controller = controller;
        this.#note('start');
      },
      onRequestUpgrade: (_controller, status) => this.#note(`upgrade ${status}`),
      onResponseStart: (_controller, status) => this.#note(`headers ${status}`),
      onResponseData: (_controller, chunk) => this.#note(`data ${textOf(chunk)}`),
      onResponseEnd: () => this.#note('end'),
      onResponseError: (_controller, error) => this.#note(`error ${error.message}`),
    };
  }
}

function textOf(chunk: Buffer): string {
  return chunk.length > 20 ? `of ${chunk.length} bytes` : chunk.toString();
}

/** Calls the handler of one dispatch as undici does. */
export interface TestRequest {
  readonly options: Dispatcher.DispatchOptions;
  /** With what it was aborted. */
  readonly aborts: (Error | undefined)[];
  readonly isPaused: boolean;
  connect(): void;
  upgrade(): void;
  headers(status: number): void;
  data(chunk: string | number): void;
  end(): void;
  fail(error: Error): void;
}

class RawRequest implements TestRequest {
  readonly aborts: (Error | undefined)[] = [];
  isPaused = false;
  readonly #handler: RawHandler;

  constructor(
    readonly options: Dispatcher.DispatchOptions,
    handler: object,
  ) {
    this.#handler = handler as RawHandler;
  }

  connect() {
    this.#handler.onConnect((reason) => void this.aborts.push(reason), {});
  }

  upgrade() {
    this.#handler.onUpgrade(101, [], {});
  }

  headers(status: number) {
    this.isPaused = !this.#handler.onHeaders(status, [], () => (this.isPaused = false), '');
  }

  data(chunk: string | number) {
    this.isPaused = !this.#handler.onData(bytesOf(chunk));
  }

  end() {
    this.#handler.onComplete([]);
  }

  fail(error: Error) {
    this.#handler.onError(error);
  }
}

class ControlledRequest implements TestRequest {
  readonly aborts: (Error | undefined)[] = [];
  isPaused = false;
  readonly #controller = {
    pause: () => (this.isPaused = true),
    resume: () => (this.isPaused = false),
    abort: (reason: Error) => this.aborts.push(reason),
  } as unknown as Dispatcher.DispatchController;

  constructor(
    readonly options: Dispatcher.DispatchOptions,
    private readonly handler: Dispatcher.DispatchHandler,
  ) {}

  connect() {
    this.handler.onRequestStart!(this.#controller, {});
  }

  upgrade() {
    this.handler.onRequestUpgrade!(this.#controller, 101, {}, {} as never);
  }

  headers(status: number) {
    this.handler.onResponseStart!(this.#controller, status, {}, '');
  }

  data(chunk: string | number) {
    this.handler.onResponseData!(this.#controller, bytesOf(chunk));
  }

  end() {
    this.handler.onResponseEnd!(this.#controller, {});
  }

  fail(error: Error) {
    this.handler.onResponseError!(this.#controller, error);
  }
}

function bytesOf(chunk: string | number): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.alloc(chunk);
}

/** A call through the interceptor, to a dispatcher whose part the test plays. Its first token is `first`. */
export function undiciCall(
  form: Form,
  { isCached = true, ...replay }: Partial<ReplayPolicy> & { readonly isCached?: boolean } = {},
) {
  const provider = new FixedTokenProvider('first', { allowedOrigins: ['https://api.example'] });
  if (!isCached) Object.assign(provider, { peek: () => undefined });
  const clock = new ManualClock();
  const carrier = carrierOf(provider, clock, { maxBytes: 100, isTokenRejected: [401], ...replay });
  const requests: TestRequest[] = [];
  const dispatcher = {
    dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) => {
      requests.push(form === 'raw' ? new RawRequest(options, handler) : new ControlledRequest(options, handler));
      return false;
    },
  };
  const dispatch = bearerInterceptor(provider)((options, handler) => dispatcher.dispatch(options, handler));
  const caller = new TestCaller(form);
  const start = (options: Partial<Dispatcher.DispatchOptions> = {}) =>
    dispatch({ origin: 'https://api.example', path: '/', method: 'GET', ...options }, caller.handler);
  /** Whether the carrier knows of no call under way. */
  const isIdle = async () => {
    let isIdle = false;
    void carrier.whenIdle().then(() => (isIdle = true));
    await settled();
    return isIdle;
  };
  return { provider, clock, carrier, dispatcher, requests, caller, log: caller.log, start, isIdle };
}

export const settled = () => new Promise(setImmediate);
