// Imported as modules, not as single functions: test tools such as nock and msw replace the members of the module.
import http, { type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw, type ZlibOptions } from 'node:zlib';
import { type CertificateAuthorities, certificatesOf, type TlsIdentity } from './tls.js';
import { type ConnectionFault, connectionFault, proxyFault } from './connection-fault.js';
import { definedOnly } from './plain-objects.js';
import { IdentityM2MError } from './identity-m2m-error.js';
import { printableText } from './text.js';

/** Why an HTTP exchange has no readable response. */
export type HttpExchangeFault =
  /** No connection, or a broken one. */
  | 'network'
  /** The server closed a connection that was kept open, without reading the request. */
  | 'stale_connection'
  /** A TLS certificate was rejected, by either side. */
  | 'certificate'
  /** A proxy requires credentials (407). */
  | 'proxy_authentication'
  | 'timeout'
  | 'too_large'
  /** An unsupported or invalid content coding. */
  | 'compressed'
  | 'not_http';

/** An HTTP exchange without a readable response. It is the `cause` of the errors that applications see. */
export class HttpExchangeError extends IdentityM2MError {
  readonly code = 'M2M_HTTP_EXCHANGE_FAILED';

  /** What to do; undefined if that is not known. */
  readonly advice: string | undefined;

  constructor(
    readonly fault: HttpExchangeFault,
    message: string,
    options?: { readonly cause?: unknown; readonly advice?: string | undefined },
  ) {
    super(message, options);
    this.advice = options?.advice;
  }
}

export interface BoundedFetchOptions {
  /** Opens the connections. Default: a new connection for each exchange. */
  readonly agent?: Agent | undefined;
  /** Certificate authorities to trust, instead of those of Node.js. Passed with each request. */
  readonly ca?: CertificateAuthorities | undefined;
  /** Maximum length of a body, in bytes, both compressed and decompressed. Default: 65,536. */
  readonly maxResponseBytes?: number;
}

export interface BoundedFetchInit {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: URLSearchParams | string | null | undefined;
  /** Aborts the exchange at any point: while connecting, waiting, or reading the body. */
  readonly signal?: AbortSignal | undefined;
  /** The client's certificate, and the authorities to trust. */
  readonly tls?: TlsIdentity | undefined;
}

export type BoundedFetch = (url: string, init?: BoundedFetchInit) => Promise<Response>;

/** Default `User-Agent`: some firewalls in front of issuers reject requests without one. */
export const USER_AGENT = 'nestjs-identity-m2m';

/** Without the parameter `charset`, which is not registered for this type, and which some servers reject. */
const FORM_TYPE = 'application/x-www-form-urlencoded';

/** Maximum number of informational responses (RFC 9110 §15.2) before the final one. */
const MAX_INFORMATIONAL_ANSWERS = 20;

/** Maximum number of bytes on the wire for each byte of a body: chunks of one byte take six. */
const MAX_OVERHEAD = 8;

/** Maximum number of bytes before the body. */
const MAX_HEAD_BYTES = 524_288;

/**
 * Returns a `fetch` for requests to an identity provider, which carry secrets, keys or tokens.
 *
 * - It follows no redirect: a 307 would send the secret to another server.
 * - It reads a limited number of bytes.
 * - It opens a new connection for each exchange and closes it. So no pooled socket keeps the process alive, or fails
 *   when it is used again.
 * - It shares nothing with the application's HTTP clients, interceptors and agents.
 *
 * It requests no compression. If a server compresses anyway, it decodes one content coding, up to the same limit.
 *
 * An https response counts only if it came through TLS. A proxy that opens no tunnel responds in plain text, and agents
 * return its response as if it were the server's.
 *
 * A GET that met a stale connection of the agent is repeated once. For other methods, the caller has to repeat it,
 * because the request may need new client authentication.
 *
 * The fetch throws {@link HttpExchangeError} if there is no readable response, and the reason of `init.signal` once
 * that has aborted.
 */
export function createBoundedFetch(options: BoundedFetchOptions = {}): BoundedFetch {
  const { agent, maxResponseBytes = 65_536 } = options;
  const ca = options.ca === undefined ? undefined : certificatesOf(options.ca);
  const exchange = async (url: string, init: BoundedFetchInit): Promise<Response> => {
    init.signal?.throwIfAborted();
    try {
      const answer = await send(new URL(url), init, { agent, ca });
      return toResponse(answer.message, await readBody(answer, maxResponseBytes));
    } catch (error) {
      init.signal?.throwIfAborted();
      throw error instanceof HttpExchangeError ? error : networkError(url, error);
    }
  };
  return async (url, init = {}) => {
    const isSafe = init.method === undefined || init.method === 'GET';
    return isSafe ? repeatOnStaleConnection(() => exchange(url, init)) : exchange(url, init);
  };
}

/**
 * Sends a request, and repeats it once if it met a connection that the server had closed without reading the request.
 *
 * @param onRepeat Called before the request is repeated.
 */
export async function repeatOnStaleConnection<T>(send: () => Promise<T>, onRepeat?: () => void): Promise<T> {
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof HttpExchangeError && error.fault === 'stale_connection')) throw error;
    onRepeat?.();
    return send();
  }
}

interface Answer {
  readonly message: IncomingMessage;
  /** Number of bytes that its connection had received before: an agent may reuse a connection. */
  readonly bytesBefore: number;
}

function send(
  url: URL,
  { method = 'GET', headers = {}, body, signal, tls }: BoundedFetchInit,
  { agent, ca }: { readonly agent: Agent | undefined; readonly ca: string[] | undefined },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(url, {
      method,
      headers: {
        'user-agent': USER_AGENT,
        ...headers,
        ...(body instanceof URLSearchParams && { 'content-type': FORM_TYPE }),
        'accept-encoding': 'identity',
      },
      agent: agent ?? false,
      signal,
      // Any agent receives these with the request, also one for a proxy. Its own settings take precedence.
      ...definedOnly({ ...tls, ca: tls?.ca ?? ca }),
      ...(agent && { checkServerIdentity: identityCheckFor(url) }),
    });
    let bytesBefore = 0;
    request.once('socket', (socket) => (bytesBefore = socket.bytesRead));
    request.once('response', (message) => {
      const proxy = answeredByProxy(url, message);
      if (!proxy) return resolve({ message, bytesBefore });
      message.destroy();
      reject(asExchangeError(proxy));
    });
    // Kept after the response has started, because the connection may still fail while the body is read.
    request.on('error', (error) => reject(isStale(request, error, bytesBefore) ? staleError(url, error) : error));
    let informational = 0;
    request.on('information', () => {
      if (++informational <= MAX_INFORMATIONAL_ANSWERS) return;
      request.destroy(new HttpExchangeError('not_http', `${url.origin} sent too many informational responses`));
    });
    request.once('upgrade', (_message, socket) => {
      socket.destroy();
      reject(new HttpExchangeError('not_http', `${url.origin} tried to switch protocols`));
    });
    request.end(body == null ? undefined : body.toString());
  });
}

/**
 * Returns a check of a certificate's names. Node.js compares them with `localhost` if it knows neither host nor server
 * name, and agents for proxies pass neither for an IP address.
 */
function identityCheckFor({ hostname }: URL) {
  const host = hostname.replaceAll(/[[\]]/g, '');
  return (name: string, certificate: PeerCertificate) =>
    checkServerIdentity(name === 'localhost' && isIP(host) ? host : name, certificate);
}

/** Returns the fault of a proxy's response. Only a proxy responds with 407 (RFC 9110 §15.5.8). */
function answeredByProxy({ protocol, origin }: URL, message: IncomingMessage): ConnectionFault | undefined {
  const { statusCode = 0, socket } = message;
  const isPlainText = protocol === 'https:' && !('encrypted' in socket && socket.encrypted === true);
  return isPlainText || statusCode === 407 ? proxyFault(origin, statusCode) : undefined;
}

/** A server may close an idle connection at any time, also while a request is on its way (RFC 9112 §9.3.1). */
function isStale(request: ClientRequest, { code }: NodeJS.ErrnoException, bytesBefore: number): boolean {
  const isReset = code === 'ECONNRESET' || code === 'EPIPE';
  return isReset && request.reusedSocket && request.socket?.bytesRead === bytesBefore;
}

function staleError({ origin }: URL, cause: unknown): HttpExchangeError {
  const message = `${origin} closed a connection that was kept open`;
  return new HttpExchangeError('stale_connection', message, { cause });
}

async function readBody({ message, bytesBefore }: Answer, maxBytes: number): Promise<Buffer> {
  const decode = decoderFor(message);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Each byte of a body may come with kilobytes of chunk extensions (RFC 9112 §7.1.1).
    if (size > maxBytes || message.socket.bytesRead - bytesBefore > MAX_OVERHEAD * maxBytes + MAX_HEAD_BYTES) {
      message.destroy();
      throw tooLarge(maxBytes);
    }
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  return body.length === 0 ? body : decode(body, maxBytes);
}

type Decoder = (body: Buffer, maxBytes: number) => Promise<Buffer>;

/** Decompresses up to `maxOutputLength`. */
type Inflater = (body: Buffer, options: ZlibOptions) => Promise<Buffer>;

const asIs: Decoder = async (body) => body;
const undoGzip = inflating(promisify(gunzip));
const undoZlib = inflating(promisify(inflate));
const undoRawDeflate = inflating(promisify(inflateRaw));

/** Decoders by the names of RFC 9110 §8.4.1. */
const DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ['', asIs],
  ['identity', asIs],
  // Not codings, but some servers send them for an unencoded body.
  ['none', asIs],
  ['utf-8', asIs],
  ['gzip', undoGzip],
  ['x-gzip', undoGzip],
  // Some servers omit the zlib header that RFC 9110 §8.4.1.2 requires; the first byte shows which.
  ['deflate', (body, maxBytes) => ((body[0]! & 0x0f) === 8 ? undoZlib : undoRawDeflate)(body, maxBytes)],
  ['br', inflating(promisify(brotliDecompress))],
]);

/** Returns the decoder of a single coding. Several codings would multiply the size of a small response. */
function decoderFor(message: IncomingMessage): Decoder {
  const coding = message.headers['content-encoding']?.trim().toLowerCase() ?? '';
  const decoder = DECODERS.get(coding);
  if (decoder) return decoder;
  message.destroy();
  const found = printableText(coding, 40);
  throw new HttpExchangeError('compressed', `the response has the content coding "${found}", which is not supported`);
}

function inflating(inflater: Inflater): Decoder {
  return async (body, maxBytes) => {
    try {
      return await inflater(body, { maxOutputLength: maxBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
      throw new HttpExchangeError('compressed', 'the response does not have the content coding that its header names');
    }
  };
}

function tooLarge(maxBytes: number): HttpExchangeError {
  return new HttpExchangeError('too_large', `the response is longer than ${maxBytes} bytes`);
}

function toResponse(message: IncomingMessage, body: Buffer): Response {
  const status = message.statusCode ?? 0;
  const headers = new Headers();
  try {
    for (const [name, values] of Object.entries(message.headersDistinct)) {
      for (const value of values ?? []) headers.append(name, value);
    }
    const bodyless = status === 204 || status === 205 || status === 304;
    return new Response(bodyless ? null : new Uint8Array(body), { status, headers });
  } catch {
    // The original error quotes the header, which may hold a token.
    throw new HttpExchangeError('not_http', `the response is not valid HTTP (status ${status})`);
  }
}

function networkError(url: string, error: unknown): HttpExchangeError {
  hideSecrets(error);
  const { origin } = new URL(url);
  const known = connectionFault(origin, error);
  if (known) return asExchangeError(known, error);
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const detail = String(code ?? message);
  return new HttpExchangeError('network', `no response from ${origin} (${detail})`, { cause: error });
}

/** Removes secrets from an error in place, because it becomes the cause of an error that applications log. */
function hideSecrets(error: unknown): void {
  if (typeof error !== 'object' || error === null) return;
  // Node.js keeps invalid bytes of a response on the error, and they may hold a token.
  if ('rawPacket' in error) Reflect.deleteProperty(error, 'rawPacket');
  // An agent may quote the URL of its proxy, with a password.
  for (const name of ['message', 'stack']) {
    const text: unknown = Reflect.get(error, name);
    if (typeof text !== 'string') continue;
    const rest = text.replaceAll(/\/\/[^\s/@]*@/g, '//');
    if (rest !== text) Reflect.set(error, name, rest);
  }
}

function asExchangeError({ fault, problem, advice }: ConnectionFault, cause?: unknown): HttpExchangeError {
  return new HttpExchangeError(fault, problem, { cause, advice });
}
