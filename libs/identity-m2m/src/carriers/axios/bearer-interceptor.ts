import axios, {
  type AxiosAdapter,
  type AxiosInstance,
  type AxiosRequestConfig,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
  isAxiosError,
} from 'axios';
import type { Agent } from 'node:https';
import { untilAborted } from '../../foundation/promises.js';
import type { TokenHeader } from '../../token/access-token.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import { callAddressError } from '../call-address-error.js';
import { isReplayableBody } from '../outgoing-call.js';
import type { TokenCarrier } from '../token-carrier.js';
import { AxiosCancellation } from './cancellation.js';
import { ClientCertificateAgent } from './client-certificate-agent.js';
import { type AxiosResult, hideConnections, hideConnectionsOfAgents } from './result.js';
import { proxyChoice, sendWith } from './sent-request.js';

/** Token options of one call. Omitted members default to the client's options. */
export interface CallTokenOptions extends Omit<GetTokenOptions, 'signal'> {
  /**
   * Name of another client of the module: its token and its allowed origins apply to this call. Default: the client of
   * the `HttpService`.
   */
  readonly client?: string;
  /** Name of the tenant; required if the client has `perTenant`. */
  readonly tenant?: string;
}

/**
 * Name of the option in the axios config. axios keeps unknown options.
 *
 * Not declared on axios' own type: the type's parameters differ between axios versions, and a declaration for one does
 * not compile with another.
 */
const OPTION = 'm2m';

/**
 * Makes one call carry a token other than the client's default one. Returns a copy of the axios config.
 *
 * @example http.get('/reports', withToken({ scope: 'reports.read', minTtlSeconds: 120 }, { params: { year: 2026 } }))
 */
export function withToken<Config extends AxiosRequestConfig>(options: CallTokenOptions, config?: Config): Config {
  return { ...config, [OPTION]: { token: options } } as Config & Record<typeof OPTION, object>;
}

/**
 * Makes one call carry no token, whatever its address. Returns a copy of the axios config.
 *
 * @example http.get('/.well-known/status', withoutToken({ params: { verbose: true } }))
 */
export function withoutToken<Config extends AxiosRequestConfig>(config?: Config): Config {
  return { ...config, [OPTION]: { token: false } } as Config & Record<typeof OPTION, object>;
}

/** Returns the options of {@link withToken}, false for {@link withoutToken}, undefined for neither. */
function tokenOption(config: AxiosRequestConfig): CallTokenOptions | false | undefined {
  return (config as { [OPTION]?: { token: CallTokenOptions | false } })[OPTION]?.token;
}

/** A client that may put its token on a call. */
export interface CarrierChoice {
  readonly carrier: TokenCarrier;
  /** Base address for the relative URLs of its calls. */
  readonly baseUrl: string | undefined;
  /** Agent of its calls to https addresses. Presents the certificate that its tokens are bound to, if there is one. */
  readonly httpsAgent: Agent | undefined;
}

export interface AxiosBearerInterceptorOptions {
  /** The client that owns the instance. */
  readonly own: CarrierChoice;
  /** Finds the client that a call names, by name or tenant. */
  readonly choose: (wanted: CallTokenOptions) => Promise<CarrierChoice>;
}

/**
 * Puts the carrier's token on the calls of an axios instance.
 *
 * The interceptor only wraps the call's adapter. The adapter gets the call as it is sent: address joined, body
 * serialised, all other interceptors done. So it can send the call again without any of that being done twice.
 */
export function installAxiosBearerInterceptor(instance: AxiosInstance, options: AxiosBearerInterceptorOptions): void {
  instance.interceptors.request.use(
    (config) => {
      // axios also accepts a URL object, which its types do not show, but not together with a base address.
      const { url } = config as { url?: string | URL };
      if (typeof url === 'object') config.url = url.href;
      if (tokenOption(config) === false || isWrapped(config.adapter)) return config;
      config.adapter = wrap(config.adapter, options);
      return config;
    },
    undefined,
    { synchronous: true },
  );
  // Here and not when the call is sent: reading a response can also fail after it has arrived.
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
    // The application may send this config again.
    if (inner === undefined) delete config.adapter;
    else config.adapter = inner;
    return dispatch(config, send, options);
  };
  wrappers.add(wrapper);
  return wrapper;
}

async function dispatch(
  given: InternalAxiosRequestConfig,
  send: AxiosAdapter,
  { own, choose }: AxiosBearerInterceptorOptions,
): Promise<AxiosResponse> {
  const wanted = tokenOption(given) || undefined;
  const cancellation = new AxiosCancellation(given);
  try {
    const isForOther = wanted !== undefined && (wanted.client !== undefined || wanted.tenant !== undefined);
    let choice = own;
    if (isForOther) {
      choice = await untilAborted(choose(wanted), cancellation.signal());
      cancellation.throwIfAborted();
    }
    const config = choice === own ? given : asCallOf(choice, own, given);
    return await sendBy(choice.carrier, { config, wanted, send, cancellation });
  } finally {
    cancellation.close();
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
    return sendWithoutToken(carrier, config, send);
  const isAllowed = (address: string) => carrier.allows(address);
  const proxy = proxyChoice(config, url, isAllowed);
  if (proxy === 'refused') return send(config);
  const method = (config.method ?? 'get').toUpperCase();
  const isReplayable = () => isReplayableBody(config.data, carrier.maxReplayBytes);
  const mayBeRepeated = (status: number | undefined) => carrier.isLikelyRejection(status) && isReplayable();
  const result = await carrier.call<AxiosResult>({
    method,
    url,
    token: wanted,
    signal: () => cancellation.signal(),
    send: (authorization) => {
      cancellation.throwIfAborted();
      return sendWith(authorization, { config, send, isAllowed, isDirect: proxy === 'direct', mayBeRepeated });
    },
    status: (result) => result.status(),
    headers: (result) => result.headers(),
    bodyStart: (result) => result.bodyStart(),
    keepFlowing: (result) => result.keepFlowing(),
    // Each server that redirected has already handled the call.
    isReplayable: (result) => isReplayable() && (!result.isRedirected || SAFE_METHODS.includes(method)),
    discard: (result) => result.discard(),
  });
  return result.unwrap();
}

/** RFC 9110 §9.2.1. */
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/**
 * Reports an invalid address only if sending fails: a test's adapter may accept addresses that the network does not.
 */
async function sendWithoutToken(
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
 * Returns the call with the base URL and agent of another client, unless the call sets its own. An agent of the
 * application serves both clients if the other has none; a certificate belongs to one client only.
 */
function asCallOf(
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

/** Returns the address that axios calls: an absolute `url` overrides `baseURL`, unless `allowAbsoluteUrls` is false. */
function finalUrl({ baseURL, url = '', allowAbsoluteUrls }: InternalAxiosRequestConfig): string {
  if (!baseURL || (allowAbsoluteUrls !== false && /^(?:[a-z][a-z\d+\-.]*:)?\/\//i.test(url))) return url;
  return url ? `${baseURL.replace(/\/+$/, '')}/${url.replace(/^\/+/, '')}` : baseURL;
}

/** The caller's own credentials take precedence, and so does `false` for none. */
function hasCredentials({ auth, headers }: InternalAxiosRequestConfig, header: TokenHeader): boolean {
  return headers.has(header.name) || (auth !== undefined && header.key === 'authorization');
}

/** Returns an empty string if the header is not a single string. */
function hostHeader({ headers }: InternalAxiosRequestConfig): string | undefined {
  const host: unknown = headers.get('Host');
  if (host === undefined || host === null || host === false) return undefined;
  return typeof host === 'string' ? host : '';
}
