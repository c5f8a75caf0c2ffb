import { TokenNotBearerError } from '../token/token-errors.js';
import type { GetTokenOptions, TokenProvider } from '../token/token-provider.js';
import { carrierOf } from './carrier-of.js';

/**
 * The value for the `Authorization` header, or the one of the option `tokenHeader`, of a call that no carrier makes: the handshake of a WebSocket, the call of a
 * GraphQL client. undefined where the token is not bound to the address, and the call is to go out without it.
 *
 * Ask anew for each call or connection: the token changes. A WebSocket is opened by a request of HTTP (RFC 6455 §1.3), so
 * `wss:` counts as `https:` and `ws:` as `http:`.
 *
 * @throws `TokenUnavailableError` or one of its subclasses; {@link TokenNotBearerError}; `TokenParametersError`; the
 * signal's reason once that has aborted.
 */
export async function authorizationFor(
  provider: TokenProvider,
  url: string,
  options?: GetTokenOptions,
): Promise<string | undefined> {
  const carrier = carrierOf(provider);
  if (!carrier.isBound(url.replace(/^ws(s?):/i, 'http$1:'))) return undefined;
  const token = provider.peek(options) ?? (await provider.getToken(options));
  if (token.tokenType !== 'Bearer') throw new TokenNotBearerError(provider.client);
  return carrier.header.revealValue(token);
}
