import { type Clock, elapsedMs, type Instant } from '../foundation/clock.js';

const FIRST_INTERVAL_MS = 10_000;
const LONGEST_INTERVAL_MS = 300_000;

interface Receiver {
  /** When a renewal was last forced because of this receiver. */
  forcedAt: Instant;
  intervalMs: number;
}

/**
 * Limits the token renewals that one resource server can force by answering 401.
 *
 * A server that rejects even new tokens (wrong audience, wrong clock, wrong policy) would otherwise turn every call
 * into a token request. Each origin gets one forced renewal per interval; the interval doubles each time that a renewal
 * did not help, and is short again once one did. Calls that were never rejected have no say: a server where one route
 * works and another always answers 401 would otherwise never be braked.
 */
export class ReceiverBrake {
  readonly #receivers = new Map<string, Receiver>();

  constructor(private readonly clock: Clock) {}

  /** Whether a 401 of this origin may force a renewal now; if so, that is taken to happen. */
  mayForceRenewal(origin: string): boolean {
    const now = this.clock.now();
    const receiver = this.#receivers.get(origin);
    if (receiver && elapsedMs(receiver.forcedAt, now) < receiver.intervalMs) return false;
    this.#receivers.set(origin, { forcedAt: now, intervalMs: receiver?.intervalMs ?? FIRST_INTERVAL_MS });
    return true;
  }

  /** Records what came of a renewal: whether it brought a token that the receiver accepts. */
  renewalEnded(origin: string, outcome: 'helped' | 'did not help'): void {
    const receiver = this.#receivers.get(origin);
    if (!receiver) return;
    receiver.intervalMs =
      outcome === 'helped' ? FIRST_INTERVAL_MS : Math.min(receiver.intervalMs * 2, LONGEST_INTERVAL_MS);
  }
}
