import { type AxiosResponseHeaders, isAxiosError, type RawAxiosResponseHeaders } from 'axios';
import { ClientRejectedError, TokenRequestRejectedError, TokenUnavailableError } from 'nestjs-identity-m2m';
import { z } from 'zod';
import type { Mask } from '../output/mask.js';
import { printable } from '../output/printable.js';
import {
  NotAuthorisedError,
  ServiceRefusalError,
  ServiceUnreachableError,
  UnsuitableServiceError,
} from './service-errors.js';

type Headers = AxiosResponseHeaders | RawAxiosResponseHeaders | Readonly<Record<string, unknown>>;

const problem = z.object({
  error: z.string().optional(),
  message: z.union([z.string(), z.array(z.string())]).optional(),
});

const asIs: Mask = (text) => text;

/** Statuses that say nothing about the request itself: the same one may succeed later. */
const PASSING = new Set([408, 429, 500, 502, 503, 504]);

/**
 * What an answer means that is no success.
 *
 * @param mask Takes values of the request out of the service's words.
 */
export function errorOfAnswer(status: number, headers: Headers, body: unknown, mask: Mask = asIs): Error {
  const { error, message } = problem.safeParse(body).data ?? {};
  const words = message === undefined ? '' : `: ${printable(mask([message].flat().join('; ')))}`;
  if (status === 401 || status === 403) {
    return new NotAuthorisedError(
      `The service does not let this client do that (HTTP ${status}${challenge(headers)})${words}`,
    );
  }
  if (PASSING.has(status)) {
    return new ServiceUnreachableError(
      `The service cannot do that now (HTTP ${status})${words}`,
      retryAfterMs(headers['retry-after']),
    );
  }
  if (error === undefined && status !== 400) {
    return new UnsuitableServiceError(
      `What answers is not the user-provisioning service (HTTP ${status}). Check its address.`,
    );
  }
  return new ServiceRefusalError(
    printable(mask(error ?? 'invalid'), 64),
    `The service refuses that (HTTP ${status})${words}`,
  );
}

/**
 * What it means that there is no answer. The axios error itself goes no further: it holds the body of the call, and with
 * it passwords.
 *
 * @param mask Takes values of the request out of the service's words.
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
    return errorOfAnswer(status, headers, data, mask);
  }
  return new ServiceUnreachableError(`The service does not answer (${error.code ?? 'no connection'})`);
}

/** Nobody means more than a day. */
const LONGEST_RETRY_AFTER_MS = 86_400_000;

/**
 * `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3): in milliseconds from now, up to a day. Undefined where it is
 * neither.
 */
export function retryAfterMs(value: unknown, nowMs = Date.now()): number | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, LONGEST_RETRY_AFTER_MS);
  // Date.parse takes nearly anything for a date, and a negative number as well.
  const date = /^[A-Za-z]+,? /.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? undefined : Math.min(Math.max(date - nowMs, 0), LONGEST_RETRY_AFTER_MS);
}

/** The reason in a challenge (RFC 6750 §3), which is all that the service says about it. */
function challenge(headers: Headers): string {
  const error = /\berror="?([\w-]+)/.exec(String(headers['www-authenticate'] ?? ''))?.[1];
  return error === undefined ? '' : `, ${error}`;
}
