import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TenantPart } from '../config/switches.js';

/** A request of Express, with the emulator's record of it. */
export interface TenantRequest extends IncomingMessage {
  readonly originalUrl: string;
  readonly query: Readonly<Record<string, unknown>>;
  /** The body as a string; not a string if the request has no body. */
  readonly body?: unknown;
  record?: RequestRecord;
}

/** Returns the path without the query. */
export function pathOf({ originalUrl }: TenantRequest): string {
  return originalUrl.replace(/[?#].*$/s, '');
}

const PREFIXES: Record<string, TenantPart> = {
  '/oauth2/token': 'token',
  '/oauth2/platformtoken': 'token',
  '/oauth2/revoke': 'token',
  '/oauth2/keys': 'keys',
  '/oauth2/getmeta': 'keys',
  '/oauth2/introspect': 'keys',
  '/oauth2/userinfo': 'keys',
  '/cdirectoryservice': 'api',
  '/security': 'api',
  '/redrock': 'api',
};

/** Returns the part that a path belongs to, or undefined if the emulator has no such path. */
export function tenantPartOf(path: string): TenantPart | undefined {
  const lowerCase = path.toLowerCase();
  if (lowerCase.endsWith('/.well-known/openid-configuration')) return 'keys';
  const prefix = Object.keys(PREFIXES).find((prefix) => lowerCase === prefix || lowerCase.startsWith(`${prefix}/`));
  return prefix === undefined ? undefined : PREFIXES[prefix];
}

export function bodyTextOf({ body }: TenantRequest): string {
  return typeof body === 'string' ? body : '';
}

/** Returns the token of an Authorization header with the Bearer scheme (RFC 6750, section 2.1). */
export function bearerTokenOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(authorization ?? '')?.[1];
}

/** The record of one request while it is served, for log and statistics. */
export class RequestRecord {
  readonly transactionId = randomUUID();
  /** Login name of an OAuth client. */
  client: string | undefined;
  tokenFingerprint: string | undefined;
  error: Error | undefined;
  #outcome: string | undefined;
  #finished = false;

  constructor(
    private readonly onOutcome: (outcome: string) => void,
    private readonly onFinish: (status: number | undefined, outcome: string) => void,
  ) {}

  /** Records the outcome. Later calls are ignored. */
  settle(outcome: string): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.onOutcome(outcome);
  }

  /** Closes the record. Undefined is the status of a request without a response. */
  finish(status: number | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.settle(status === undefined ? 'connection lost' : `HTTP ${status}`);
    this.onFinish(status, this.#outcome ?? '');
  }
}
