/** Whoever asks for more is asked again after this time all the same. */
const LONGEST_SECONDS = 3600;

/**
 * `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3): in whole seconds from now, from 1 to an hour. Undefined where
 * it is neither.
 */
export function retryAfterSeconds(value: unknown, nowMs = Date.now()): number | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (/^\d+$/.test(text)) return clamped(Number(text));
  // Date.parse takes nearly anything for a date, and a negative number as well.
  const dateMs = /^[A-Za-z]+,? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(dateMs) ? undefined : clamped(Math.ceil((dateMs - nowMs) / 1000));
}

function clamped(seconds: number): number {
  return Math.min(Math.max(seconds, 1), LONGEST_SECONDS);
}
