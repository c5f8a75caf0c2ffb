import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TenantPart } from '../config/switches.js';

/** A request as Express hands it on, with what the emulator knows about it. */
export interface TenantRequest extends IncomingMessage {
  readonly originalUrl: string;
  readonly query: Readonly<Record<string, unknown>>;
  /** The text of the body; not a string if there is none. */
  readonly body?: unknown;
  record?: RequestRecord;
}

/** The path without the query. */
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

/** The part that a path belongs to; undefined if the emulator serves nothing there. */
export function tenantPartOf(path: string): TenantPart | undefined {
  const lowerCase = path.toLowerCase();
  if (lowerCase.endsWith('/.well-known/openid-configuration')) return 'keys';
  const prefix = Object.keys(PREFIXES).find((prefix) => lowerCase === prefix || lowerCase.startsWith(`${prefix}/`));
  return prefix === undefined ? undefined : PREFIXES[prefix];
}

export function bodyTextOf({ body }: TenantRequest): string {
  return typeof body === 'string' ? body : '';
}

/** The token of an Authorization header with the Bearer scheme (RFC 6750, section 2.1). */
export function bearerTokenOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(authorization ?? '')?.[1];
}

/** What is noted about one request while it is served. */
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

  /** Notes how the request ended. The first word counts. */
  settle(outcome: string): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.onOutcome(outcome);
  }

  /** Closes the record. */
  finish(status: number | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.settle(status === undefined ? 'connection lost' : `HTTP ${status}`);
    this.onFinish(status, this.#outcome ?? '');
  }
}
