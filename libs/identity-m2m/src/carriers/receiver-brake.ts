import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';

const FIRST_INTERVAL_MS = 10_000;
const LONGEST_INTERVAL_MS = 300_000;

/** Most pairs of a token and an origin that are remembered. */
const MAX_RECEIVERS = 1000;

/** One resource server, as far as one of the client's tokens is concerned. */
interface Receiver {
  /** When a renewal was last forced because of this receiver. */
  forcedAt: Instant;
  intervalMs: number;
}

/**
 * Limits the token renewals that one resource server can force by answering 401.
 *
 * A server that rejects even new tokens (wrong audience, wrong clock, wrong policy) would otherwise turn every call
 * into a token request. Each origin gets one forced renewal of each token per interval; the interval doubles each time
 * that a renewal did not help, and is short again once one did. Calls that were never rejected have no say: a server
 * where one route works and another always answers 401 would otherwise never be braked. Nor do calls with tokens of other
 * scopes or audiences: what the server has against one of these says nothing about the next.
 */
export class ReceiverBrake {
  readonly #receivers = new BoundedMap<Receiver>({ maxEntries: MAX_RECEIVERS, maxBytes: Infinity });

  constructor(private readonly clock: Clock) {}

  /** Whether a 401 of this receiver may force a renewal now; if so, that is taken to happen. */
  mayForceRenewal(receiverKey: string): boolean {
    const now = this.clock.now();
    const receiver = this.#receivers.get(receiverKey);
    if (receiver && elapsedMs(receiver.forcedAt, now) < receiver.intervalMs) return false;
    const intervalMs = receiver?.intervalMs ?? FIRST_INTERVAL_MS;
    this.#receivers.set(receiverKey, { forcedAt: now, intervalMs }, 0);
    return true;
  }

  /** Records what came of a renewal: whether it brought a token that the receiver accepts. */
  renewalEnded(receiverKey: string, outcome: 'helped' | 'did not help'): void {
    const receiver = this.#receivers.get(receiverKey);
    if (!receiver) return;
    receiver.intervalMs =
      outcome === 'helped' ? FIRST_INTERVAL_MS : Math.min(receiver.intervalMs * 2, LONGEST_INTERVAL_MS);
  }
}

/** @param token Key of the token, by what it is asked for. */
export function receiverKey(token: string, origin: string): string {
  return `${token} ${origin}`;
}
