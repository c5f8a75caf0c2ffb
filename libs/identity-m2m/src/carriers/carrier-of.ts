import { type Clock, systemClock } from '../foundation/clock.js';
import type { TokenProvider } from '../token/token-provider.js';
import type { TokenHeader } from '../token/access-token.js';
import { DEFAULT_REPLAY_POLICY, type ReplayPolicy, TokenCarrier } from './token-carrier.js';

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
  replay: ReplayPolicy = DEFAULT_REPLAY_POLICY,
  header?: TokenHeader,
): TokenCarrier {
  const existing = carriers.get(provider);
  if (existing) return existing;
  const carrier = new TokenCarrier(provider, clock, replay, header);
  carriers.set(provider, carrier);
  return carrier;
}
