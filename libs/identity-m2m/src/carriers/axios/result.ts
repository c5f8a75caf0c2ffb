import { type AxiosResponse, type InternalAxiosRequestConfig, isAxiosError } from 'axios';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { MAX_JUDGED_BODY_BYTES } from '../../token/token-rejection.js';
import type { CallAuthorization } from '../outgoing-call.js';
import {
  discardBody,
  headerRecord,
  keepFlowing,
  startOfNodeStream,
  startOfValue,
  startOfWebStream,
} from '../response.js';

/** The redirects that a call followed. */
export interface RedirectTrace {
  isRedirected: boolean;
  /** Whether the token went to every address on the way, including the last one. */
  carriesToken: boolean;
}

/** A response of an adapter other than axios' own: any member may be missing. */
type LooseResponse = Partial<AxiosResponse<unknown>>;

interface Sent {
  /** The application's config, without the token. */
  readonly config: InternalAxiosRequestConfig;
  readonly call: CallAuthorization;
  readonly trace: RedirectTrace;
}

/**
 * The result of sending a call once: `validateStatus` decides whether axios returns a response or throws it in an
 * error. The token is on neither.
 */
export class AxiosResult {
  private constructor(
    private readonly settled: { readonly response: AxiosResponse } | { readonly error: unknown },
    private readonly response: LooseResponse | undefined,
    private readonly sent: Sent,
  ) {}

  /** Never rejects. */
  static async of(sending: Promise<AxiosResponse>, sent: Sent): Promise<AxiosResult> {
    try {
      const response = await sending;
      if (isObject(response)) removeTokenFrom(response, sent);
      return new AxiosResult({ response }, isObject(response) ? response : undefined, sent);
    } catch (thrown) {
      const error = errorWithoutToken(thrown, sent);
      return new AxiosResult({ error }, responseOf(error), sent);
    }
  }

  get isRedirected(): boolean {
    return this.sent.trace.isRedirected;
  }

  /** Returns undefined if no response came, or one from an address that did not get the token. */
  status(): number | undefined {
    const status: unknown = this.response?.status;
    if (typeof status !== 'number' || !this.sent.trace.carriesToken) return undefined;
    return status >= 400 && this.#isFromProxy() ? undefined : status;
  }

  headers(): Readonly<Record<string, string>> {
    return headerRecord(this.response?.headers);
  }

  async bodyStart(): Promise<string> {
    const { response } = this;
    if (response?.data instanceof Readable) {
      const { start, whole } = await startOfNodeStream(response.data);
      response.data = whole;
      return start;
    }
    const branch = this.#branch();
    if (branch) return startOfWebStream(branch);
    if (response?.data instanceof Blob) return response.data.slice(0, MAX_JUDGED_BODY_BYTES).text();
    return startOfValue(response?.data);
  }

  /** Needed only for axios' fetch adapter with `responseType: 'stream'`. */
  keepFlowing(): () => void {
    const branch = this.#branch();
    return branch ? keepFlowing(branch, () => this.discard()) : () => {};
  }

  discard(): void {
    discardBody(this.response?.data);
  }

  /** @throws The error of the call. */
  unwrap(): AxiosResponse {
    if ('error' in this.settled) throw this.settled.error;
    return this.settled.response;
  }

  /** Returns another branch of a body that is a web stream. */
  #branch(): ReadableStream<Uint8Array> | undefined {
    const { response } = this;
    if (!(response?.data instanceof ReadableStream)) return undefined;
    const [branch, whole] = (response.data as ReadableStream<Uint8Array>).tee();
    response.data = whole;
    return branch;
  }

  /**
   * Whether a proxy refused to open a tunnel. Its response looks like the response to the call, but came without TLS,
   * and the call was not sent.
   */
  #isFromProxy(): boolean {
    const socket = socketOf(this.response?.request);
    return socket instanceof Socket && !('encrypted' in socket) && isHttps(this.response?.request);
  }
}

/** @throws TypeError if the token stays on the response. */
function removeTokenFrom(response: LooseResponse, sent: Sent): void {
  restoreConfig(response, sent);
  redactRequest(response.request, sent.call);
}

/** @throws TypeError if the holder cannot be changed, and its config has the token. */
function restoreConfig(holder: LooseResponse | AnyObject, { config, call }: Sent): void {
  const isRestored = Reflect.set(holder, 'config', config);
  if (isRestored || !carriesToken(holder.config, call)) return;
  throw new TypeError(
    'The response holds the access token, which cannot be removed because the response is frozen. Have the axios adapter return responses that can be changed.',
  );
}

/** Returns the error without the token for the caller; another error if the token cannot be removed. */
function errorWithoutToken(error: unknown, sent: Sent): unknown {
  try {
    removeTokenFromError(error, sent);
    return error;
  } catch {
    // Without the cause, which has the token.
    return new TypeError(
      'The call failed, but its error holds the access token, which cannot be removed because the error or its response is frozen. Have the axios adapter throw errors that can be changed.',
    );
  }
}

/** Maximum length of a chain of causes that is searched. */
const MAX_CAUSES = 5;

/**
 * Covers axios' own errors, those of adapters that are built alike, and their causes.
 *
 * @throws TypeError if the token stays on one of them.
 */
function removeTokenFromError(error: unknown, sent: Sent): void {
  let one = error;
  for (let causes = 0; isObject(one) && causes <= MAX_CAUSES; causes++) {
    const { config, request, cause } = one;
    if (isAxiosError(one) || carriesToken(config, sent.call)) restoreConfig(one, sent);
    redactRequest(request, sent.call);
    const response = responseOf(one);
    if (response) removeTokenFrom(response, sent);
    one = cause;
  }
}

function carriesToken(config: unknown, { authorization }: CallAuthorization): boolean {
  const headers: unknown = isObject(config) ? config.headers : undefined;
  return isObject(headers) && Object.values(headers).includes(authorization);
}

function responseOf(error: unknown): LooseResponse | undefined {
  return isObject(error) && isObject(error.response) ? error.response : undefined;
}

function socketOf(request: unknown): unknown {
  return isObject(request) ? request.socket : undefined;
}

/** Judged by the request itself: redirects may have changed the scheme. */
function isHttps(request: unknown): boolean {
  return isObject(request) && request.protocol === 'https:';
}

/**
 * Removes the token and its proof from the request object that an HTTP library leaves on its responses and errors. By
 * then the headers have been sent, and an application that logs the error would print them: `util.inspect` shows them
 * at its default depth.
 *
 * Covers Node's own requests (HTTP/1 and HTTP/2), those of follow-redirects, and `Request` of the Fetch standard.
 */
function redactRequest(request: unknown, { header, authorization, dpop }: CallAuthorization): void {
  const redacted = header.key === 'authorization' ? REDACTED : { ...REDACTED, [header.key]: REDACTED.authorization! };
  const secrets = dpop === undefined ? [inHead(authorization)] : [inHead(authorization), inHead(dpop)];
  for (const one of requestsOf(request)) redactOne(one, secrets, redacted);
}

/**
 * Makes the connections of a request non-enumerable, so that they are not printed; they work as before.
 *
 * Connections are shared: when an error is logged, its connection may already carry the next call, with that call's
 * headers. Used only for errors, because it takes longer than everything else.
 */
export function hideConnections(request: unknown): void {
  for (const one of requestsOf(request)) {
    for (const holder of [one, one.res, one._options]) if (isObject(holder)) hideMembers(holder, CONNECTIONS);
  }
}

/**
 * Hides the connections of a config's agents, which axios prints with its error. The agents stay in the config, so that
 * the call can be sent again.
 */
export function hideConnectionsOfAgents({ httpAgent, httpsAgent }: InternalAxiosRequestConfig): void {
  for (const agent of [httpAgent, httpsAgent] as unknown[]) if (isObject(agent)) hideMembers(agent, AGENT_CONNECTIONS);
}

const CONNECTIONS = ['socket', 'client', 'agent', 'agents'];
const AGENT_CONNECTIONS = ['sockets', 'freeSockets', 'requests'];

/** follow-redirects wraps each of Node's requests in its own, with the options for the next redirect. */
function requestsOf(request: unknown): AnyObject[] {
  return isObject(request) ? [request, request._currentRequest, request._redirectable].filter(isObject) : [];
}

/** Values by the header's name in lower case. */
type HeaderValues = Readonly<Record<string, string>>;

const REDACTED: HeaderValues = { authorization: '[access token]', dpop: '[DPoP proof]' };

type AnyObject = Record<PropertyKey, unknown>;

function redactOne(request: AnyObject, secrets: readonly string[], redacted: HeaderValues): void {
  redactMember(request, '_header', secrets);
  redactHeaderTable(request[outgoingHeadersKey(request)], redacted);
  redactHeaders(request.sentHeaders, redacted);
  if (isObject(request._options)) redactHeaders(request._options.headers, redacted);
  if (request instanceof Request) for (const name of Object.keys(redacted)) request.headers.delete(name);
  // Without a connection, the unsent data stays on the request, and later on its socket.
  redactMembers(request.outputData, 'data', secrets);
  if (isObject(request.socket)) {
    redactMember(request.socket, '_pendingData', secrets);
    redactMembers(request.socket._pendingData, 'chunk', secrets);
  }
}

/** Returns the value with its delimiters: the letters of a short token without scheme also occur elsewhere. */
function inHead(value: string): string {
  return `: ${value}\r\n`;
}

function redactMember(holder: unknown, key: string, secrets: readonly string[]): void {
  if (!isObject(holder)) return;
  const text = holder[key];
  if (typeof text !== 'string') return;
  const redacted = secrets.reduce((rest, secret) => rest.replaceAll(secret, inHead('[redacted]')), text);
  // A frozen request without the token stays as it is.
  if (redacted !== text) holder[key] = redacted;
}

function redactMembers(holders: unknown, key: string, secrets: readonly string[]): void {
  if (Array.isArray(holders)) for (const holder of holders) redactMember(holder, key, secrets);
}

function hideMembers(holder: AnyObject, names: readonly string[]): void {
  // Since Node.js 22 a request keeps its socket under a symbol.
  const symbols = Object.getOwnPropertySymbols(holder).filter(({ description }) => description === 'kSocket');
  for (const key of [...names, ...symbols]) {
    let value = Object.getOwnPropertyDescriptor(holder, key)?.value as unknown;
    if (!isObject(value)) continue;
    const accessor = { get: () => value, set: (changed: unknown) => void (value = changed) };
    Object.defineProperty(holder, key, { ...accessor, configurable: true, enumerable: false });
  }
}

/** Node keeps outgoing headers under a symbol: name and value, by the name in lower case. */
function redactHeaderTable(table: unknown, redacted: HeaderValues): void {
  if (!isObject(table)) return;
  for (const [name, value] of Object.entries(redacted)) {
    const entry = table[name];
    if (Array.isArray(entry)) entry[1] = value;
  }
}

function redactHeaders(headers: unknown, redacted: HeaderValues): void {
  if (!isObject(headers)) return;
  for (const name of Object.keys(headers)) {
    const value = redacted[name.toLowerCase()];
    if (value !== undefined) headers[name] = value;
  }
}

function isObject(value: unknown): value is AnyObject {
  return typeof value === 'object' && value !== null;
}

/** All requests of a process share the symbol, so it is looked up once. */
let outgoingHeaders: symbol | undefined;

function outgoingHeadersKey(request: object): symbol {
  outgoingHeaders ??= Object.getOwnPropertySymbols(request).find(({ description }) => description === 'kOutHeaders');
  return outgoingHeaders ?? Symbol.for('nestjs-identity-m2m:none');
}
