import { AxiosError, type InternalAxiosRequestConfig } from 'axios';
import { MAX_TIMER_DELAY_MS } from '../foundation/clock.js';
import { brokenBodySignal } from './broken-body.js';

/**
 * What ends a call of axios, as one signal: its `signal`, its `cancelToken` (the older way, which @nestjs/axios uses for
 * each call), its `timeout`, and the end of a body that breaks. axios itself applies these only once the call is with the
 * adapter. Made only if somebody has to wait.
 */
export class AxiosCancellation {
  #controller: AbortController | undefined;
  #subscription: { cancel?: () => void } | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #brokenBody: AbortSignal | undefined;
  readonly #abort = () => this.#controller?.abort();
  readonly #abortForBody = () => this.#controller?.abort(this.#bodyError());

  constructor(private readonly config: InternalAxiosRequestConfig) {
    this.#brokenBody = brokenBodySignal(config.data);
  }

  signal(): AbortSignal {
    if (!this.#controller) {
      const { signal, cancelToken, timeout } = this.config;
      this.#controller = new AbortController();
      if (signal?.aborted || cancelToken?.reason) this.#abort();
      signal?.addEventListener?.('abort', this.#abort);
      this.#subscription = cancelToken?.promise.then(this.#abort) as { cancel?: () => void } | undefined;
      if (this.#brokenBody?.aborted) this.#abortForBody();
      this.#brokenBody?.addEventListener('abort', this.#abortForBody);
      // What is no number of milliseconds is left to axios to complain about.
      if (timeout && timeout > 0) {
        const expire = () => this.#controller?.abort(this.#timeoutError());
        this.#timer = setTimeout(expire, Math.min(timeout, MAX_TIMER_DELAY_MS));
      }
    }
    return this.#controller.signal;
  }

  /** @throws What ended the call while it waited. */
  throwIfEnded(): void {
    if (this.#brokenBody?.aborted) throw this.#bodyError();
    this.#controller?.signal.throwIfAborted();
  }

  release(): void {
    if (!this.#controller) return;
    this.config.signal?.removeEventListener?.('abort', this.#abort);
    this.#brokenBody?.removeEventListener('abort', this.#abortForBody);
    this.#subscription?.cancel?.();
    clearTimeout(this.#timer);
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
