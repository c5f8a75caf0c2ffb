import type { EventStream } from '../foundation/event-stream.js';
import type { ClientWarning, OutboundEvent } from './outbound-events.js';

/** @param message Whole, but for the client's name. Holds no token and no secret. */
export type WarnOfClient = (warning: ClientWarning, message: string) => void;

/** Events of a client that come once, and not with each token request. */
export interface ClientWarnings {
  readonly warn: WarnOfClient;
  /** For `readTokenResponse`: what it did in place of its task. */
  readonly tellReaderFailure: (problem: string) => void;
}

export function clientWarnings(client: string, events: EventStream<OutboundEvent>): ClientWarnings {
  const known = new Set<string>();
  const once = (event: OutboundEvent, key: string) => {
    if (known.has(key)) return;
    known.add(key);
    events.emit(event);
  };
  return {
    warn: (warning, message) => once({ type: 'client.warning', client, warning, message }, warning),
    tellReaderFailure: (problem) => {
      const option = 'readTokenResponse';
      once({ type: 'option.failed', client, option, problem }, option);
    },
  };
}
