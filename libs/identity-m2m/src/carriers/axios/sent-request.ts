import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import axios, { type AxiosAdapter, AxiosHeaders, type AxiosProxyConfig, type InternalAxiosRequestConfig } from 'axios';
import { MAX_TIMER_DELAY_MS } from '../../foundation/clock.js';
import type { CallAuthorization } from '../outgoing-call.js';
import { AxiosResult, type RedirectTrace } from './result.js';

export interface CallToSend {
  readonly config: InternalAxiosRequestConfig;
  readonly send: AxiosAdapter;
  readonly isAllowed: (url: string) => boolean;
  /** Whether to ignore the proxies that the environment names. */
  readonly isDirect: boolean;
  /** Whether a response with this status may be discarded, because the call is sent again. */
  readonly mayBeRepeated: (status: number | undefined) => boolean;
}

/**
 * Sends a copy of the call, so that the token is on nothing that outlives it. The application's config goes into
 * responses, errors, logs and further calls, and its headers may be shared between calls.
 */
export async function sendWith(
  call: CallAuthorization,
  { config, send, isAllowed, isDirect, mayBeRepeated }: CallToSend,
): Promise<AxiosResult> {
  const { header, authorization, dpop } = call;
  // Set directly: `set` would validate the string again, which was validated when the token arrived.
  const headers = Object.assign(new AxiosHeaders(), config.headers);
  headers[header.name] = authorization;
  if (dpop !== undefined) headers['DPoP'] = dpop;
  const sent = copyOf(config);
  sent.headers = headers;
  if (isDirect) sent.proxy = false;
  // A timer with a longer delay would fire at once.
  if (sent.timeout && sent.timeout > MAX_TIMER_DELAY_MS) sent.timeout = MAX_TIMER_DELAY_MS;
  const transport = boundedBodyTransport(sent, mayBeRepeated);
  if (transport) sent.transport = transport;
  const trace: RedirectTrace = { isRedirected: false, carriesToken: true };
  if (sent.maxRedirects !== 0) sent.beforeRedirect = redirectWithinAllowedOrigins(sent, call, isAllowed, trace);
  // The fetch adapter follows redirects without asking, and not each version of axios honours maxRedirects there.
  if (config.fetchOptions?.redirect !== 'error') sent.fetchOptions = { ...config.fetchOptions, redirect: 'manual' };
  return AxiosResult.of(send(sent), { config, call, trace });
}

/**
 * Two loops for speed: axios' config has no prototype, which makes the spread operator five times slower. One list of
 * all keys would take three times longer, because the config has members that are not enumerable.
 */
function copyOf(config: InternalAxiosRequestConfig): InternalAxiosRequestConfig {
  const copy: Record<PropertyKey, unknown> = {};
  for (const key of Object.keys(config)) copy[key] = config[key as keyof typeof config];
  for (const key of Object.getOwnPropertySymbols(config)) copy[key] = config[key as unknown as keyof typeof config];
  return copy as unknown as InternalAxiosRequestConfig;
}

/**
 * Checks each redirect by its target, like a call of its own. The token stays on as long as every target is allowed;
 * from the first one that is not, it is left off. axios and follow-redirects have no allowed paths, and their versions
 * differ in how they treat headers and subdomains.
 *
 * A DPoP token follows no redirect: each target needs its own proof, and a redirect cannot wait for one.
 */
function redirectWithinAllowedOrigins(
  { beforeRedirect, proxy }: InternalAxiosRequestConfig,
  { header, authorization, dpop }: CallAuthorization,
  isAllowed: (url: string) => boolean,
  trace: RedirectTrace,
): NonNullable<InternalAxiosRequestConfig['beforeRedirect']> {
  return (options, ...details) => {
    const headers = options.headers as Record<string, unknown>;
    for (const name of Object.keys(headers)) {
      if ([header.key, 'dpop'].includes(name.toLowerCase())) delete headers[name];
    }
    const url = String(options.href);
    trace.isRedirected = true;
    trace.carriesToken &&=
      dpop === undefined && isAllowed(url) && proxyChoice({ proxy }, url, isAllowed) === 'as it is';
    if (trace.carriesToken) headers[header.name] = authorization;
    beforeRedirect?.(options, ...details);
  };
}

/** How a call with a token uses proxies. */
export type ProxyChoice =
  /** No proxy can read the call. */
  | 'as it is'
  /** A proxy of the environment could read the call; ignore it. */
  | 'direct'
  /** The application configured a proxy that could read the call, and the proxy is no allowed origin. */
  | 'refused';

/**
 * Decides about the proxies of a call that carries a token.
 *
 * For https, a proxy opens a tunnel and learns only the host name. For plain http it gets the whole call with the
 * token, so the proxy itself must be an allowed origin.
 */
export function proxyChoice(
  { proxy }: Pick<InternalAxiosRequestConfig, 'proxy'>,
  url: string,
  isAllowed: (url: string) => boolean,
): ProxyChoice {
  if (proxy === false || (/^https:/i.test(url) && opensTunnels())) return 'as it is';
  if (!proxy) return 'direct';
  // axios prefers `hostname`, which its types do not declare: the value may be a URL.
  const { protocol = 'http', host, hostname = host, port } = proxy as AxiosProxyConfig & { hostname?: string };
  const name = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname;
  return isAllowed(`${protocol.replace(/:$/, '')}://${name}:${port}/`) ? 'as it is' : 'refused';
}

/** Read at the first call, because a mock of axios may have no version. */
let hasTunnels: boolean | undefined;

/** Before 1.16.1, axios sent calls to https addresses to the proxy unencrypted (axios#6320). */
function opensTunnels(): boolean {
  hasTunnels ??= isSince(1, 16, 1);
  return hasTunnels;
}

function isSince(...wanted: readonly number[]): boolean {
  const found = axios.VERSION.split(/[.-]/).map(Number);
  const differing = wanted.findIndex((part, index) => part !== found[index]);
  return differing === -1 || found[differing]! > wanted[differing]!;
}

/** Maximum size of the body that is awaited before a call is sent again, in bytes. */
const MAX_BYTES = 1_048_576;

/** Time to wait for such a body, in milliseconds. */
const TIMEOUT_MS = 2000;

/** axios' replacement for `node:http`. */
type Transport = { request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest };

/**
 * Returns Node's transports, with a limit on the body of a response after which the call may be sent again. axios
 * reports a response only when it has read the whole body, so a body that does not end would block the call forever.
 *
 * Returns undefined if the limit cannot apply: axios or the application uses a transport of its own (axios does to
 * follow redirects); `timeout` is set, which axios counts while it connects only with Node's own transports; or the
 * body is passed on as a stream.
 */
function boundedBodyTransport(
  { transport, maxRedirects, timeout, responseType }: InternalAxiosRequestConfig,
  isLimited: (status: number | undefined) => boolean,
): Transport | undefined {
  if (transport || maxRedirects !== 0 || timeout || responseType === 'stream') return undefined;
  return {
    request: (options, onResponse) =>
      (options.protocol === 'https:' ? https : http).request(options, (response) => {
        onResponse(response);
        if (isLimited(response.statusCode)) limit(response);
      }),
  };
}

/** Called after axios has started to read the response, because adding a listener starts the flow. */
function limit(response: IncomingMessage): void {
  let bytes = 0;
  const timer = setTimeout(() => response.destroy(), TIMEOUT_MS);
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) response.destroy();
  });
  response.once('close', () => clearTimeout(timer));
}
