import type { ExecutionContext } from '@nestjs/common';
import { refuse, type Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';
import { isEventHandler } from '../message-handler.js';
import { MessageRefusal } from '../message-refusal.js';
import type { MicroservicesPackage } from '../microservices-package.js';
import { refusalAnswer } from '../refusal-answer.js';
import { rpcAnswer } from '../rpc-answer.js';
import type { InboundTransport } from './inbound-transport.js';

/** A transport of messages, whose handlers get a context object beside the payload. */
export class MessageTransport<Context extends object> implements InboundTransport {
  /** @param credentialOf Reads the context alone. What it throws is a refusal. */
  constructor(
    readonly name: string,
    protected readonly microservices: MicroservicesPackage,
    private readonly credentialOf: (context: Context) => Credential,
  ) {}

  read(context: ExecutionContext): Credential {
    try {
      return this.credentialOf(this.carrier(context));
    } catch {
      return refuse('credential_malformed');
    }
  }

  carrier(context: ExecutionContext): Context {
    return context.getArgByIndex<Context>(1);
  }

  refuse(context: ExecutionContext, refusal: Refusal, { scopes }: RoutePolicy): Error {
    const answer = rpcAnswer(refusalAnswer(refusal, scopes));
    return isEventHandler(context) ? new MessageRefusal(answer) : new this.microservices.RpcException(answer);
  }
}
