import { type Clock, systemClock } from '../foundation/clock.js';
import type { TokenProvider } from '../token/token-provider.js';
import { DEFAULT_MAX_REPLAY_BYTES, TokenCarrier } from './token-carrier.js';

const carriers = new WeakMap<TokenProvider, TokenCarrier>();

/**
 * The one carrier of a provider: what it learned of a receiver by one kind of call holds for every other kind.
 *
 * The client that a provider belongs to asks first, with its own configuration. A provider that an application wrote
 * itself gets the defaults.
 */
export function carrierOf(
  provider: TokenProvider,
  clock: Clock = systemClock,
  maxReplayBytes: number = DEFAULT_MAX_REPLAY_BYTES,
): TokenCarrier {
  const existing = carriers.get(provider);
  if (existing) return existing;
  const carrier = new TokenCarrier(provider, clock, maxReplayBytes);
  carriers.set(provider, carrier);
  return carrier;
}
