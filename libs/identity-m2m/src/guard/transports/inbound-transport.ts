import type { ExecutionContext } from '@nestjs/common';
import { type Refusal, refuse } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';

/** One way in which calls reach an application, as far as the guard needs it. */
export interface InboundTransport {
  /** Name in events and counts. */
  readonly name: string;

  /** Returns the only credential of a call, or a refusal. Never throws, and never reads the payload. */
  read(context: ExecutionContext): Credential;

  /** Returns the object that represents the call as long as it lasts. Never the payload. */
  callKey(context: ExecutionContext): object;

  /**
   * Holds the messages of a stream until the call is decided. Returns a function that releases them; those of a refused
   * call are never released.
   */
  hold?(context: ExecutionContext): () => void;

  /** Reports the refusal to the caller and the broker. Returns the error that the guard must throw. */
  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error;
}

/** A transport whose handlers receive the payload first, and then an object that represents the call. */
export abstract class ContextTransport<Context extends object> implements InboundTransport {
  /** @param credentialOf Reads only the second argument. An error that it throws becomes a refusal. */
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
