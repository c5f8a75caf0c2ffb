/** How many batches may be under way at once, and from when on. */
export interface SendingWindow {
  /** Whole batches count; the fraction grows towards the next one. */
  readonly size: number;
  /** Counts the times that the service pushed back. What was sent before the last of them says nothing new. */
  readonly generation: number;
  /** Push-backs since a batch last went through. */
  readonly refusals: number;
  /** Nothing is sent before this time. */
  readonly opensAtMs: number;
}

/** What a batch says about the service. */
export interface BatchVerdict {
  /** Of the window when the batch was sent. */
  readonly generation: number;
  readonly isPushedBack: boolean;
  /** What the service asks for. */
  readonly retryAfterMs?: number | undefined;
}

export interface WindowLimits {
  /** Most batches at once. */
  readonly maxSize: number;
  /** Pause after the first push-back; doubles with each that follows. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
}

export const FIRST_WINDOW: SendingWindow = { size: 1, generation: 0, refusals: 0, opensAtMs: 0 };

/**
 * The window after a batch: a batch more for each whole window that goes through, half of it at each push-back
 * (additive increase, multiplicative decrease, as in RFC 5681).
 *
 * @param random Uniform in [0, 1): spreads the return of many clients that were pushed back at once.
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
  // Never earlier than asked for.
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

/** A pause that doubles with each refusal in a row; between a half and the whole of that, by chance. */
export function pauseAfter(
  refusals: number,
  { firstPauseMs, maxPauseMs }: Pick<WindowLimits, 'firstPauseMs' | 'maxPauseMs'>,
  random: number,
): number {
  return Math.min(maxPauseMs, firstPauseMs * 2 ** refusals) * (0.5 + random / 2);
}
