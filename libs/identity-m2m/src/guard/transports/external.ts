import type { ExecutionContext } from '@nestjs/common';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import { refusalAnswer } from '../refusal-answer.js';
import { httpException } from './http.js';
import { ContextTransport } from './inbound-transport.js';

/**
 * Calls by `ExternalContextCreator`: libraries such as `@golevelup/nestjs-rabbitmq` run handlers through it, outside of
 * Nest's own transports.
 *
 * Refuses with the exceptions of HTTP, as Nest itself does there. What becomes of a refused message is up to the library.
 */
export class ExternalTransport extends ContextTransport<object> {
  refuse(_context: ExecutionContext, refusal: Refusal, { scopes }: RoutePolicy): Error {
    return httpException(refusalAnswer(refusal, scopes));
  }
}
