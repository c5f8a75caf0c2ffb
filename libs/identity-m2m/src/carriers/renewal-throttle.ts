import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';

const FIRST_INTERVAL_MS = 10_000;
const LONGEST_INTERVAL_MS = 300_000;

/** A token that is rejected while it is younger than this did not help, in milliseconds. */
const YOUNG_MS = 30_000;

/** Most pairs of a token and an origin that are remembered. */
const MAX_RECEIVERS = 1000;

/** One resource server, as far as one of the client's tokens is concerned. */
interface Receiver {
  /** When a renewal was last forced because of this receiver. */
  forcedAt: Instant;
  intervalMs: number;
  /** Whether it is not known yet if the token of that renewal is accepted. */
  isOpen: boolean;
}

/**
 * Limits the token renewals that one resource server can force by answering 401.
 *
 * A server that rejects even new tokens (wrong audience, wrong clock, wrong policy) would otherwise turn every call
 * into a token request. Each origin gets one forced renewal of each token per interval; the interval doubles each time
 * that a renewal did not help, and is short again once one did. Calls that were never rejected have no say: a server
 * where one route works and another always answers 401 would otherwise never be braked. Nor do calls with tokens of other
 * scopes or audiences: what the server has against one of these says nothing about the next.
 *
 * Whether a renewal helped is told by the call that was sent again. Where none could be, because its body was a stream, the
 * next rejection tells it.
 */
export class RenewalThrottle {
  readonly #receivers = new BoundedMap<Receiver>({ maxEntries: MAX_RECEIVERS, maxBytes: Infinity });

  constructor(private readonly clock: Clock) {}

  /**
   * Whether a 401 of this receiver may force a renewal now; if so, that is taken to happen. Asked only for the token that
   * is current, so a 401 soon after a forced renewal is one to the token that it brought.
   */
  mayForceRenewal(receiverKey: string): boolean {
    const now = this.clock.now();
    const receiver = this.#receivers.get(receiverKey);
    if (receiver) {
      const sinceMs = elapsedMs(receiver.forcedAt, now);
      if (receiver.isOpen) this.renewalEnded(receiverKey, sinceMs < YOUNG_MS ? 'did not help' : 'helped');
      if (sinceMs < receiver.intervalMs) return false;
    }
    const intervalMs = receiver?.intervalMs ?? FIRST_INTERVAL_MS;
    this.#receivers.set(receiverKey, { forcedAt: now, intervalMs, isOpen: true }, 0);
    return true;
  }

  /** Records what came of a renewal: whether it brought a token that the receiver accepts. The first failure counts. */
  renewalEnded(receiverKey: string, outcome: 'helped' | 'did not help'): void {
    const receiver = this.#receivers.get(receiverKey);
    if (!receiver) return;
    if (outcome === 'helped') receiver.intervalMs = FIRST_INTERVAL_MS;
    else if (receiver.isOpen) receiver.intervalMs = Math.min(receiver.intervalMs * 2, LONGEST_INTERVAL_MS);
    receiver.isOpen = false;
  }
}

/** @param token Key of the token, by what it is asked for. */
export function receiverKey(token: string, origin: string): string {
  return `${token} ${origin}`;
}
