/** Returns `Retry-After` in milliseconds: seconds, or a date by the server's clock (RFC 9110 §10.2.3). */
export function retryAfterMs(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim();
  if (value === undefined || value === '') return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = httpDateMs(value);
  const now = serverTimeMs(headers);
  return date === undefined || now === undefined ? undefined : Math.max(date - now, 0);
}

/** Returns the time of the server's clock at its response (`Date`), in milliseconds since the epoch. */
export function serverTimeMs(headers: Headers): number | undefined {
  const value = headers.get('date');
  return value === null ? undefined : httpDateMs(value);
}

/** Parses the date format that RFC 9110 §5.6.7 requires of senders; `Date.parse` alone accepts many others. */
function httpDateMs(value: string): number | undefined {
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}
