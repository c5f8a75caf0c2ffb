import type { ExecutionContext } from '@nestjs/common';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import { type Credential, credentialIn } from '../credential.js';
import type { InboundDecisions } from '../inbound-decisions.js';
import { MessageRefusal } from '../message-refusal.js';
import type { MicroservicesPackage } from '../microservices-package.js';
import { refusalAnswer } from '../refusal-answer.js';
import { rpcAnswer } from '../rpc-answer.js';
import type { AcknowledgementModes } from '../rabbitmq-acknowledgement.js';
import { type Delivered, rejectUnsettled, type SettlingChannel } from '../rabbitmq-settlements.js';
import { sharedDelivery } from '../shared-deliveries.js';
import { MessageTransport } from './message-transport.js';

interface WithHeaders {
  readonly properties?: { readonly headers?: Readonly<Record<string, unknown>> };
}

export interface RmqContext {
  getMessage(): Delivered & WithHeaders;
  getChannelRef(): SettlingChannel;
}

/** RabbitMQ: the header `authorization` of the message's properties, as a text. */
export function rabbitmqCredential(context: { getMessage(): WithHeaders }): Credential {
  return credentialIn(Object.entries(context.getMessage().properties?.headers ?? {}));
}

/**
 * RabbitMQ, where a message that waits for an acknowledgement would come back with each new connection, and hold up the
 * consumer until then.
 *
 * So a refused one is taken out of the queue: rejected without being queued again, it goes to the dead letter exchange
 * where the queue has one. That holds for one that can't be decided, too: queued again it would be back at once, in a
 * circle as fast as the machine.
 */
export class RabbitmqTransport extends MessageTransport<RmqContext> {
  constructor(
    microservices: MicroservicesPackage,
    private readonly decisions: InboundDecisions,
    private readonly modes: AcknowledgementModes,
  ) {
    super('rabbitmq', microservices, rabbitmqCredential);
  }

  override refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    const message = this.carrier(context);
    const channel = message.getChannelRef();
    const mode = this.modes.of(channel);
    if (mode === 'automatic') return super.refuse(context, refusal, policy);
    const { reason } = refusal;
    const answer = rpcAnswer(refusalAnswer(refusal, policy.scopes));
    if (mode === 'unknown') {
      // A server of the application's own: its filters get to see the refusal, and can settle the message.
      this.decisions.settled({ type: 'message.unsettled', transport: this.name, reason });
      return new this.microservices.RpcException(answer);
    }
    const delivery = sharedDelivery(message);
    if (!delivery) {
      channel.nack(message.getMessage(), false, false);
      this.decisions.settled({ type: 'message.dead_lettered', transport: this.name, reason });
      return new MessageRefusal(answer);
    }
    // Another handler may be let in, and settle the message.
    delivery.refused(refusal, (_refusals, areAll) => {
      if (rejectUnsettled(channel, message.getMessage(), delivery.startedAt)) {
        this.decisions.settled({ type: 'message.dead_lettered', transport: this.name, reason });
      }
      return areAll ? answer : undefined;
    });
    return new MessageRefusal(undefined);
  }
}
