import { HttpService } from '@nestjs/axios';
import { Injectable } from '@nestjs/common';
import { type AxiosResponse, isAxiosError } from 'axios';
import { firstValueFrom, type Observable } from 'rxjs';
import type { EventAnswer, Joiner, Leaver } from './event.js';

/** The event is not possible now. The sender should send it again; a repetition is safe. */
export class NotNowError extends Error {
  override readonly name = 'NotNowError';

  constructor(
    message: string,
    /** When to send it again, in seconds; undefined if unknown. */
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

/** The message is late, or its sender's clock is wrong. Nothing was changed. */
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

/** The user-provisioning service. The module adds the daemon's token to each call. */
@Injectable()
export class ProvisioningService {
  constructor(private readonly http: HttpService) {}

  /**
   * Creates the user, once for each key.
   *
   * The service forgets keys in time. So if the name is taken, and by the same user, an earlier copy of the event has
   * created it.
   *
   * @throws {@link NotNowError}; {@link StaleError}
   */
  async create({ user, ...timing }: Joiner, idempotencyKey: string): Promise<EventAnswer> {
    const headers = { 'idempotency-key': idempotencyKey, ...timingHeaders(timing) };
    const { status, data } = await answered(this.http.post<unknown>('/users', user, { headers }));
    if (status === 201) return { outcome: 'done', detail: 'user created' };
    if (status === 409 && errorIn(data) === 'duplicate') {
      return (await this.#exists(user))
        ? { outcome: 'done', detail: 'user existed already' }
        : { outcome: 'refused', detail: 'the name is taken by another user' };
    }
    if (status === 422 && errorIn(data) === 'idempotency_key_reused') {
      return { outcome: 'refused', detail: 'another event has this id' };
    }
    if (status === 400 || status === 422) return { outcome: 'refused', detail: messageIn(data) };
    throw otherwise(status, data);
  }

  /**
   * Deletes the user, unless it was created after the message was sent. A user who is gone already counts as deleted.
   *
   * @throws {@link NotNowError}; {@link StaleError}
   */
  async delete({ user, ...timing }: Leaver): Promise<EventAnswer> {
    const headers = timingHeaders(timing);
    const { status, data } = await answered(this.http.delete<unknown>(pathOf(user.name), { headers }));
    if (status === 204) return { outcome: 'done', detail: 'user deleted' };
    // Not any 404: a wrong SERVICE_URL would make every leaver look deleted.
    if (status === 404 && errorIn(data) === 'not_found') return { outcome: 'done', detail: 'user was gone already' };
    if (status === 400 || status === 422) return { outcome: 'refused', detail: messageIn(data) };
    throw otherwise(status, data);
  }

  async #exists({ name, mail }: Joiner['user']): Promise<boolean> {
    const { status, data } = await answered(this.http.get<unknown>(pathOf(name)));
    if (status !== 200) throw notNow(status);
    return textIn(data, 'mail').toLowerCase() === mail.toLowerCase();
  }
}

function timingHeaders({ time, expires }: Pick<Leaver, 'time' | 'expires'>): Record<string, string> {
  return { ...(time && { 'request-time': time }), ...(expires && { 'request-expires': expires }) };
}

/** The error for an answer that settles nothing. */
function otherwise(status: number, data: unknown): Error {
  const tenantTime = textIn(data, 'tenantTime');
  return status === 412 && tenantTime !== '' ? new StaleError(messageIn(data), tenantTime) : notNow(status);
}

function pathOf(name: string): string {
  return `/users/${encodeURIComponent(name)}`;
}

/** @throws {@link NotNowError} without an answer, for a 429, and for a 5xx. */
async function answered(call: Observable<AxiosResponse<unknown>>): Promise<AxiosResponse<unknown>> {
  try {
    return await firstValueFrom(call);
  } catch (error) {
    // No response: the service is unreachable, or the client got no token for it.
    const { response, code } = isAxiosError(error) ? error : { response: undefined, code: codeOf(error) };
    if (!response) throw new NotNowError(`the call to the user-provisioning service failed (${code ?? 'no code'})`);
    if (response.status < 500 && response.status !== 429) return response;
    throw notNow(response.status, retryAfterSeconds(response.headers['retry-after']));
  }
}

/** Includes 401 and 403: not the event is wrong, but the daemon's own rights. */
function notNow(status: number, retryAfterSeconds?: number): NotNowError {
  return new NotNowError(`the user-provisioning service answered HTTP ${status}`, retryAfterSeconds);
}

/** Maximum `retryAfterSeconds` for a sender. */
const LONGEST_RETRY_AFTER = 3600;

/** Parses `Retry-After` (RFC 9110 §10.2.3): seconds from the service, perhaps a date from a proxy. */
function retryAfterSeconds(value: unknown): number | undefined {
  const text = String(value).trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((httpDateMs(text) - Date.now()) / 1000);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 1), LONGEST_RETRY_AFTER);
}

/** Date.parse accepts nearly anything, negative numbers included. */
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
  return textIn(data, 'message') || 'the user-provisioning service refused it';
}

/** Joins a list of messages. */
function textIn(data: unknown, member: 'error' | 'message' | 'mail' | 'tenantTime'): string {
  const value: unknown = typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[member] : '';
  return [value]
    .flat()
    .filter((each) => typeof each === 'string')
    .join('; ');
}
