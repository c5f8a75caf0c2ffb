import type { IncomingMessage } from 'node:http';
import { refuse } from '../verification/refusal.js';
import { type Credential, isAuthorization, soleCredential } from './credential.js';

/** A request as Express hands it out (the message itself) or Fastify (with the message inside). */
export type HttpRequest = (IncomingMessage | { readonly raw: IncomingMessage }) & { readonly body?: unknown };

/** Express applications keep things of their own under `raw`, so it has to be looked at. */
export function messageOf(request: HttpRequest): IncomingMessage {
  return 'raw' in request && Array.isArray(request.raw?.rawHeaders) ? request.raw : (request as IncomingMessage);
}

/**
 * The one access token of a request: from its `Authorization` header, and from nowhere else (RFC 6750 §2.1, RFC 9700
 * §4.3.2). A second one makes two, wherever it stands.
 */
export function readHttpCredential(request: HttpRequest): Credential {
  const message = messageOf(request);
  const credential = soleCredential(authorizationValues(message));
  if (!credential.ok) return credential;
  if (hasTokenInQuery(message.url ?? '') || hasTokenInForm(message, request.body)) return refuse('credential_repeated');
  return credential;
}

/** Every value as it came: Node keeps only the first of a repeated `Authorization` in `headers`. */
function authorizationValues({ rawHeaders }: IncomingMessage): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (isAuthorization(rawHeaders[at]!)) values.push(rawHeaders[at + 1]!);
  }
  return values;
}

function hasTokenInQuery(url: string): boolean {
  const query = url.indexOf('?');
  return query >= 0 && new URLSearchParams(url.slice(query + 1)).has('access_token');
}

/** RFC 6750 §2.2. */
function hasTokenInForm({ headers }: IncomingMessage, body: unknown): boolean {
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, 'access_token')) return false;
  return headers['content-type']?.toLowerCase().startsWith('application/x-www-form-urlencoded') === true;
}
