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
  /** Headers as Nest's parser leaves them: mostly texts, but also JSON values, buffers and null. */
  getMessage(): { readonly headers?: Readonly<Record<string, unknown>> };
}

/** Kafka: the header `authorization`. A repeated one comes joined by a comma, which no token has in it. */
export function kafkaCredential(context: KafkaContext): Credential {
  return credentialIn(Object.entries(context.getMessage().headers ?? {}));
}

/**
 * Kafka, where an error that reaches the consumer is a message delivered again, and nothing behind it in its partition
 * until then.
 *
 * So a refused message without anybody waiting for an answer is skipped, as if handled. One that can't be decided is left
 * for another delivery: it may be good, and there is no other place where it would be kept.
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
    // Delivered again at once, it would not reach the handlers that are let in.
    delivery.refused(refusal, (refusals, areAll) => this.#settled(refusals, areAll));
    return new MessageRefusal(undefined);
  }

  /** @returns What has the message delivered again; undefined where the consumer goes on. */
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

/** By the rule that Nest's server goes by. */
function expectsReply(context: ExecutionContext, kafka: KafkaContext): boolean {
  const headers = kafka.getMessage().headers ?? {};
  return !isEventHandler(context) && Boolean(headers['kafka_correlationId']) && Boolean(headers['kafka_replyTopic']);
}
