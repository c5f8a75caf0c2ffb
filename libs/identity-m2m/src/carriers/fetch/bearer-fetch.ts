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
  /** Token that the calls carry. Omitted members default to the client's options. */
  readonly token?: Omit<GetTokenOptions, 'signal'>;
  /** Sends the calls. Default: the global `fetch`, looked up at each call. */
  readonly fetch?: Fetch;
}

/**
 * Returns a `fetch` that puts the provider's token on calls to allowed origins, and passes other calls through
 * unchanged.
 *
 * It behaves like `fetch`, except for calls that carry the token. After a 401, it sends the call once more with a newer
 * token if the body is a string, bytes or empty. It follows redirects itself and checks each target: from the first
 * target that is not allowed, the token is left off. The body of a `Request` can only be sent once, so a redirect that
 * needs it again fails the call.
 *
 * An `Authorization` header that the caller sets is kept, and so is the header of the option `tokenHeader`.
 *
 * @example
 * const fetch = bearerFetch(provider);
 * const response = await fetch('https://api.example/users', { signal: AbortSignal.timeout(2000) });
 *
 * @throws `TokenUnavailableError` or one of its subclasses, before anything is sent; `CallAddressError` if the address
 * is not an absolute http or https URL and `fetch` rejects it; whatever `fetch` throws.
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
      const response = await carrier.call(outgoingCall(carrier, hop, { token: options.token, fetch, brokenBody }));
      if (hop.signal?.aborted) {
        // The caller aborted while the token was renewed.
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

function outgoingCall(
  carrier: TokenCarrier,
  hop: Hop,
  { token, fetch, brokenBody }: HopDetails,
): OutgoingCall<Response> {
  return {
    method: hop.method,
    url: hop.url,
    token,
    send: (authorization) => {
      brokenBody?.throwIfAborted();
      return send(hop, authorization, fetch);
    },
    // An application's `fetch` that follows redirects itself may have dropped the token.
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
  // A copy, so that nothing the caller gets refers to the token.
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
 * Returns another branch of the same body: a web stream, or with node-fetch a Node.js stream. An application's `fetch`
 * may return less than a whole `Response`.
 */
function branchOf(response: Response): unknown {
  return typeof response.clone !== 'function' || response.bodyUsed ? undefined : response.clone().body;
}

function discard({ body }: Response): void {
  discardBody(body);
}

/** Marks a response as `fetch` does after redirects. */
function redirected(response: Response): Response {
  return Object.defineProperty(response, 'redirected', { value: true });
}

/**
 * Returns the value of the `Authorization` header, or of the header in the option `tokenHeader`. For calls that no
 * carrier makes, such as a WebSocket handshake or a call of a GraphQL client. Returns undefined if the address is not
 * allowed: then send the call without a token.
 *
 * Run it for each call or connection, because the token changes. An HTTP request opens a WebSocket (RFC 6455 §1.3), so
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
  if (!carrier.allows(url.replace(/^ws(s?):/i, 'http$1:'))) return undefined;
  const token = provider.peek(options) ?? (await provider.getToken(options));
  if (token.tokenType !== 'Bearer') throw new TokenNotBearerError(provider.clientName);
  return carrier.header.revealValue(token);
}
