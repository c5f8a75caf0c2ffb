import { parseUrl } from '../../foundation/url.js';
import { discardBody } from '../response.js';

export type RedirectMode = NonNullable<RequestInit['redirect']>;

/** One request of a call by `fetch`; redirects make further ones. */
export interface Hop {
  readonly url: string;
  /** What `fetch` is given: the caller's own argument first, the address of a redirect afterwards. */
  readonly target: string | URL | Request;
  readonly init: RequestInit | undefined;
  readonly method: string;
  /** Without the token. */
  readonly headers: Headers;
  readonly body: RequestInit['body'];
  /** The body is that of a `Request`, which is used up by sending it. */
  readonly hasOwnBody: boolean;
  readonly signal: AbortSignal | undefined;
  readonly redirect: RedirectMode;
}

/** As many as `fetch` follows by itself (Fetch Standard, HTTP-redirect fetch). */
const MAX_REDIRECTS = 20;

/**
 * The call as the caller gave it: what `init` says goes before what a `Request` says.
 *
 * As it was given, whatever the caller does afterwards with the URL, the options or the body: `fetch` reads these at
 * once, and this call may be sent after a wait, and once more.
 */
export function firstHop(input: string | URL | Request, given: RequestInit | undefined): Hop {
  const init = given && { ...given, ...(isChangeable(given.body) && { body: copyOf(given.body) }) };
  const request = isRequest(input) ? input : undefined;
  const hasInitBody = init?.body !== undefined && init.body !== null;
  return {
    url: addressOf(input),
    target: request ?? addressOf(input),
    init,
    method: normalized(init?.method ?? request?.method ?? 'GET'),
    headers: new Headers(init?.headers ?? request?.headers),
    body: init?.body,
    hasOwnBody: !hasInitBody && request !== undefined && request.body !== null,
    signal: (init?.signal === undefined ? request?.signal : init.signal) ?? undefined,
    redirect: init?.redirect ?? request?.redirect ?? 'follow',
  };
}

/** What `fetch` is to be given next to the hop's target. */
export function initOf(hop: Hop, headers: Headers, redirect: RedirectMode): RequestInit {
  return { ...hop.init, headers, redirect };
}

/** Whether an answer is a redirect that the caller wants to be followed. */
export function followable({ redirect }: Hop, { status, headers }: Response): boolean {
  return redirect === 'follow' && [301, 302, 303, 307, 308].includes(status) && headers.has('location');
}

/**
 * The request that a redirect asks for (Fetch Standard, HTTP-redirect fetch).
 *
 * @throws TypeError where `fetch` would: too many redirects, an address that is none of http, a body that cannot be
 * sent again.
 */
export function nextHop(hop: Hop, response: Response, redirects: number): Hop {
  discardBody(response.body);
  const { status } = response;
  const url = redirectUrl(hop.url, response.headers.get('location') ?? '');
  if (redirects >= MAX_REDIRECTS) throw failed(`more than ${MAX_REDIRECTS} redirects`);
  const isGetNow =
    ((status === 301 || status === 302) && hop.method === 'POST') ||
    (status === 303 && hop.method !== 'GET' && hop.method !== 'HEAD');
  if (!isGetNow && status !== 303 && !isThereStill(hop)) {
    throw failed('a redirect asks for the body again, which is a stream or that of a Request and was used up');
  }
  const headers = new Headers(hop.headers);
  if (isGetNow) deleteAll(headers, BODY_HEADERS);
  if (url.origin !== new URL(hop.url).origin) deleteAll(headers, OWN_TO_ORIGIN);
  const method = isGetNow ? 'GET' : hop.method;
  const body = isGetNow ? undefined : hop.body;
  const { signal } = hop;
  const init: RequestInit = { ...hop.init, method, body: body ?? null, signal: signal ?? null };
  return { ...hop, url: url.href, target: url, init, method, headers, body, hasOwnBody: false };
}

function isChangeable(body: RequestInit['body']): body is URLSearchParams | FormData {
  return body instanceof URLSearchParams || body instanceof FormData;
}

function copyOf(body: URLSearchParams | FormData): URLSearchParams | FormData {
  if (body instanceof URLSearchParams) return new URLSearchParams(body);
  const copy = new FormData();
  for (const [name, value] of body) copy.append(name, value);
  return copy;
}

const BODY_HEADERS = ['content-encoding', 'content-language', 'content-length', 'content-location', 'content-type'];
const OWN_TO_ORIGIN = ['authorization', 'proxy-authorization', 'cookie', 'host'];

/** Names that `fetch` itself puts in capitals; others go out as they are. */
function normalized(method: string): string {
  return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method;
}

function deleteAll(headers: Headers, names: readonly string[]): void {
  for (const name of names) headers.delete(name);
}

function redirectUrl(from: string, location: string): URL {
  // Servers write UTF-8 into a header that is read byte by byte.
  const text = Buffer.from(location, 'latin1').toString('utf8');
  const url = parseUrl(text, from);
  if (!url) throw failed('a redirect leads to what is no URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw failed('a redirect leads away from HTTP');
  if (url.hash === '') url.hash = new URL(from).hash;
  return url;
}

function isThereStill({ body, hasOwnBody }: Hop): boolean {
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

/** In the form of `fetch`'s own network errors. */
function failed(reason: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(reason) });
}

function addressOf(input: string | URL | Request): string {
  if (typeof input === 'string') return input;
  return isRequest(input) ? input.url : input.href;
}

/** By its members: it may be one of another implementation of `fetch`. */
function isRequest(input: string | URL | Request): input is Request {
  return typeof input === 'object' && 'url' in input && 'headers' in input;
}
