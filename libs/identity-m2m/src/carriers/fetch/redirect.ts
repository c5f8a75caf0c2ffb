import { parseUrl } from '../../foundation/url.js';
import { discardBody } from '../response.js';

export type RedirectMode = NonNullable<RequestInit['redirect']>;

/** One request of a call by `fetch`; each redirect makes a further one. */
export interface Hop {
  readonly url: string;
  /** Argument for `fetch`: first the caller's own, then the target of each redirect. */
  readonly target: string | URL | Request;
  readonly init: RequestInit | undefined;
  readonly method: string;
  /** Without the token. */
  readonly headers: Headers;
  readonly body: RequestInit['body'];
  /** Whether the body is that of a `Request`, which can be sent once. */
  readonly hasOwnBody: boolean;
  readonly signal: AbortSignal | undefined;
  readonly redirect: RedirectMode;
}

/** The limit of `fetch` (Fetch Standard, HTTP-redirect fetch). */
const MAX_REDIRECTS = 20;

/**
 * Returns the first request of a call; `init` takes precedence over a `Request`.
 *
 * Later changes by the caller to the URL, the options or the body have no effect: `fetch` reads them at once, but this
 * call may be sent after a wait, and again.
 */
export function firstHop(input: string | URL | Request, given: RequestInit | undefined): Hop {
  const init = given && { ...given, ...(isMutable(given.body) && { body: copyOf(given.body) }) };
  const request = isRequest(input) ? input : undefined;
  const hasInitBody = init?.body !== undefined && init.body !== null;
  const method = normalized(init?.method ?? request?.method ?? 'GET');
  // The Request of another implementation may have a body that it does not show.
  const mayHaveBody = request !== undefined && request.body !== null && method !== 'GET' && method !== 'HEAD';
  return {
    url: addressOf(input),
    target: request ?? addressOf(input),
    init,
    method,
    headers: new Headers(init?.headers ?? request?.headers),
    body: init?.body,
    hasOwnBody: !hasInitBody && mayHaveBody,
    signal: (init?.signal === undefined ? request?.signal : init.signal) ?? undefined,
    redirect: init?.redirect ?? request?.redirect ?? 'follow',
  };
}

/** Returns the second argument for `fetch`. */
export function initOf(hop: Hop, headers: Headers, redirect: RedirectMode): RequestInit {
  return { ...hop.init, headers, redirect };
}

/** Whether a response is a redirect that the caller wants to follow. */
export function followable({ redirect }: Hop, { status, headers }: Response): boolean {
  return redirect === 'follow' && [301, 302, 303, 307, 308].includes(status) && headers.has('location');
}

/**
 * Returns the next request after a redirect (Fetch Standard, HTTP-redirect fetch).
 *
 * @throws TypeError if `fetch` would: too many redirects, a target that is not http or https, a body that cannot be
 * sent again.
 */
export function nextHop(hop: Hop, response: Response, redirects: number): Hop {
  discardBody(response.body);
  const { status } = response;
  const url = redirectUrl(hop.url, response.headers.get('location') ?? '');
  if (redirects >= MAX_REDIRECTS) throw failed(`more than ${MAX_REDIRECTS} redirects`);
  const becomesGet =
    ((status === 301 || status === 302) && hop.method === 'POST') ||
    (status === 303 && hop.method !== 'GET' && hop.method !== 'HEAD');
  if (!becomesGet && !canSendBodyAgain(hop)) {
    throw failed('a redirect needs the body again, which is a stream or that of a Request and can be sent only once');
  }
  const headers = new Headers(hop.headers);
  if (becomesGet) deleteAll(headers, BODY_HEADERS);
  if (url.origin !== new URL(hop.url).origin) deleteAll(headers, ORIGIN_HEADERS);
  const method = becomesGet ? 'GET' : hop.method;
  const body = becomesGet ? undefined : hop.body;
  const { signal } = hop;
  const init: RequestInit = { ...hop.init, method, body: body ?? null, signal: signal ?? null };
  return { ...hop, url: url.href, target: url, init, method, headers, body, hasOwnBody: false };
}

function isMutable(body: RequestInit['body']): body is URLSearchParams | FormData {
  return body instanceof URLSearchParams || body instanceof FormData;
}

function copyOf(body: URLSearchParams | FormData): URLSearchParams | FormData {
  if (body instanceof URLSearchParams) return new URLSearchParams(body);
  const copy = new FormData();
  for (const [name, value] of body) copy.append(name, value);
  return copy;
}

const BODY_HEADERS = ['content-encoding', 'content-language', 'content-length', 'content-location', 'content-type'];
const ORIGIN_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'host'];

/** Writes in capitals the names that `fetch` does. */
function normalized(method: string): string {
  return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method;
}

function deleteAll(headers: Headers, names: readonly string[]): void {
  for (const name of names) headers.delete(name);
}

function redirectUrl(from: string, location: string): URL {
  // `fetch` reads the header as Latin-1, but servers write UTF-8.
  const text = Buffer.from(location, 'latin1').toString('utf8');
  const url = parseUrl(text, from);
  if (!url) throw failed('a redirect to an invalid URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw failed('a redirect to a URL that is neither http nor https');
  if (url.hash === '') url.hash = new URL(from).hash;
  return url;
}

function canSendBodyAgain({ body, hasOwnBody }: Hop): boolean {
  if (hasOwnBody) return false;
  return (
    body === undefined ||
    body === null ||
    typeof body === 'string' ||
    body instanceof URLSearchParams ||
    body instanceof Blob ||
    body instanceof FormData ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body)
  );
}

/** Has the form of `fetch`'s own network errors. */
function failed(reason: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(reason) });
}

function addressOf(input: string | URL | Request): string {
  if (typeof input === 'string') return input;
  return isRequest(input) ? input.url : input.href;
}

/** Checked by its members: it may come from another implementation of `fetch`. */
function isRequest(input: string | URL | Request): input is Request {
  return typeof input === 'object' && 'url' in input && 'headers' in input;
}
