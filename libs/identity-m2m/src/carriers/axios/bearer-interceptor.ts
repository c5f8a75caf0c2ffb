import axios, {
  type AxiosAdapter,
  AxiosHeaders,
  type AxiosInstance,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
  isAxiosError,
} from 'axios';
import type { Agent } from 'node:https';
import { MAX_TIMER_DELAY_MS } from '../../foundation/clock.js';
import { untilAborted } from '../../foundation/promises.js';
import type { TokenHeader } from '../../token/access-token.js';
import { callAddressError } from '../call-address-error.js';
import { isReplayableBody } from '../replayable-body.js';
import type { CallAuthorization, TokenCarrier } from '../token-carrier.js';
import { AxiosAnswer, type AxiosWay } from './answer.js';
import { AxiosCancellation } from './cancellation.js';
import { ClientCertificateAgent } from './client-certificate-agent.js';
import { proxyChoice } from './proxy.js';
import { hideConnections, hideConnectionsOfAgents } from './redaction.js';
import { refusalTransport } from './refusal-transport.js';
import { type CallTokenOptions, isWithoutToken, wantedToken } from './request-options.js';

/** A client that may put its token on a call. */
export interface CarrierChoice {
  readonly carrier: TokenCarrier;
  /** Where relative URLs of its calls lead. */
  readonly baseUrl: string | undefined;
  /** By which its calls to https addresses go; shows the certificate that its tokens are bound to, if they are. */
  readonly httpsAgent: Agent | undefined;
}

export interface AxiosBearerInterceptorOptions {
  /** The client whose instance it is. */
  readonly own: CarrierChoice;
  /** Finds the client that a call asks for by name or tenant. */
  readonly choose: (wanted: CallTokenOptions) => Promise<CarrierChoice>;
}

/**
 * Puts the carrier's token on the calls of an axios instance.
 *
 * The interceptor itself does no more than to step between axios and the call's adapter. Only there is the call as it
 * goes to the wire: address joined, body serialised, every other interceptor done. And only there can it be sent a
 * second time without any of that being done twice.
 */
export function installAxiosBearerInterceptor(instance: AxiosInstance, options: AxiosBearerInterceptorOptions): void {
  instance.interceptors.request.use(
    (config) => {
      // axios takes a URL object as well, whatever its types say, but not where there is a base address.
      const { url } = config as { url?: string | URL };
      if (typeof url === 'object') config.url = url.href;
      if (isWithoutToken(config) || isWrapped(config.adapter)) return config;
      config.adapter = wrap(config.adapter, options);
      return config;
    },
    undefined,
    { synchronous: true },
  );
  // Here and not where a call is sent: reading an answer can fail as well, once it has arrived.
  instance.interceptors.response.use(undefined, (error: unknown) => {
    if (isAxiosError(error)) {
      for (const request of [error.request, error.response?.request]) hideConnections(request);
      if (error.config) hideConnectionsOfAgents(error.config);
    }
    return Promise.reject(error);
  });
}

type AdapterConfig = InternalAxiosRequestConfig['adapter'];

const wrappers = new WeakSet<AxiosAdapter>();

function isWrapped(adapter: AdapterConfig): boolean {
  return typeof adapter === 'function' && wrappers.has(adapter);
}

function wrap(inner: AdapterConfig, options: AxiosBearerInterceptorOptions): AxiosAdapter {
  const wrapper: AxiosAdapter = (config) => {
    const send = axios.getAdapter(inner ?? axios.defaults.adapter, config);
    // From here on the config is in the hands of others, who may send it again.
    if (inner === undefined) delete config.adapter;
    else config.adapter = inner;
    return dispatch(config, send, options);
  };
  wrappers.add(wrapper);
  return wrapper;
}

async function dispatch(
  asked: InternalAxiosRequestConfig,
  send: AxiosAdapter,
  { own, choose }: AxiosBearerInterceptorOptions,
): Promise<AxiosResponse> {
  const wanted = wantedToken(asked);
  const cancellation = new AxiosCancellation(asked);
  try {
    const isOthers = wanted !== undefined && (wanted.client !== undefined || wanted.tenant !== undefined);
    const choice = isOthers ? await untilAborted(choose(wanted), cancellation.signal()) : own;
    const config = choice === own ? asked : asIfOf(choice, own, asked);
    return await sendBy(choice.carrier, { config, wanted, send, cancellation });
  } finally {
    cancellation.release();
  }
}

interface Call {
  readonly config: InternalAxiosRequestConfig;
  readonly wanted: CallTokenOptions | undefined;
  readonly send: AxiosAdapter;
  readonly cancellation: AxiosCancellation;
}

async function sendBy(carrier: TokenCarrier, { config, wanted, send, cancellation }: Call): Promise<AxiosResponse> {
  const url = finalUrl(config);
  if (hasCredentials(config, carrier.header) || !carrier.allows(url, hostHeader(config)))
    return sendBare(carrier, config, send);
  const isAllowed = (address: string) => carrier.allows(address);
  const proxy = proxyChoice(config, url, isAllowed);
  if (proxy === 'refused') return send(config);
  const method = (config.method ?? 'get').toUpperCase();
  const isReplayable = () => isReplayableBody(config.data, carrier.maxReplayBytes);
  const mayBeMended = (status: number | undefined) => carrier.rejection.isLikelyRejection(status) && isReplayable();
  const answer = await carrier.call<AxiosAnswer>({
    method,
    url,
    token: wanted,
    signal: () => cancellation.signal(),
    send: (authorization) => {
      cancellation.throwIfEnded();
      return sendWith(authorization, { config, send, isAllowed, isDirect: proxy === 'direct', mayBeMended });
    },
    status: (answer) => answer.status(),
    headers: (answer) => answer.headers(),
    bodyStart: (answer) => answer.bodyStart(),
    keepFlowing: (answer) => answer.keepFlowing(),
    // The places on the way did what the call asked for before they led on.
    isReplayable: (answer) => isReplayable() && (!answer.isRedirected || SAFE_METHODS.includes(method)),
    discard: (answer) => answer.discard(),
  });
  return answer.unwrap();
}

/** Of RFC 9110 §9.2.1. */
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/** Without the token. An adapter for tests may take an address that the network does not. */
async function sendBare(
  carrier: TokenCarrier,
  config: InternalAxiosRequestConfig,
  send: AxiosAdapter,
): Promise<AxiosResponse> {
  try {
    return await send(config);
  } catch (cause) {
    const { client } = carrier;
    const advice = `Give the whole address, or set http: { baseURL: 'https://…' } in the options of client "${client}".`;
    throw callAddressError({ client, method: config.method ?? 'get', url: finalUrl(config), advice, cause }) ?? cause;
  }
}

/**
 * A call for another client, of which what it does not say itself is as that client has it: base address and agent. An
 * agent of the application's serves both clients where the other has none; a certificate is of one client alone.
 */
function asIfOf(
  { baseUrl, httpsAgent }: CarrierChoice,
  own: CarrierChoice,
  config: InternalAxiosRequestConfig,
): InternalAxiosRequestConfig {
  const adapted = { ...config };
  if (config.baseURL === own.baseUrl) adapted.baseURL = baseUrl;
  const shared = own.httpsAgent instanceof ClientCertificateAgent ? undefined : own.httpsAgent;
  if (config.httpsAgent === own.httpsAgent) adapted.httpsAgent = httpsAgent ?? shared;
  return adapted;
}

interface Sending {
  readonly config: InternalAxiosRequestConfig;
  readonly send: AxiosAdapter;
  readonly isAllowed: (url: string) => boolean;
  /** Past the proxies that the environment may name. */
  readonly isDirect: boolean;
  /** Whether an answer of this status may be no more than the reason to send the call again. */
  readonly mayBeMended: (status: number | undefined) => boolean;
}

/**
 * Sends a copy of the call, so that the token is on nothing that outlives it: the application's config goes into
 * responses, errors, logs, and calls that others make of it, and its headers may be shared between calls.
 */
async function sendWith(
  call: CallAuthorization,
  { config, send, isAllowed, isDirect, mayBeMended }: Sending,
): Promise<AxiosAnswer> {
  const { header, authorization, dpop } = call;
  // Set directly: axios would examine a text again that was examined when the token arrived.
  const headers = Object.assign(new AxiosHeaders(), config.headers);
  headers[header.name] = authorization;
  if (dpop !== undefined) headers['DPoP'] = dpop;
  const sent = copyOf(config);
  sent.headers = headers;
  if (isDirect) sent.proxy = false;
  // A timer takes no more, and fires at once where it is given more.
  if (sent.timeout && sent.timeout > MAX_TIMER_DELAY_MS) sent.timeout = MAX_TIMER_DELAY_MS;
  const transport = refusalTransport(sent, mayBeMended);
  if (transport) sent.transport = transport;
  const way: AxiosWay = { isRedirected: false, carriesToken: true };
  if (sent.maxRedirects !== 0) sent.beforeRedirect = redirectWithinAllowedOrigins(sent, call, isAllowed, way);
  // The fetch adapter asks nobody before it follows a redirect, and not each version heeds maxRedirects.
  if (config.fetchOptions?.redirect !== 'error') sent.fetchOptions = { ...config.fetchOptions, redirect: 'manual' };
  return AxiosAnswer.to(send(sent), { config, call, way });
}

/**
 * The spread operator takes five times as long with an object of axios' kind, which has no prototype; and one list of all
 * keys takes three times as long as two, because it has members in it that are not enumerable.
 */
function copyOf(config: InternalAxiosRequestConfig): InternalAxiosRequestConfig {
  const copy: Record<PropertyKey, unknown> = {};
  for (const key of Object.keys(config)) copy[key] = config[key as keyof typeof config];
  for (const key of Object.getOwnPropertySymbols(config)) copy[key] = config[key as unknown as keyof typeof config];
  return copy as unknown as InternalAxiosRequestConfig;
}

/** The address that axios will call: an absolute `url` wins over `baseURL`, unless that was turned off. */
function finalUrl({ baseURL, url = '', allowAbsoluteUrls }: InternalAxiosRequestConfig): string {
  if (!baseURL || (allowAbsoluteUrls !== false && /^(?:[a-z][a-z\d+\-.]*:)?\/\//i.test(url))) return url;
  return url ? `${baseURL.replace(/\/+$/, '')}/${url.replace(/^\/+/, '')}` : baseURL;
}

/** A caller who says how to authorise the call is right, also with `false` for not at all. */
function hasCredentials({ auth, headers }: InternalAxiosRequestConfig, header: TokenHeader): boolean {
  return headers.has(header.name) || (auth !== undefined && header.key === 'authorization');
}

/** Empty where it is not one text. */
function hostHeader({ headers }: InternalAxiosRequestConfig): string | undefined {
  const host: unknown = headers.get('Host');
  if (host === undefined || host === null || host === false) return undefined;
  return typeof host === 'string' ? host : '';
}

/**
 * Judges each redirect by where it leads, like a call of its own: the token goes along while that is a place it is bound
 * to, and from the first that is not, it is gone for the rest of the way. axios and its redirect library know nothing of
 * paths, and not each of their versions treats each header and each subdomain in the same way.
 *
 * A token that is bound to a key follows no redirect: each place needs a proof of its own, and there is no waiting here.
 */
function redirectWithinAllowedOrigins(
  { beforeRedirect, proxy }: InternalAxiosRequestConfig,
  { header, authorization, dpop }: CallAuthorization,
  isAllowed: (url: string) => boolean,
  way: AxiosWay,
): NonNullable<InternalAxiosRequestConfig['beforeRedirect']> {
  return (options, ...details) => {
    const headers = options.headers as Record<string, unknown>;
    for (const name of Object.keys(headers)) {
      if ([header.key, 'dpop'].includes(name.toLowerCase())) delete headers[name];
    }
    const url = String(options.href);
    way.isRedirected = true;
    way.carriesToken &&= dpop === undefined && isAllowed(url) && proxyChoice({ proxy }, url, isAllowed) === 'as it is';
    if (way.carriesToken) headers[header.name] = authorization;
    beforeRedirect?.(options, ...details);
  };
}
