import type { IncomingMessage } from 'node:http';
import type { IssuedToken } from '../tokens/issued-tokens.js';
import type { RequestRecord } from './request-record.js';

/** A request as Express hands it on, with what the emulator knows about it. */
export interface TenantRequest extends IncomingMessage {
  readonly originalUrl: string;
  readonly query: Readonly<Record<string, unknown>>;
  /** The text of the body; not a string if there is none. */
  readonly body?: unknown;
  record?: RequestRecord;
  /** The token that a REST call was let in with. */
  token?: IssuedToken;
}

/** The path without the query. */
export function pathOf({ originalUrl }: TenantRequest): string {
  return originalUrl.replace(/[?#].*$/s, '');
}

export function bodyTextOf({ body }: TenantRequest): string {
  return typeof body === 'string' ? body : '';
}
