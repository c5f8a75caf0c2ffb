import { type ExecutionContext, HttpException } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';
import { httpHeaders, httpStatus } from '../http-challenge.js';
import { type HttpRequest, messageOf, readHttpCredential } from '../http-credential.js';
import { refusalAnswer } from '../refusal-answer.js';
import type { InboundTransport } from './inbound-transport.js';

/** HTTP on Express and Fastify: credential and answer by RFC 6750. */
export class HttpTransport implements InboundTransport {
  readonly name = 'http';

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly realm: string | undefined,
  ) {}

  read(context: ExecutionContext): Credential {
    return readHttpCredential(context.getArgByIndex<HttpRequest>(0));
  }

  carrier(context: ExecutionContext): object {
    return messageOf(context.getArgByIndex<HttpRequest>(0));
  }

  refuse(context: ExecutionContext, refusal: Refusal, { scopes }: RoutePolicy): Error {
    const answer = refusalAnswer(refusal, scopes);
    const response = context.getArgByIndex<unknown>(1);
    for (const [name, value] of Object.entries(httpHeaders(answer, { realm: this.realm, scopes }))) {
      this.adapterHost.httpAdapter.setHeader(response, name, value);
    }
    const statusCode = httpStatus(answer);
    return new HttpException({ statusCode, error: answer.error, message: answer.message }, statusCode);
  }
}
