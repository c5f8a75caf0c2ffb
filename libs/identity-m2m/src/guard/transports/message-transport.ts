import type { ExecutionContext } from '@nestjs/common';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';
import { isEventHandler } from '../message-handler.js';
import { MessageRefusal } from '../message-refusal.js';
import type { MicroservicesPackage } from '../microservices-package.js';
import { refusalAnswer } from '../refusal-answer.js';
import { rpcAnswer } from '../rpc-answer.js';
import { ContextTransport } from './context-transport.js';

/** A transport of `@nestjs/microservices`, or a strategy of the application's own. */
export class MessageTransport<Context extends object> extends ContextTransport<Context> {
  constructor(
    name: string,
    protected readonly microservices: MicroservicesPackage,
    credentialOf: (context: Context) => Credential,
  ) {
    super(name, credentialOf);
  }

  refuse(context: ExecutionContext, refusal: Refusal, { scopes }: RoutePolicy): Error {
    if (isEventHandler(context)) return new MessageRefusal(undefined);
    return new this.microservices.RpcException(rpcAnswer(refusalAnswer(refusal, scopes)));
  }
}
