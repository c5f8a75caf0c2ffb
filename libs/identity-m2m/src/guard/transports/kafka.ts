import type { ExecutionContext } from '@nestjs/common';
import type { MicroservicesPackage } from '../../nest/packages.js';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { AccessDecisions } from '../access-decisions.js';
import { type Credential, credentialIn } from '../credential.js';
import { isEventHandler, MessageRefusal } from '../message-handler.js';
import { isUndecidable, refusalAnswer } from '../refusal-answer.js';
import { MessageTransport } from './message.js';
import { sharedDelivery } from './shared-deliveries.js';

export interface KafkaContext {
  /** Headers as Nest's parser leaves them: mostly strings, but also JSON values, buffers and null. */
  getMessage(): { readonly headers?: Readonly<Record<string, unknown>> };
}

/** Kafka: reads the header `authorization`. Repeated ones arrive joined by a comma, which no token contains. */
export function kafkaCredential(context: KafkaContext): Credential {
  return credentialIn(Object.entries(context.getMessage().headers ?? {}));
}

/**
 * Kafka. An error that reaches the consumer makes Kafka deliver the message again, and blocks the messages behind it in
 * its partition until then.
 *
 * So a refused message whose sender waits for no reply is skipped, as if it were handled. A message that the guard
 * can't decide on is delivered again: it may be valid, and would otherwise be lost.
 */
export class KafkaTransport extends MessageTransport<KafkaContext> {
  constructor(
    microservices: MicroservicesPackage,
    private readonly decisions: AccessDecisions,
  ) {
    super('kafka', microservices, kafkaCredential);
  }

  override refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    if (expectsReply(context, this.callKey(context))) return super.refuse(context, refusal, policy);
    const delivery = sharedDelivery(this.callKey(context));
    if (!delivery) return this.#settled([refusal], true) ?? new MessageRefusal(undefined);
    // If it were delivered again at once, it would not reach the handlers that are allowed.
    delivery.refused(refusal, (refusals, areAll) => this.#settled(refusals, areAll));
    return new MessageRefusal(undefined);
  }

  /** @returns The error that makes Kafka deliver the message again; undefined if the consumer continues. */
  #settled(refusals: readonly Refusal[], areAll: boolean): Error | undefined {
    const undecidable = refusals.find(({ reason }) => isUndecidable(reason));
    if (undecidable) {
      this.decisions.settled({ type: 'message.retried', transport: this.name, reason: undecidable.reason });
      return new this.microservices.KafkaRetriableException(refusalAnswer(undecidable).message);
    }
    const [first] = refusals;
    if (first && areAll) {
      this.decisions.settled({ type: 'message.skipped', transport: this.name, reason: first.reason });
    }
    return undefined;
  }
}

/** Whether the sender waits for a reply, by the rule of Nest's server. */
function expectsReply(context: ExecutionContext, kafka: KafkaContext): boolean {
  const headers = kafka.getMessage().headers ?? {};
  return !isEventHandler(context) && Boolean(headers['kafka_correlationId']) && Boolean(headers['kafka_replyTopic']);
}
