import {
  BadRequestException,
  type ExecutionContext,
  ForbiddenException,
  type HttpException,
  ServiceUnavailableException,
  UnauthorizedException,
} from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';
import { httpHeaders, httpStatus } from '../http-challenge.js';
import { type HttpRequest, messageOf, readHttpCredential, type TokenHeader } from '../http-credential.js';
import { type RefusalAnswer, refusalAnswer } from '../refusal-answer.js';
import type { InboundTransport } from './inbound-transport.js';

const EXCEPTIONS = {
  400: BadRequestException,
  401: UnauthorizedException,
  403: ForbiddenException,
  503: ServiceUnavailableException,
} as const;

/** Makes the exception that Nest has for an answer, so that filters of the application find it by its class. */
export function httpException(answer: RefusalAnswer): HttpException {
  const statusCode = httpStatus(answer);
  return new EXCEPTIONS[statusCode]({ statusCode, error: answer.error, message: answer.message });
}

/** HTTP on Express and Fastify: credential and answer by RFC 6750. */
export class HttpTransport implements InboundTransport {
  readonly name = 'http';

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly realm: string | undefined,
    private readonly tokenHeader: TokenHeader | undefined,
  ) {}

  read(context: ExecutionContext): Credential {
    return readHttpCredential(context.getArgByIndex<HttpRequest>(0), this.tokenHeader);
  }

  carrier(context: ExecutionContext): object {
    return messageOf(context.getArgByIndex<HttpRequest>(0));
  }

  refuse(context: ExecutionContext, refusal: Refusal, { scopes }: RoutePolicy): Error {
    const answer = refusalAnswer(refusal, scopes);
    this.#setHeaders(context.getArgByIndex<unknown>(1), httpHeaders(answer, { realm: this.realm, scopes }));
    return httpException(answer);
  }

  /** Sets them on the answer itself, where they stay whichever filter writes it. */
  #setHeaders(response: unknown, headers: Readonly<Record<string, string>>): void {
    try {
      for (const [name, value] of Object.entries(headers)) {
        this.adapterHost.httpAdapter.setHeader(response, name, value);
      }
    } catch {
      // A response that takes none was made up, as in unit tests. The call is refused all the same.
    }
  }
}
