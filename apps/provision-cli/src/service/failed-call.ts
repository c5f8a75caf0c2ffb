import { type AxiosResponseHeaders, isAxiosError, type RawAxiosResponseHeaders } from 'axios';
import { ClientRejectedError, TokenRequestRejectedError, TokenUnavailableError } from 'nestjs-identity-m2m';
import { z } from 'zod';
import { NotAuthorisedError, ServiceRefusalError, ServiceUnreachableError, UnsuitableServiceError } from '../errors.js';
import { type Mask, printable } from '../output/safe-text.js';

type Headers = AxiosResponseHeaders | RawAxiosResponseHeaders | Readonly<Record<string, unknown>>;

const problem = z.object({
  error: z.string().optional(),
  message: z.union([z.string(), z.array(z.string())]).optional(),
});

const asIs: Mask = (text) => text;

/** Statuses of temporary errors: the same request may succeed later. */
const TEMPORARY = new Set([408, 429, 500, 502, 503, 504]);

/**
 * Returns the error for a response that is no success.
 *
 * @param mask Removes values of the request from the service's message.
 */
export function errorOfResponse(status: number, headers: Headers, body: unknown, mask: Mask = asIs): Error {
  const { error, message } = problem.safeParse(body).data ?? {};
  const words = message === undefined ? '' : `: ${printable(mask([message].flat().join('; ')))}`;
  if (status === 401 || status === 403) {
    return new NotAuthorisedError(
      `The service does not authorise this client (HTTP ${status}${challenge(headers)})${words}`,
    );
  }
  if (TEMPORARY.has(status)) {
    return new ServiceUnreachableError(
      `The service is unavailable (HTTP ${status})${words}`,
      retryAfterMs(headers['retry-after']),
    );
  }
  if (error === undefined && status !== 400) {
    return new UnsuitableServiceError(
      `The response is not from the user-provisioning service (HTTP ${status}). Check its address.`,
    );
  }
  return new ServiceRefusalError(
    shownCode(error ?? 'invalid', mask),
    `The service refused the request (HTTP ${status})${words}`,
  );
}

/**
 * Returns the error for a call that failed. The axios error is not passed on: it has the body of the request in it, and
 * with that passwords.
 *
 * @param mask Removes values of the request from the service's message.
 */
export function errorOfFailure(error: unknown, mask: Mask = asIs): unknown {
  if (error instanceof ClientRejectedError || error instanceof TokenRequestRejectedError) {
    return new NotAuthorisedError(error.message, { cause: error });
  }
  if (error instanceof TokenUnavailableError) {
    const waitMs = error.retryAt && Math.max(error.retryAt.getTime() - Date.now(), 0);
    return new ServiceUnreachableError(error.message, waitMs);
  }
  if (!isAxiosError(error)) return error;
  if (error.response) {
    const { status, headers, data } = error.response;
    return errorOfResponse(status, headers, data, mask);
  }
  return new ServiceUnreachableError(`The service does not respond (${error.code ?? 'no connection'})`);
}

/** Codes of the service's errors, for single users, batches and their lines. */
const KNOWN_CODES = new Set([
  'batch_too_large',
  'duplicate',
  'idempotency_key_in_use',
  'idempotency_key_reused',
  'internal_error',
  'invalid',
  'line_too_long',
  'not_authorised',
  'not_found',
  'not_json',
  'not_ndjson',
  'not_utf8',
  'other',
  'request_time',
  'service_user',
  'shutting_down',
  'store_unavailable',
  'tenant_rejects_service',
  'tenant_unreachable',
  'too_many_batches',
  'weak_password',
]);

/**
 * Returns an error's code without values of the request. A known code stays whole: masking a word of it would show
 * which value that word is.
 */
export function shownCode(code: string, mask: Mask): string {
  return KNOWN_CODES.has(code) ? code : printable(mask(code), 64);
}

/** Limit of `Retry-After`: a day. */
const LONGEST_RETRY_AFTER_MS = 86_400_000;

/**
 * Parses `Retry-After`, seconds or a date (RFC 9110 §10.2.3), into milliseconds from now, up to a day. Returns
 * undefined for any other value.
 */
export function retryAfterMs(value: unknown, nowMs = Date.now()): number | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, LONGEST_RETRY_AFTER_MS);
  // Date.parse accepts nearly anything as a date, also a negative number.
  const date = /^[A-Za-z]+,? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? undefined : Math.min(Math.max(date - nowMs, 0), LONGEST_RETRY_AFTER_MS);
}

/** Returns the `error` of a challenge (RFC 6750 §3). The response has no other reason. */
function challenge(headers: Headers): string {
  const error = /\berror="?([\w-]+)/.exec(String(headers['www-authenticate'] ?? ''))?.[1];
  return error === undefined ? '' : `, ${error}`;
}
