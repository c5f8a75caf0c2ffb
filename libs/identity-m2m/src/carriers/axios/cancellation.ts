import { AxiosError, type InternalAxiosRequestConfig } from 'axios';
import { MAX_TIMER_DELAY_MS } from '../../foundation/clock.js';
import { brokenBodySignal } from '../outgoing-call.js';

/**
 * Combines what can end a call of axios into one signal: `signal`, `cancelToken` (which @nestjs/axios sets on each
 * call), `timeout`, and a body that breaks. axios applies these only once the adapter has the call.
 *
 * The signal is made only if the call has to wait.
 */
export class AxiosCancellation {
  #signal: AbortSignal | undefined;
  #stopListening: (() => void) | undefined;
  readonly #brokenBody: AbortSignal | undefined;

  constructor(private readonly config: InternalAxiosRequestConfig) {
    this.#brokenBody = config.data === undefined ? undefined : brokenBodySignal(config.data);
  }

  signal(): AbortSignal {
    this.#signal ??= this.#listen();
    return this.#signal;
  }

  /**
   * Call it before the adapter gets the call: axios sends a call that was cancelled shortly before, and never ends it.
   *
   * @throws The reason for which the call ended while it waited.
   */
  throwIfAborted(): void {
    if (this.#brokenBody?.aborted) throw this.#bodyError();
    const { signal, cancelToken } = this.config;
    this.#signal?.throwIfAborted();
    // A cancel token tells its listeners a moment later.
    if (signal?.aborted || cancelToken?.reason) AbortSignal.abort().throwIfAborted();
  }

  close(): void {
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
    // axios itself rejects a timeout that is not a number.
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

  /** Converts the stream's error as axios does. */
  #bodyError(): AxiosError {
    return AxiosError.from(this.#brokenBody?.reason, undefined, this.config);
  }
}
