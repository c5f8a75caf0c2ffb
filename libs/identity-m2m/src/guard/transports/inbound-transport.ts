import type { ExecutionContext } from '@nestjs/common';
import { type Refusal, refuse } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';

/** One way that calls come into an application, as far as the guard has to know it. */
export interface InboundTransport {
  /** For events and counts. */
  readonly name: string;

  /** The one credential of a call, or why there is none. Never throws; never looks into the payload. */
  read(context: ExecutionContext): Credential;

  /** The object that stands for the call as long as it lasts. Never the payload. */
  callKey(context: ExecutionContext): object;

  /**
   * Holds back what a call goes on to bring while it is not decided whether it is let in. Returns what ends that; a call
   * that is refused is held for good.
   */
  hold?(context: ExecutionContext): () => void;

  /** Tells the caller and the broker that the call is refused. Returns what the guard has to throw. */
  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error;
}

/** A transport whose handlers get the payload first, and beside it an object that stands for the call. */
export abstract class ContextTransport<Context extends object> implements InboundTransport {
  /** @param credentialOf Reads the second argument alone. What it throws is a refusal. */
  constructor(
    readonly name: string,
    private readonly credentialOf: (context: Context) => Credential,
  ) {}

  read(context: ExecutionContext): Credential {
    try {
      return this.credentialOf(this.callKey(context));
    } catch {
      return refuse('credential_malformed');
    }
  }

  callKey(context: ExecutionContext): Context {
    return context.getArgByIndex<Context>(1);
  }

  abstract refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error;
}
