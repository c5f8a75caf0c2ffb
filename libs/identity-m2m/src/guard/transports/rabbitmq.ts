import type { ExecutionContext, Type } from '@nestjs/common';
import type { MicroservicesPackage } from '../../nest/packages.js';
import type { Refusal } from '../../verification/refusal.js';
import type { RoutePolicy } from '../../verification/route-policy.js';
import type { AccessDecisions } from '../access-decisions.js';
import { type Credential, credentialIn } from '../credential.js';
import { MessageRefusal } from '../message-handler.js';
import { refusalAnswer, rpcAnswer } from '../refusal-answer.js';
import { MessageTransport } from './message.js';
import { sharedDelivery } from './shared-deliveries.js';

interface WithHeaders {
  readonly properties?: { readonly headers?: Readonly<Record<string, unknown>> };
}

export interface RmqContext {
  getMessage(): Delivered & WithHeaders;
  getChannelRef(): SettlingChannel;
}

/** RabbitMQ: reads the header `authorization` in the message's properties, which must be a string. */
export function rabbitmqCredential(context: { getMessage(): WithHeaders }): Credential {
  return credentialIn(Object.entries(context.getMessage().properties?.headers ?? {}));
}

/**
 * RabbitMQ. A message that is never acknowledged would be delivered again on each new connection, and block the
 * consumer until then.
 *
 * So the guard rejects a refused message without requeueing it: it goes to the queue's dead letter exchange, if there
 * is one. That also applies to a message that the guard can't decide on. Requeued, it would be delivered again at once,
 * in an endless loop.
 */
export class RabbitmqTransport extends MessageTransport<RmqContext> {
  constructor(
    microservices: MicroservicesPackage,
    private readonly decisions: AccessDecisions,
    private readonly modes: AcknowledgementModes,
  ) {
    super('rabbitmq', microservices, rabbitmqCredential);
  }

  override refuse(context: ExecutionContext, refusal: Refusal, policy: RoutePolicy): Error {
    const message = this.callKey(context);
    const channel = message.getChannelRef();
    const mode = this.modes.of(channel);
    if (mode === 'automatic') return super.refuse(context, refusal, policy);
    const { reason } = refusal;
    const answer = rpcAnswer(refusalAnswer(refusal, policy));
    if (mode === 'unknown') {
      // A custom server: the application's filters see the refusal and can settle the message.
      this.decisions.settled({ type: 'message.unsettled', transport: this.name, reason });
      return new this.microservices.RpcException(answer);
    }
    const delivery = sharedDelivery(message);
    if (!delivery) {
      channel.nack(message.getMessage(), false, false);
      this.decisions.settled({ type: 'message.dead_lettered', transport: this.name, reason });
      return new MessageRefusal(answer);
    }
    // Another handler may be allowed and settle the message.
    delivery.refused(refusal, (_refusals, areAll) => {
      if (rejectUnsettled(channel, message.getMessage(), delivery.startedAt)) {
        this.decisions.settled({ type: 'message.dead_lettered', transport: this.name, reason });
      }
      return areAll ? answer : undefined;
    });
    return new MessageRefusal(undefined);
  }
}

/** Whether messages of a channel wait for an acknowledgement (`noAck: false`), or are settled when delivered. */
export interface AcknowledgementModes {
  of(channel: object): 'automatic' | 'manual' | 'unknown';
}

/** The part of Nest's server for RabbitMQ that is used here. */
interface RabbitmqServer {
  readonly noAck?: unknown;
  setupChannel: (this: RabbitmqServer, channel: SettlingChannel, ...rest: unknown[]) => unknown;
}

const modes = new WeakMap<object, 'automatic' | 'manual'>();
const observed = new WeakSet<object>();

/**
 * Records the mode of each channel that Nest's server sets up from now on.
 *
 * A message in manual mode must be rejected, and one in automatic mode must not be: RabbitMQ would close the channel. A
 * handler can't see the mode in the message, the channel or the context. So a wrapper around a public method of the
 * server records it, and changes nothing else.
 */
export function observeAcknowledgementModes(server: Type<object>): AcknowledgementModes {
  const prototype = server.prototype as RabbitmqServer;
  if (!observed.has(prototype) && typeof prototype.setupChannel === 'function') {
    observed.add(prototype);
    const { setupChannel } = prototype;
    prototype.setupChannel = function (this: RabbitmqServer, channel, ...rest) {
      if (typeof this.noAck === 'boolean') modes.set(channel, this.noAck ? 'automatic' : 'manual');
      if (this.noAck === false) watchSettlements(channel);
      return setupChannel.call(this, channel, ...rest);
    };
  }
  return { of: (channel) => modes.get(channel) ?? 'unknown' };
}

/** The methods of an amqplib channel that settle messages. */
interface SettlingChannel {
  ack: (message: Delivered, allUpTo?: boolean) => void;
  nack: (message: Delivered, allUpTo?: boolean, requeue?: boolean) => void;
  reject: (message: Delivered, requeue?: boolean) => void;
  ackAll: () => void;
  nackAll: (requeue?: boolean) => void;
}

/** A message of amqplib. Applications copy it, but not its fields. */
export interface Delivered {
  readonly fields: { readonly deliveryTag: number };
}

/**
 * The settled messages of one channel.
 *
 * RabbitMQ closes a channel on which a message is settled twice, and redelivers its open messages. Neither the message
 * nor the channel of amqplib shows whether a message was settled.
 */
class Settlements {
  readonly #settled = new WeakSet<object>();
  readonly #rejected = new WeakSet<object>();
  #upTo = 0;
  #allAt = -Infinity;

  isSettled({ fields }: Delivered, since: number): boolean {
    return this.#settled.has(fields) || fields.deliveryTag <= this.#upTo || since <= this.#allAt;
  }

  isRejected({ fields }: Delivered): boolean {
    return this.#rejected.has(fields);
  }

  rejected({ fields }: Delivered): void {
    this.#rejected.add(fields);
  }

  settled({ fields }: Delivered, allUpTo: boolean): void {
    this.#settled.add(fields);
    if (allUpTo) this.#upTo = Math.max(this.#upTo, fields.deliveryTag);
  }

  allSettled(): void {
    this.#allAt = performance.now();
  }
}

const ofChannels = new WeakMap<object, Settlements>();

/** Records what the application settles on a channel, and keeps it from settling a message that the guard rejected. */
function watchSettlements(channel: SettlingChannel): void {
  if (ofChannels.has(channel)) return;
  const settlements = new Settlements();
  ofChannels.set(channel, settlements);
  const { ack, nack, reject, ackAll, nackAll } = channel;
  const once = (message: Delivered, allUpTo: boolean, settle: () => void) => {
    if (!allUpTo && settlements.isRejected(message)) return;
    settle();
    settlements.settled(message, allUpTo);
  };
  channel.ack = (message, allUpTo) => once(message, Boolean(allUpTo), () => ack.call(channel, message, allUpTo));
  channel.nack = (message, allUpTo, requeue) =>
    once(message, Boolean(allUpTo), () => nack.call(channel, message, allUpTo, requeue));
  channel.reject = (message, requeue) => once(message, false, () => reject.call(channel, message, requeue));
  channel.ackAll = () => {
    ackAll.call(channel);
    settlements.allSettled();
  };
  channel.nackAll = (requeue) => {
    nackAll.call(channel, requeue);
    settlements.allSettled();
  };
}

/**
 * Rejects a message without requeueing it, unless the application has settled it. Returns whether it was rejected.
 *
 * @param since When it was delivered, by `performance.now()`.
 */
function rejectUnsettled(channel: SettlingChannel, message: Delivered, since: number): boolean {
  const settlements = ofChannels.get(channel);
  if (settlements?.isSettled(message, since)) return false;
  channel.nack(message, false, false);
  settlements?.rejected(message);
  return true;
}
