import type { ExecutionContext } from '@nestjs/common';
import { type Refusal, refuse } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';

/** One way in which calls come into an application, as far as the guard needs it. */
export interface InboundTransport {
  /** For events and counts. */
  readonly name: string;

  /** Returns the one credential of a call, or a refusal. Never throws, and never looks into the payload. */
  read(context: ExecutionContext): Credential;

  /** Returns the object that stands for the call as long as it lasts. Never the payload. */
  callKey(context: ExecutionContext): object;

  /**
   * Holds the messages of a stream until the call is decided. Returns a function that releases them; a refused call is
   * held for good.
   */
  hold?(context: ExecutionContext): () => void;

  /** Refuses the call to its caller and its broker. Returns the error that the guard has to throw. */
  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error;
}

/** A transport whose handlers get the payload first, and then an object that stands for the call. */
export abstract class ContextTransport<Context extends object> implements InboundTransport {
  /** @param credentialOf Reads the second argument alone. An error that it throws becomes a refusal. */
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
