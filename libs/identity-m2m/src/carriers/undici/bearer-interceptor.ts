import type { Dispatcher } from 'undici';
import { IdentityM2MConfigurationError } from '../../config/configuration-error.js';
import type { AccessToken } from '../../token/access-token.js';
import type { GetTokenOptions, TokenProvider } from '../../token/token-provider.js';
import { parseUrl } from '../../foundation/url.js';
import { describeAddress } from '../../identity-providers/preset-options.js';
import { callAddressError } from '../call-address-error.js';
import { carrierOf, type TokenCarrier } from '../token-carrier.js';
import { inspectHeaders, snapshotOf, withLastingHeaders } from './dispatch-headers.js';
import { DispatchedCall, failCall } from './dispatched-call.js';

export interface BearerInterceptorOptions {
  /** Token that the calls carry. Omitted members default to the client's options. */
  readonly token?: Omit<GetTokenOptions, 'signal'>;
  /**
   * Origin of the composed `Client` or `Pool`, which connects to that origin whatever origin a call names. Required for
   * these with undici 7; with undici 8, only for a `BalancedPool`. Omit it for an `Agent` or a proxy agent.
   */
  readonly origin?: string | URL;
}

/**
 * Returns an interceptor for undici that puts the provider's token on a dispatcher's calls to allowed origins, and on
 * no others.
 *
 * It checks each dispatch by its own origin and path. So compose the redirect and retry interceptors after this one, as
 * in the example: each of their requests then passes it. A redirect interceptor composed before it does not follow
 * calls that carry a token. If a token is cached, the call is dispatched at once.
 *
 * After a 401, the call is sent once more with a newer token if its body is a string, bytes or empty. An
 * `Authorization` header that the caller sets is kept, and so is the header of the option `tokenHeader`. The
 * interceptor never changes the caller's options and headers.
 *
 * @example
 * const dispatcher = new Agent().compose(bearerInterceptor(provider), interceptors.redirect({ maxRedirections: 3 }));
 * const { body } = await request('https://api.example/users', { dispatcher });
 *
 * Before anything is sent, calls fail with `TokenUnavailableError` or one of its subclasses; with {@link
 * IdentityM2MConfigurationError} if neither the call nor the options name an origin; with `CallAddressError` if the
 * origin is not an http or https URL.
 *
 * @throws {@link IdentityM2MConfigurationError} if the option `origin` is not an http or https URL.
 */
export function bearerInterceptor(
  provider: TokenProvider,
  { token: wanted, origin }: BearerInterceptorOptions = {},
): Dispatcher.DispatcherComposeInterceptor {
  const carrier = carrierOf(provider);
  const ownOrigin = origin === undefined ? undefined : checkedOrigin(origin);
  // undici 8 passes the origin of a Client or Pool; no other dispatcher has one.
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
        // true: the caller need not wait for a 'drain' event.
        return true;
      }
      const call = new DispatchedCall(dispatch, snapshotOf(options), handler, { url, wanted, carrier });
      if (token) return call.sendNow(token);
      call.waitAndSend();
      return true;
    };
  };
}

/** Returns the call's address if the token may go there; undefined otherwise. */
function addressForToken(
  carrier: TokenCarrier,
  { method, origin, path, headers }: Dispatcher.DispatchOptions,
  fixedOrigin: string | undefined,
): string | undefined {
  // CONNECT addresses a proxy, and so does a path that is an absolute URL.
  if (method === 'CONNECT' || typeof path !== 'string' || !path.startsWith('/')) return undefined;
  const { hasToken, host } = inspectHeaders(headers, carrier.header.key);
  if (hasToken) return undefined;
  const target = targetOrigin(origin, fixedOrigin);
  if (target === undefined) return undefined;
  const url = target + path;
  if (!carrier.allows(url, host)) {
    const { client } = carrier;
    const error = callAddressError({ client, method, url: target, noun: 'origin', advice: ORIGIN_ADVICE });
    if (error) throw error;
    return undefined;
  }
  return isUnambiguous(path) || carrier.allows(`${target}/`, host) ? url : undefined;
}

/** Returns the call's origin; undefined if the dispatcher connects to another one. */
function targetOrigin(origin: string | URL | undefined, fixedOrigin: string | undefined): string | undefined {
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
 * undici sends a path as it was written, and the server may or may not resolve `..`. If only a part of the origin is
 * allowed, such a path is treated as leading out of it.
 */
function isUnambiguous(path: string): boolean {
  return !/\/\.|\\|%2e/i.test(path);
}
