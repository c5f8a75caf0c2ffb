import { Readable } from 'node:stream';
import { TokenNotBearerError } from '../../token/token-errors.js';
import type { GetTokenOptions, TokenProvider } from '../../token/token-provider.js';
import {
  discardBody,
  headerRecord,
  isWebStream,
  keepFlowing,
  startOfNodeStream,
  startOfWebStream,
} from '../response.js';
import { callAddressError } from '../call-address-error.js';
import { brokenBodySignal, type CallAuthorization, isReplayableBody, type OutgoingCall } from '../outgoing-call.js';
import { carrierOf, type TokenCarrier } from '../token-carrier.js';
import { firstHop, followable, type Hop, initOf, nextHop } from './redirect.js';

type Fetch = typeof globalThis.fetch;

export interface BearerFetchOptions {
  /** Which token the calls carry. What is not said is as in the client's options. */
  readonly token?: Omit<GetTokenOptions, 'signal'>;
  /** What sends the calls. Default: the global `fetch`, as it is at the time of the call. */
  readonly fetch?: Fetch;
}

/**
 * A `fetch` whose calls carry the provider's token where it is bound, and go out as they are everywhere else.
 *
 * What it does with a call is what `fetch` does, with these differences where the call carries the token. A 401 that a
 * newer token may mend is answered by sending the call once more, if its body is a text, bytes or nothing. Redirects
 * are followed one by one, each judged by where it leads; from the first place that the token is not bound to, it is
 * gone for the rest of the way. The body of a `Request` can be sent once, so a redirect that would repeat it fails the
 * call.
 *
 * An `Authorization` header of the caller is left as it is; so is another one that the client puts its token into.
 *
 * @example
 * const fetch = bearerFetch(provider);
 * const answer = await fetch('https://api.example/users', { signal: AbortSignal.timeout(2000) });
 *
 * @throws `TokenUnavailableError` or one of its subclasses, and nothing was sent; `CallAddressError` where the address
 * is not an absolute http or https URL and `fetch` does not take it; whatever `fetch` throws.
 */
export function bearerFetch(provider: TokenProvider, options: BearerFetchOptions = {}): Fetch {
  const carrier = carrierOf(provider);
  return async (input, init) => {
    const fetch = options.fetch ?? globalThis.fetch;
    let hop = firstHop(input, init);
    if (hop.headers.has(carrier.header.key) || !isAllowed(carrier, hop)) {
      return fetch(input, init).catch((cause: unknown) => Promise.reject(addressError(carrier, hop, cause) ?? cause));
    }
    const brokenBody = brokenBodySignal(hop.body);
    for (let redirects = 0; ; redirects++) {
      const response = await carrier.call(boundCall(carrier, hop, { token: options.token, fetch, brokenBody }));
      if (hop.signal?.aborted) {
        // While the token was renewed.
        discard(response);
        throw hop.signal.reason;
      }
      const next = followable(hop, response) ? nextHop(hop, response, redirects) : undefined;
      if (!next) return redirects > 0 ? redirected(response) : response;
      if (!isAllowed(carrier, next)) return redirected(await fetch(next.url, initOf(next, next.headers, 'follow')));
      hop = next;
    }
  };
}

function isAllowed(carrier: TokenCarrier, { url, headers }: Hop): boolean {
  return carrier.allows(url, headers.get('host'));
}

function addressError({ client }: TokenCarrier, { method, url }: Hop, cause: unknown): Error | undefined {
  return callAddressError({ client, method, url, advice: 'Give the whole address: fetch knows no base URL.', cause });
}

interface HopDetails {
  readonly token: GetTokenOptions | undefined;
  readonly fetch: Fetch;
  readonly brokenBody: AbortSignal | undefined;
}

function boundCall(carrier: TokenCarrier, hop: Hop, { token, fetch, brokenBody }: HopDetails): OutgoingCall<Response> {
  return {
    method: hop.method,
    url: hop.url,
    token,
    send: (authorization) => {
      brokenBody?.throwIfAborted();
      return send(hop, authorization, fetch);
    },
    // A `fetch` of the application's that follows redirects by itself may not have taken the token along.
    status: ({ status, redirected }) => (redirected ? undefined : status),
    headers: ({ headers }) => headerRecord(headers),
    bodyStart,
    keepFlowing: (response) => {
      const branch = isWebStream(response.body) ? branchOf(response) : undefined;
      return isWebStream(branch) ? keepFlowing(branch, () => discard(response)) : () => {};
    },
    isReplayable: () => !hop.hasOwnBody && isReplayableBody(hop.body, carrier.maxReplayBytes),
    discard,
    signal: () => AbortSignal.any([hop.signal, brokenBody].filter((signal) => signal !== undefined)),
  };
}

function send(hop: Hop, { header, authorization, dpop }: CallAuthorization, fetch: Fetch): Promise<Response> {
  // A copy, which nothing that the caller gets refers to.
  const headers = new Headers(hop.headers);
  headers.set(header.name, authorization);
  if (dpop !== undefined) headers.set('dpop', dpop);
  return fetch(hop.target, initOf(hop, headers, hop.redirect === 'follow' ? 'manual' : hop.redirect));
}

async function bodyStart(response: Response): Promise<string> {
  const branch = branchOf(response);
  if (isWebStream(branch)) return startOfWebStream(branch);
  if (!(branch instanceof Readable)) return '';
  const { start, whole } = await startOfNodeStream(branch);
  whole.destroy();
  return start;
}

/**
 * Another branch of the same body: a web stream, or with node-fetch one of Node's. A `fetch` of the application's may
 * answer with less than a whole `Response`.
 */
function branchOf(response: Response): unknown {
  return typeof response.clone !== 'function' || response.bodyUsed ? undefined : response.clone().body;
}

function discard({ body }: Response): void {
  discardBody(body);
}

/** As `fetch` marks a response that it followed redirects for. */
function redirected(response: Response): Response {
  return Object.defineProperty(response, 'redirected', { value: true });
}

/**
 * The value for the `Authorization` header, or the one of the option `tokenHeader`, of a call that no carrier makes:
 * the handshake of a WebSocket, the call of a GraphQL client. undefined where the token is not bound to the address,
 * and the call is to go out without it.
 *
 * Ask anew for each call or connection: the token changes. A WebSocket is opened by a request of HTTP (RFC 6455 §1.3),
 * so `wss:` counts as `https:` and `ws:` as `http:`.
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
  if (!carrier.allows(url.replace(/^ws(s?):/i, 'http$1:'))) return undefined;
  const token = provider.peek(options) ?? (await provider.getToken(options));
  if (token.tokenType !== 'Bearer') throw new TokenNotBearerError(provider.clientName);
  return carrier.header.revealValue(token);
}
