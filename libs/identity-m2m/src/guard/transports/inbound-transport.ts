import type { ExecutionContext } from '@nestjs/common';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { Credential } from '../credential.js';

/** One way that calls come into an application, as far as the guard has to know it. */
export interface InboundTransport {
  /** For events and counts. */
  readonly name: string;

  /** The one credential of a call, or why there is none. Never throws; never looks into the payload. */
  read(context: ExecutionContext): Credential;

  /** The object that stands for the call as long as it lasts. Never the payload. */
  carrier(context: ExecutionContext): object;

  /**
   * Holds back what a call goes on to bring while it is not decided whether it is let in. Returns what ends that; a call
   * that is refused is held for good.
   */
  hold?(context: ExecutionContext): () => void;

  /** Tells the caller and the broker that the call is refused. Returns what the guard has to throw. */
  refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error;
}
