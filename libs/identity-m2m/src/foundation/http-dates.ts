/** `Retry-After` in milliseconds: seconds, or a date by the server's own clock (RFC 9110 §10.2.3). */
export function retryAfterMs(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim();
  if (value === undefined || value === '') return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = httpDateMs(value);
  const now = serverTimeMs(headers);
  return date === undefined || now === undefined ? undefined : Math.max(date - now, 0);
}

/** The server's time when it answered, in milliseconds since the epoch, where it says so. */
export function serverTimeMs(headers: Headers): number | undefined {
  const value = headers.get('date');
  return value === null ? undefined : httpDateMs(value);
}

/** Only the form that RFC 9110 §5.6.7 tells senders to use; `Date.parse` alone accepts almost anything. */
function httpDateMs(value: string): number | undefined {
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}
