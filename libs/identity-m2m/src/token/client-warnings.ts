import type { EventStream } from '../foundation/event-stream.js';
import type { ClientWarning, OutboundEvent } from './outbound-events.js';

/** @param message Whole, but for the client's name. Holds no token and no secret. */
export type WarnOfClient = (warning: ClientWarning, message: string) => void;

/** Warns of each thing once for a client, and not once for each token request. */
export function clientWarnings(client: string, events: EventStream<OutboundEvent>): WarnOfClient {
  const known = new Set<ClientWarning>();
  return (warning, message) => {
    if (known.has(warning)) return;
    known.add(warning);
    events.emit({ type: 'client.warning', client, warning, message });
  };
}
