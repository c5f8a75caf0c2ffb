import type { ExecutionContext } from '@nestjs/common';
import { refuse, type Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';
import type { InboundTransport } from './inbound-transport.js';

/** A transport whose handlers get the payload first, and beside it an object that stands for the call. */
export abstract class ContextTransport<Context extends object> implements InboundTransport {
  /** @param credentialOf Reads the second argument alone. What it throws is a refusal. */
  constructor(
    readonly name: string,
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

  abstract refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error;
}
