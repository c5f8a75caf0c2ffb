/** How many batches may be under way at once, and when the next may be sent. */
export interface SendingWindow {
  /** Only whole batches count; the fraction grows towards the next one. */
  readonly size: number;
  /** Number of push-backs by the service. The outcome of a batch sent before the last of them is no news. */
  readonly generation: number;
  /** Push-backs since the last batch that succeeded. */
  readonly refusals: number;
  /** Nothing is sent before this time. */
  readonly opensAtMs: number;
}

/** The outcome of a batch, as far as it concerns the service. */
export interface BatchVerdict {
  /** The generation of the window when the batch was sent. */
  readonly generation: number;
  readonly isPushedBack: boolean;
  /** Pause that the service asks for. */
  readonly retryAfterMs?: number | undefined;
}

export interface WindowLimits {
  /** Maximum number of batches at once. */
  readonly maxSize: number;
  /** Pause after the first push-back; doubles with each further one. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
}

/** How an import treats the service. */
export interface ImportLimits extends WindowLimits {
  /** Maximum number of users in a batch. */
  readonly batchSize: number;
  /** Maximum length of a batch, in bytes of the input. Well below what can be sent again with a new token. */
  readonly batchBytes: number;
  /** How long no line may get done before the import gives up, in milliseconds. */
  readonly patienceMs: number;
  /** How often a line is sent before it is left to the next run. */
  readonly maxAttempts: number;
}

export const IMPORT_LIMITS: ImportLimits = {
  // The service works on many lines of each batch at once, and accepts no more batches than this from one client.
  maxSize: 4,
  firstPauseMs: 500,
  maxPauseMs: 60_000,
  batchSize: 100,
  batchBytes: 262_144,
  patienceMs: 300_000,
  maxAttempts: 10,
};

export const FIRST_WINDOW: SendingWindow = { size: 1, generation: 0, refusals: 0, opensAtMs: 0 };

/**
 * Returns the window after a batch: one batch larger for each whole window that succeeds, halved at each push-back
 * (additive increase, multiplicative decrease, as in RFC 5681).
 *
 * @param random Uniform in [0, 1): spreads the return of clients that were pushed back at once.
 */
export function windowAfter(
  window: SendingWindow,
  { generation, isPushedBack, retryAfterMs = 0 }: BatchVerdict,
  limits: WindowLimits,
  nowMs: number,
  random: number,
): SendingWindow {
  const isNews = generation === window.generation;
  if (!isPushedBack) {
    if (!isNews) return window;
    return { ...window, size: Math.min(limits.maxSize, window.size + 1 / window.size), refusals: 0 };
  }
  // Never earlier than the service asks for.
  const askedForMs = nowMs + retryAfterMs * (1 + random / 10);
  if (!isNews) return { ...window, opensAtMs: Math.max(window.opensAtMs, askedForMs) };
  const pauseMs = pauseAfter(window.refusals, limits, random);
  return {
    size: Math.max(1, window.size / 2),
    generation: window.generation + 1,
    refusals: window.refusals + 1,
    opensAtMs: Math.max(askedForMs, nowMs + pauseMs),
  };
}

/** Returns a pause that doubles with each refusal in a row; a random value between half of it and all of it. */
export function pauseAfter(
  refusals: number,
  { firstPauseMs, maxPauseMs }: Pick<WindowLimits, 'firstPauseMs' | 'maxPauseMs'>,
  random: number,
): number {
  return Math.min(maxPauseMs, firstPauseMs * 2 ** refusals) * (0.5 + random / 2);
}
