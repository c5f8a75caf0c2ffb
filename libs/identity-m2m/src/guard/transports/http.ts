import {
  BadRequestException,
  type ExecutionContext,
  ForbiddenException,
  type HttpException,
  ServiceUnavailableException,
  UnauthorizedException,
} from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { type Refusal, refuse } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import { type Credential, isNamed, soleCredential } from '../credential.js';
import { httpHeaders, httpStatus, type RefusalAnswer, refusalAnswer } from '../refusal-answer.js';
import type { InboundTransport } from './inbound-transport.js';

const EXCEPTIONS = {
  400: BadRequestException,
  401: UnauthorizedException,
  403: ForbiddenException,
  503: ServiceUnavailableException,
} as const;

/** Creates Nest's exception for an answer, so that the application's filters recognise its class. */
export function httpException(answer: RefusalAnswer): HttpException {
  const statusCode = httpStatus(answer);
  return new EXCEPTIONS[statusCode]({ statusCode, error: answer.error, message: answer.message });
}

/** HTTP on Express and Fastify (RFC 6750). */
export class HttpTransport implements InboundTransport {
  readonly name = 'http';

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly realm: string | undefined,
    private readonly tokenHeader: CredentialHeader | undefined,
  ) {}

  read(context: ExecutionContext): Credential {
    return readHttpCredential(context.getArgByIndex<HttpRequest>(0), this.tokenHeader);
  }

  callKey(context: ExecutionContext): object {
    return messageOf(context.getArgByIndex<HttpRequest>(0));
  }

  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    const answer = refusalAnswer(refusal, policy);
    this.#setHeaders(context.getArgByIndex<unknown>(1), httpHeaders(answer, this.realm, policy));
    return httpException(answer);
  }

  /** Sets them on the response itself, where they stay no matter which filter sends it. */
  #setHeaders(response: unknown, headers: Readonly<Record<string, string>>): void {
    try {
      for (const [name, value] of Object.entries(headers)) {
        this.adapterHost.httpAdapter.setHeader(response, name, value);
      }
    } catch {
      // Only a mocked response accepts none, as in unit tests. The call is refused nevertheless.
    }
  }
}

/** The header that carries the access token of an HTTP request. */
export interface CredentialHeader {
  /** In lower case. */
  readonly name: string;
  /** The scheme before the token; empty if the whole value is the token. */
  readonly scheme: string;
}

const AUTHORIZATION: CredentialHeader = { name: 'authorization', scheme: 'Bearer' };

/**
 * Node's request, as far as it exists. Serverless adapters and tests build requests without the members that Node's
 * parser sets.
 */
type HttpMessage = Partial<Pick<IncomingMessage, 'rawHeaders' | 'headers' | 'url'>>;

/** A request of Express (the message itself) or Fastify (with the message inside). */
export type HttpRequest = HttpMessage & { readonly raw?: HttpMessage; readonly body?: unknown };

/** Returns Node's request. Express applications may keep another value under `raw`, so its form is checked. */
export function messageOf(request: HttpRequest | undefined): HttpMessage {
  if (typeof request !== 'object' || request === null) return {};
  if (!('raw' in request)) return request;
  const { raw } = request;
  const isMessage =
    Array.isArray(raw?.rawHeaders) || (request.rawHeaders === undefined && typeof raw?.headers === 'object');
  return isMessage ? raw : request;
}

/**
 * Reads the only access token of a request from its `Authorization` header, or only from the configured header (RFC
 * 6750 §2.1, RFC 9700 §4.3.2). Refuses a second token in any place.
 */
export function readHttpCredential(
  request: HttpRequest,
  { name, scheme }: CredentialHeader = AUTHORIZATION,
): Credential {
  const message = messageOf(request);
  const { rawHeaders } = message;
  const credential = rawHeaders?.length
    ? soleCredential(valuesAsSent(rawHeaders, name), scheme)
    : madeUpCredential(message.headers, name, scheme);
  if (!credential.ok) return credential;
  if (hasTokenInQuery(message.url) || hasTokenInForm(message, request.body)) return refuse('credential_repeated');
  return credential;
}

/** Returns every value as it was sent: Node keeps only the first `Authorization` in `headers`. */
function valuesAsSent(rawHeaders: readonly string[], wanted: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (isNamed(rawHeaders[at]!, wanted)) values.push(rawHeaders[at + 1]!);
  }
  return values;
}

/**
 * Reads the `headers` of a request that an adapter built from an event. Adapters turn a repeated header into a list, a
 * value with a comma, or two spellings of the name.
 */
function madeUpCredential(headers: IncomingHttpHeaders | undefined, wanted: string, scheme: string): Credential {
  const values = valuesOf(headers, wanted);
  const [value] = values;
  const isJoined = Array.isArray(value) || (typeof value === 'string' && value.includes(','));
  return isJoined ? refuse('credential_repeated') : soleCredential(values, scheme);
}

function valuesOf(headers: IncomingHttpHeaders | undefined, wanted: string): unknown[] {
  const entries = Object.entries<unknown>(headers ?? {});
  return entries.flatMap(([name, value]) =>
    isNamed(name, wanted) && value !== undefined && value !== null ? [value] : [],
  );
}

function hasTokenInQuery(url: unknown): boolean {
  const query = typeof url === 'string' ? url.indexOf('?') : -1;
  return query >= 0 && new URLSearchParams((url as string).slice(query + 1)).has('access_token');
}

/** RFC 6750 §2.2. */
function hasTokenInForm({ headers }: HttpMessage, body: unknown): boolean {
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, 'access_token')) return false;
  return valuesOf(headers, 'content-type').some((type) =>
    String(type).toLowerCase().startsWith('application/x-www-form-urlencoded'),
  );
}
