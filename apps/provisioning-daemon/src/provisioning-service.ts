import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { type AxiosResponse, isAxiosError } from 'axios';
import { firstValueFrom, type Observable } from 'rxjs';
import type { EventAnswer, Joiner, Leaver } from './event.js';

/** The event could not be dealt with now. It is safe, and right, to send it again. */
export class NotNowError extends Error {
  override readonly name = 'NotNowError';

  constructor(
    message: string,
    /** When that is worth it, in seconds; undefined where nobody knows. */
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

/** The message is too late, or its sender's clock is wrong. Nothing was changed. */
export class StaleError extends Error {
  override readonly name = 'StaleError';

  constructor(
    message: string,
    /** The time by the tenant's clock, as ISO 8601. */
    readonly time: string,
  ) {
    super(message);
  }
}

/** The user-provisioning service. The daemon's own token is on the calls already. */
@Injectable()
export class ProvisioningService {
  constructor(private readonly http: HttpService) {}

  /**
   * Makes the user, once for each key, however often it is asked for.
   *
   * The service forgets keys in time, so a name that is taken is looked at: where it is the same user, an earlier sending
   * of the event has made it.
   *
   * @throws {@link NotNowError}; {@link StaleError}
   */
  async make({ user, ...timing }: Joiner, idempotencyKey: string): Promise<EventAnswer> {
    const headers = { 'idempotency-key': idempotencyKey, ...timingHeaders(timing) };
    const { status, data } = await answered(this.http.post<unknown>('/users', user, { headers }));
    if (status === 201) return { outcome: 'done', detail: 'the user was made' };
    if (status === 409 && errorIn(data) === 'duplicate') {
      return (await this.#isThere(user))
        ? { outcome: 'done', detail: 'the user was there already' }
        : { outcome: 'refused', detail: 'the name is taken by somebody else' };
    }
    if (status === 422 && errorIn(data) === 'idempotency_key_reused') {
      return { outcome: 'refused', detail: 'its id is that of another event' };
    }
    if (status === 400 || status === 422) return { outcome: 'refused', detail: messageIn(data) };
    throw otherwise(status, data);
  }

  /**
   * Deletes the user, unless it was made after the message was sent. Whether that was done before makes no difference.
   *
   * @throws {@link NotNowError}; {@link StaleError}
   */
  async delete({ user, ...timing }: Leaver): Promise<EventAnswer> {
    const headers = timingHeaders(timing);
    const { status, data } = await answered(this.http.delete<unknown>(pathOf(user.name), { headers }));
    if (status === 204) return { outcome: 'done', detail: 'the user was deleted' };
    // Not any 404: that of a wrong address would turn every leaver into one who is gone.
    if (status === 404 && errorIn(data) === 'not_found')
      return { outcome: 'done', detail: 'the user was gone already' };
    if (status === 400 || status === 422) return { outcome: 'refused', detail: messageIn(data) };
    throw otherwise(status, data);
  }

  async #isThere({ name, mail }: Joiner['user']): Promise<boolean> {
    const { status, data } = await answered(this.http.get<unknown>(pathOf(name)));
    if (status !== 200) throw notNow(status);
    return textIn(data, 'mail').toLowerCase() === mail.toLowerCase();
  }
}

function timingHeaders({ time, expires }: Pick<Leaver, 'time' | 'expires'>): Record<string, string> {
  return { ...(time && { 'request-time': time }), ...(expires && { 'request-expires': expires }) };
}

/** For an answer that settles nothing. */
function otherwise(status: number, data: unknown): Error {
  const tenantTime = textIn(data, 'tenantTime');
  return status === 412 && tenantTime !== '' ? new StaleError(messageIn(data), tenantTime) : notNow(status);
}

function pathOf(name: string): string {
  return `/users/${encodeURIComponent(name)}`;
}

/** @throws {@link NotNowError} where nobody answers, or asks for patience. */
async function answered(call: Observable<AxiosResponse<unknown>>): Promise<AxiosResponse<unknown>> {
  try {
    return await firstValueFrom(call);
  } catch (error) {
    // Without a response there is no answer: the service is away, or no token could be had for it.
    const { response, code } = isAxiosError(error) ? error : { response: undefined, code: codeOf(error) };
    if (!response) throw new NotNowError(`the user-provisioning service cannot be called (${code ?? 'no code'})`);
    if (response.status < 500 && response.status !== 429) return response;
    throw notNow(response.status, retryAfterSeconds(response.headers['retry-after']));
  }
}

/** A 401 or 403 is nothing that the event could help: the daemon's own rights have to be mended. */
function notNow(status: number, retryAfterSeconds?: number): NotNowError {
  return new NotNowError(`the user-provisioning service answered HTTP ${status}`, retryAfterSeconds);
}

/** Longest time that a sender is asked to wait for, in seconds. */
const LONGEST_RETRY_AFTER = 3600;

/** `Retry-After` as the service has it, in seconds; something in between may have a date (RFC 9110 §10.2.3). */
function retryAfterSeconds(value: unknown): number | undefined {
  const text = String(value).trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((httpDateMs(text) - Date.now()) / 1000);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 1), LONGEST_RETRY_AFTER);
}

/** Date.parse takes nearly anything for a date, and a negative number as well. */
function httpDateMs(text: string): number {
  return /^[A-Za-z]+,? /.test(text) ? Date.parse(text) : NaN;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

function errorIn(data: unknown): string {
  return textIn(data, 'error');
}

function messageIn(data: unknown): string {
  return textIn(data, 'message') || 'the user-provisioning service refuses it';
}

/** Of several messages all. */
function textIn(data: unknown, member: 'error' | 'message' | 'mail' | 'tenantTime'): string {
  const value: unknown = typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[member] : '';
  return [value]
    .flat()
    .filter((each) => typeof each === 'string')
    .join('; ');
}
