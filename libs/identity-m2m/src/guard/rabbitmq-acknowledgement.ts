import type { Type } from '@nestjs/common';
import { type SettlingChannel, watchSettlements } from './rabbitmq-settlements.js';

/** Whether messages of a channel wait for an acknowledgement (`noAck: false`), or are done with when delivered. */
export interface AcknowledgementModes {
  of(channel: object): 'automatic' | 'manual' | 'unknown';
}

/** Nest's server for RabbitMQ, as far as it is needed here. */
interface RabbitmqServer {
  readonly noAck?: unknown;
  setupChannel: (this: RabbitmqServer, channel: SettlingChannel, ...rest: unknown[]) => unknown;
}

const modes = new WeakMap<object, 'automatic' | 'manual'>();
const observed = new WeakSet<object>();

/**
 * Notes the mode of each channel that Nest's server sets up from now on.
 *
 * It has to be known, because a message of one mode must be rejected and a message of the other must not: RabbitMQ would
 * close the channel for it. Nothing that a handler gets tells it: neither the message, nor the channel, nor the context. So
 * it is taken where it is known, from the server, by a step before its public method that changes nothing about it.
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
