import type { Clock } from './clock.js';

/**
 * Waits for a promise for a limited time. For work that other callers share, because the end of a wait does not abort
 * it.
 *
 * @returns The value of the promise; undefined after `timeoutMs`.
 * @throws The promise's rejection; the signal's reason once that has aborted.
 */
export function waitAtMost<T>(
  promise: Promise<T>,
  timeoutMs: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancelTimer = clock.setTimer(timeoutMs, () => settle(() => resolve(undefined)), true);
    const onAbort = () => settle(() => reject(signal!.reason));
    const settle = (how: () => void) => {
      cancelTimer();
      signal?.removeEventListener('abort', onAbort);
      how();
    };
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    promise.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}

/**
 * Runs work for a limited time, and then aborts it. For work that receives the signal but may ignore it, such as
 * application code.
 *
 * @param timeoutError Creates the reason of the signal after `timeoutMs`.
 * @param abort Aborts the work earlier.
 * @returns The value of the work.
 * @throws The work's rejection; the signal's reason once that has aborted.
 */
export async function withTimeout<T>(
  clock: Clock,
  timeoutMs: number,
  timeoutError: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
  abort = new AbortController(),
): Promise<T> {
  const { signal } = abort;
  const cancelTimer = clock.setTimer(timeoutMs, () => abort.abort(timeoutError()));
  try {
    return await untilAborted(work(signal), signal);
  } finally {
    cancelTimer();
  }
}

/**
 * Waits for work until the signal aborts. For work that receives the signal but may ignore it, such as application
 * code.
 *
 * @returns The value of the work.
 * @throws The work's rejection; the signal's reason once that has aborted.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
