import { BoundedMap } from '../foundation/bounded-map.js';
import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';

const FIRST_INTERVAL_MS = 10_000;
const LONGEST_INTERVAL_MS = 300_000;

/** If a receiver rejects a token younger than this, its renewal did not help; in milliseconds. */
const YOUNG_MS = 30_000;

/** Maximum number of remembered pairs of a token and an origin. */
const MAX_RECEIVERS = 1000;

/** A resource server, as far as one token of the client is concerned. */
interface Receiver {
  /** Time of the last renewal that this receiver forced. */
  forcedAt: Instant;
  intervalMs: number;
  /** Whether it is still unknown if the receiver accepts the token of that renewal. */
  isOpen: boolean;
}

/**
 * Limits the token renewals that a resource server can force by responding with 401.
 *
 * A server that rejects even new tokens (wrong audience, clock or policy) would otherwise turn every call into a token
 * request. Each pair of token and origin gets one forced renewal per interval. The interval doubles with each renewal
 * that did not help, and one that helped resets it.
 *
 * Only rejected calls count: a server may accept the token on one route and always respond with 401 on another. Each
 * set of scopes and audiences counts by itself: a rejection of one token is no evidence about another.
 *
 * The repeated call shows whether a renewal helped. If the call could not be repeated because its body was a stream,
 * the next rejection shows it.
 */
export class RenewalThrottle {
  readonly #receivers = new BoundedMap<Receiver>({ maxEntries: MAX_RECEIVERS });

  constructor(private readonly clock: Clock) {}

  /**
   * Records a renewal that a 401 from this receiver forces, unless it may not force one now. Returns whether it may.
   *
   * Called for the current token only, so a 401 soon after a forced renewal is about the renewed token.
   */
  tryForceRenewal(receiverKey: string): boolean {
    const now = this.clock.now();
    const receiver = this.#receivers.get(receiverKey);
    if (receiver) {
      const sinceMs = elapsedMs(receiver.forcedAt, now);
      if (receiver.isOpen) this.renewalEnded(receiverKey, sinceMs < YOUNG_MS ? 'did not help' : 'helped');
      if (sinceMs < receiver.intervalMs) return false;
    }
    const intervalMs = receiver?.intervalMs ?? FIRST_INTERVAL_MS;
    this.#receivers.set(receiverKey, { forcedAt: now, intervalMs, isOpen: true });
    return true;
  }

  /** Records whether the receiver accepts the token that a renewal brought. The first failure counts. */
  renewalEnded(receiverKey: string, outcome: 'helped' | 'did not help'): void {
    const receiver = this.#receivers.get(receiverKey);
    if (!receiver) return;
    if (outcome === 'helped') receiver.intervalMs = FIRST_INTERVAL_MS;
    else if (receiver.isOpen) receiver.intervalMs = Math.min(receiver.intervalMs * 2, LONGEST_INTERVAL_MS);
    receiver.isOpen = false;
  }
}

/** @param token Key of the token, derived from its parameters. */
export function receiverKey(token: string, origin: string): string {
  return `${token} ${origin}`;
}
