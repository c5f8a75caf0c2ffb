import type { Dispatcher } from 'undici';
import { IdentityM2MConfigurationError } from '../../config/configuration-error.js';
import type { AccessToken } from '../../token/access-token.js';
import type { GetTokenOptions, TokenProvider } from '../../token/token-provider.js';
import { parseUrl } from '../../foundation/url.js';
import { describeAddress } from '../../identity-providers/preset-options.js';
import { callAddressError } from '../call-address-error.js';
import { carrierOf, type TokenCarrier } from '../token-carrier.js';
import { inspectHeaders, snapshotOf, withLastingHeaders } from './dispatch-headers.js';
import { DispatchedCall, withAuthorization } from './dispatched-call.js';
import { failCall } from './raw-handler.js';

export interface BearerInterceptorOptions {
  /** Which token the calls carry. What is not said is as in the client's options. */
  readonly token?: Omit<GetTokenOptions, 'signal'>;
  /**
   * Origin of the `Client` or `Pool` that is composed. These connect to the one place that they were made for, whatever
   * origin a call names, so that has to be said here too; with undici 8, for a `BalancedPool` alone. Not for an `Agent` or a
   * proxy agent.
   */
  readonly origin?: string | URL;
}

/**
 * An interceptor for undici that puts the provider's token on the calls of a dispatcher: to the places that the token is
 * bound to and no others.
 *
 * Each dispatch is judged by its own origin and path, so the redirect and retry interceptors stand behind this one, where
 * each of their requests passes it. A redirect interceptor in front of it is kept from following the calls that carry a
 * token. Where the token is there already, nothing is awaited.
 *
 * A 401 that a newer token may mend is answered by sending the call once more, if its body is a text, bytes or nothing.
 * An `Authorization` header of the caller, or the one of the option `tokenHeader`, is left as it is. Options and headers of the caller are never changed.
 *
 * @example
 * const dispatcher = new Agent().compose(bearerInterceptor(provider), interceptors.redirect({ maxRedirections: 3 }));
 * const { body } = await request('https://api.example/users', { dispatcher });
 *
 * Calls fail with `TokenUnavailableError` or one of its subclasses, and nothing was sent; with
 * {@link IdentityM2MConfigurationError} where a call names no origin and the options do not either; with
 * `CallAddressError` where the origin is not an http or https URL.
 *
 * @throws {@link IdentityM2MConfigurationError} where the option `origin` is not an http or https URL.
 */
export function bearerInterceptor(
  provider: TokenProvider,
  { token: wanted, origin }: BearerInterceptorOptions = {},
): Dispatcher.DispatcherComposeInterceptor {
  const carrier = carrierOf(provider);
  const ownOrigin = origin === undefined ? undefined : checkedOrigin(origin);
  // undici 8 tells interceptors where a Client or Pool leads; no other dispatcher has an origin of its own.
  return (dispatch, poolOrigin?: unknown) => {
    const fixedOrigin = ownOrigin ?? (typeof poolOrigin === 'string' ? poolOrigin : undefined);
    return (given, handler) => {
      const options = withLastingHeaders(given);
      let url: string | undefined;
      let token: AccessToken | undefined;
      try {
        url = addressForToken(carrier, options, fixedOrigin);
        if (url === undefined) return dispatch(options, handler);
        token = carrier.peekBearer(wanted);
      } catch (error) {
        failCall(handler, error as Error);
        // Nothing waits for this dispatcher to have room again.
        return true;
      }
      const call = new DispatchedCall(dispatch, snapshotOf(options), handler, { url, wanted, carrier });
      if (!token) {
        call.waitAndSend();
        return true;
      }
      return dispatch(withAuthorization(options, carrier.authorizationOf(token)), call.firstAttempt(token));
    };
  };
}

/** Where the call goes, if the token is to go there with it. */
function addressForToken(
  carrier: TokenCarrier,
  { method, origin, path, headers }: Dispatcher.DispatchOptions,
  fixedOrigin: string | undefined,
): string | undefined {
  // CONNECT speaks to a proxy, of another place; and so does a path that is a whole address.
  if (method === 'CONNECT' || typeof path !== 'string' || !path.startsWith('/')) return undefined;
  const { hasToken, host } = inspectHeaders(headers, carrier.header.key);
  if (hasToken) return undefined;
  const place = placeOf(origin, fixedOrigin);
  if (place === undefined) return undefined;
  const url = place + path;
  if (!carrier.allows(url, host)) {
    const { client } = carrier;
    const error = callAddressError({ client, method, url: place, noun: 'origin', advice: ORIGIN_ADVICE });
    if (error) throw error;
    return undefined;
  }
  return isReadInOneWay(path) || carrier.allows(`${place}/`, host) ? url : undefined;
}

/** Where the call goes: its own origin, which has to be that of the options where they name one. */
function placeOf(origin: string | URL | undefined, fixedOrigin: string | undefined): string | undefined {
  if (fixedOrigin !== undefined) {
    return origin === undefined || parseUrl(String(origin))?.origin === fixedOrigin ? fixedOrigin : undefined;
  }
  if (origin === undefined) {
    const expected = 'the origin of the Client or Pool, as an option of bearerInterceptor, for calls that name none';
    throw new IdentityM2MConfigurationError([{ path: 'origin', expected, found: 'nothing' }]);
  }
  const text = typeof origin === 'string' ? origin : origin.href;
  return text.endsWith('/') ? text.slice(0, -1) : text;
}

const ORIGIN_ADVICE = 'Write it with its scheme, such as https://api.example.';

function checkedOrigin(origin: string | URL): string {
  const url = parseUrl(String(origin));
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url.origin;
  const expected = 'the origin of the Client or Pool, such as https://api.example';
  throw new IdentityM2MConfigurationError([{ path: 'origin', expected, found: describeAddress(String(origin)) }]);
}

/**
 * undici sends a path as it was written, and whoever reads it may resolve `..` or not. Where only a part of the origin is
 * bound, such a path is taken to lead out of it.
 */
function isReadInOneWay(path: string): boolean {
  return !/\/\.|\\|%2e/i.test(path);
}
