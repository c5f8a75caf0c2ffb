/** What settles messages on a channel of amqplib. */
export interface SettlingChannel {
  ack: (message: Delivered, allUpTo?: boolean) => void;
  nack: (message: Delivered, allUpTo?: boolean, requeue?: boolean) => void;
  reject: (message: Delivered, requeue?: boolean) => void;
  ackAll: () => void;
  nackAll: (requeue?: boolean) => void;
}

/** A message as amqplib hands it over. Applications copy it, but not its fields. */
export interface Delivered {
  readonly fields: { readonly deliveryTag: number };
}

/**
 * What has been settled on one channel.
 *
 * RabbitMQ closes a channel on which a message is settled twice, and delivers all that was open there again. Neither the
 * message nor the channel of amqplib tells whether it was settled.
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

/** Notes what the application settles on a channel, and keeps it from settling again what the guard has rejected. */
export function watchSettlements(channel: SettlingChannel): void {
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
 * Rejects a message without having it queued again, unless the application has settled it. Returns whether it did.
 *
 * @param since When it was delivered, by `performance.now()`.
 */
export function rejectUnsettled(channel: SettlingChannel, message: Delivered, since: number): boolean {
  const settlements = ofChannels.get(channel);
  if (settlements?.isSettled(message, since)) return false;
  channel.nack(message, false, false);
  settlements?.rejected(message);
  return true;
}
