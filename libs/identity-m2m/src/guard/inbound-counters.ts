import type { InboundEvent } from './inbound-events.js';

/** How many callers were let in and refused since the start, by transport. */
export interface TransportCount {
  readonly accepted: number;
  /** By reason; reasons that never were are absent. */
  readonly refused: Readonly<Record<string, number>>;
}

/**
 * Counts decisions. Its size is bounded by what a program is made of, never by what callers send: transports are Nest's
 * and those of the options, reasons are a fixed list.
 */
export class InboundCounters {
  readonly #transports = new Map<string, { accepted: number; refused: Record<string, number> }>();

  count(event: InboundEvent): void {
    if (event.type !== 'caller.accepted' && event.type !== 'caller.refused') return;
    let counts = this.#transports.get(event.transport);
    if (!counts) this.#transports.set(event.transport, (counts = { accepted: 0, refused: {} }));
    if (event.type === 'caller.accepted') counts.accepted++;
    else counts.refused[event.reason] = (counts.refused[event.reason] ?? 0) + 1;
  }

  /** A copy of the counts by transport. */
  read(): Readonly<Record<string, TransportCount>> {
    return Object.fromEntries(
      [...this.#transports].map(([name, { accepted, refused }]) => [name, { accepted, refused: { ...refused } }]),
    );
  }
}
