import { channel } from 'node:diagnostics_channel';
import type { EventStream } from '../foundation/event-stream.js';

/** Node's diagnostics channels that events are published on: `OutboundEvent` and `InboundEvent`. */
export const OUTBOUND_CHANNEL = 'nestjs-identity-m2m:outbound';
export const INBOUND_CHANNEL = 'nestjs-identity-m2m:inbound';

/** Publishes events for those who observe this process without being part of the application. */
export function publishEvents<Event>(events: Pick<EventStream<Event>, 'subscribe'>, name: string): () => void {
  const target = channel(name);
  return events.subscribe((event) => {
    if (target.hasSubscribers) target.publish(event);
  });
}
