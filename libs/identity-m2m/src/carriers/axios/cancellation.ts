import { AxiosError, type InternalAxiosRequestConfig } from 'axios';
import { MAX_TIMER_DELAY_MS } from '../../foundation/clock.js';
import { brokenBodySignal } from '../answer.js';

/**
 * What ends a call of axios, as one signal: its `signal`, its `cancelToken` (the older way, which @nestjs/axios uses for
 * each call), its `timeout`, and the end of a body that breaks. axios itself applies these only once the call is with the
 * adapter. Made only if somebody has to wait.
 */
export class AxiosCancellation {
  #signal: AbortSignal | undefined;
  #stopListening: (() => void) | undefined;
  readonly #brokenBody: AbortSignal | undefined;

  constructor(private readonly config: InternalAxiosRequestConfig) {
    this.#brokenBody = brokenBodySignal(config.data);
  }

  signal(): AbortSignal {
    this.#signal ??= this.#listen();
    return this.#signal;
  }

  /**
   * To be called before the call is with the adapter: axios sends a call all the same that was cancelled shortly before, and
   * never ends it.
   *
   * @throws What ended the call while it waited.
   */
  throwIfEnded(): void {
    if (this.#brokenBody?.aborted) throw this.#bodyError();
    const { signal, cancelToken } = this.config;
    const isEnded = this.#signal?.aborted ?? (signal?.aborted || cancelToken?.reason);
    if (isEnded) this.signal().throwIfAborted();
  }

  release(): void {
    this.#stopListening?.();
  }

  #listen(): AbortSignal {
    const { signal, cancelToken, timeout } = this.config;
    const brokenBody = this.#brokenBody;
    const controller = new AbortController();
    const abort = () => controller.abort();
    const abortForBody = () => controller.abort(this.#bodyError());
    const abortForTime = () => controller.abort(this.#timeoutError());
    if (signal?.aborted || cancelToken?.reason) abort();
    if (brokenBody?.aborted) abortForBody();
    signal?.addEventListener?.('abort', abort);
    brokenBody?.addEventListener('abort', abortForBody);
    const subscription = cancelToken?.promise.then(abort) as { cancel?: () => void } | undefined;
    // What is no number of milliseconds is left to axios to complain about.
    const timer = timeout && timeout > 0 ? setTimeout(abortForTime, Math.min(timeout, MAX_TIMER_DELAY_MS)) : undefined;
    this.#stopListening = () => {
      signal?.removeEventListener?.('abort', abort);
      brokenBody?.removeEventListener('abort', abortForBody);
      subscription?.cancel?.();
      clearTimeout(timer);
    };
    return controller.signal;
  }

  #timeoutError(): AxiosError {
    const { timeout, timeoutErrorMessage } = this.config;
    const message = timeoutErrorMessage ?? `timeout of ${timeout}ms exceeded while waiting for an access token`;
    return new AxiosError(message, AxiosError.ECONNABORTED, this.config);
  }

  /** In the form that axios gives to errors of a body. */
  #bodyError(): AxiosError {
    return AxiosError.from(this.#brokenBody?.reason, undefined, this.config);
  }
}
