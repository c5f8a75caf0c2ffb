// As modules and not as single functions: tools for tests such as nock and msw replace the members of the module.
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
/** Why an exchange with a server brought no answer that could be read. */
export type HttpExchangeFault =
  /** No connection, or one that broke. */
  | 'network'
  /** The server closed a connection that had been kept open, in place of reading one more request from it. */
  | 'stale_connection'
  /** A TLS certificate was rejected, by either side. */
  | 'certificate'
  /** A proxy on the way wants credentials of its own (407). */
  | 'proxy_authentication'
  | 'timeout'
  | 'too_large'
  /** A content coding that can't be undone. */
  | 'compressed'
  | 'not_http';

/** An HTTP exchange that brought no readable answer. Arrives as the `cause` of the errors that users see. */
export class HttpExchangeError extends IdentityM2MError {
  readonly code = 'M2M_HTTP_EXCHANGE_FAILED';

  /** What to do, where that is known. */
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
  /** Makes the connections. Default: one of its own for each exchange. */
  readonly agent?: Agent | undefined;
  /** Certificate authorities that servers are trusted by, in place of those of Node.js; goes with each request. */
  readonly ca?: CertificateAuthorities | undefined;
  /** Longest body accepted, in bytes, as it came and inflated. Default 65,536. */
  readonly maxResponseBytes?: number;
}

export interface BoundedFetchInit {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: URLSearchParams | string | null | undefined;
  /** Ends the exchange at any point: while connecting, waiting, or reading the body. */
  readonly signal?: AbortSignal | undefined;
  /** What to show of oneself while connecting by TLS, and whom to believe. */
  readonly tls?: TlsIdentity | undefined;
}

export type BoundedFetch = (url: string, init?: BoundedFetchInit) => Promise<Response>;

/** Sent unless the caller names another: firewalls in front of issuers turn requests away that name none. */
const USER_AGENT = 'nestjs-identity-m2m';

/** Without the parameter `charset`, which is not registered for this type, and which some servers refuse. */
const FORM_TYPE = 'application/x-www-form-urlencoded';

/** Most informational answers (RFC 9110 §15.2) that are read in front of the real one. */
const MAX_INFORMATIONAL_ANSWERS = 20;

/** Bytes on the wire that are read for each byte of a body: chunks of one byte take six. */
const MAX_OVERHEAD = 8;

/** Room for everything in front of the body, in bytes. */
const MAX_HEAD_BYTES = 524_288;

/**
 * A `fetch` for conversations with an identity provider, which carry secrets one way and keys or tokens the other.
 *
 * It follows no redirect (a 307 would send the secret to another place), reads no more than it was told to, opens a
 * connection of its own for each exchange and closes it (so no pooled socket keeps the process alive or fails when it is
 * used again), and shares nothing with the application's HTTP clients, their interceptors and their agents.
 *
 * It asks for no compression, because there is nothing to gain. Where an edge compresses all the same, one content coding
 * is undone, up to the same limit.
 *
 * An https answer counts only where it came through TLS. A proxy that opens no tunnel answers in the clear, and agents
 * pass that on as if it were the server's.
 *
 * A GET that met a stale connection of the agent's is sent once more. For other methods this is left to the caller, who
 * may have to prove the client anew.
 *
 * @throws {@link HttpExchangeError} when no answer could be read; the reason of `init.signal` once that has aborted.
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
 * Sends a request, and once more if it met a connection that the server had closed: the server did not read the first one.
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
  /** Bytes that its connection had carried before: an agent may use one again. */
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
      // An agent of any kind is given these with the request, also one for a proxy. What it has itself goes before them.
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
    // Stays on after the answer has begun, because a connection may still fail while its body is read.
    request.on('error', (error) => reject(isStale(request, error, bytesBefore) ? staleError(url, error) : error));
    let informational = 0;
    request.on('information', () => {
      if (++informational <= MAX_INFORMATIONAL_ANSWERS) return;
      request.destroy(new HttpExchangeError('not_http', `${url.origin} announces an answer again and again`));
    });
    request.once('upgrade', (_message, socket) => {
      socket.destroy();
      reject(new HttpExchangeError('not_http', `${url.origin} tried to switch protocols`));
    });
    request.end(body == null ? undefined : body.toString());
  });
}

/**
 * Node.js compares a certificate with the name `localhost` where it knows neither host nor server name. Agents for proxies
 * leave both out where the address is an IP address.
 */
function identityCheckFor({ hostname }: URL) {
  const host = hostname.replaceAll(/[[\]]/g, '');
  return (name: string, certificate: PeerCertificate) =>
    checkServerIdentity(name === 'localhost' && isIP(host) ? host : name, certificate);
}

/** RFC 9110 §15.5.8: nobody but a proxy answers 407. */
function answeredByProxy({ protocol, origin }: URL, message: IncomingMessage): ConnectionFault | undefined {
  const { statusCode = 0, socket } = message;
  const isInTheClear = protocol === 'https:' && !('encrypted' in socket && socket.encrypted === true);
  return isInTheClear || statusCode === 407 ? proxyFault(origin, statusCode) : undefined;
}

/** RFC 9112 §9.3.1: a server may close an idle connection at any time, also while a request is on its way. */
function isStale(request: ClientRequest, { code }: NodeJS.ErrnoException, bytesBefore: number): boolean {
  const isReset = code === 'ECONNRESET' || code === 'EPIPE';
  return isReset && request.reusedSocket && request.socket?.bytesRead === bytesBefore;
}

function staleError({ origin }: URL, cause: unknown): HttpExchangeError {
  const message = `${origin} closed a connection that had been kept open`;
  return new HttpExchangeError('stale_connection', message, { cause });
}

async function readBody({ message, bytesBefore }: Answer, maxBytes: number): Promise<Buffer> {
  const decode = decoderFor(message);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Around each byte of a body there may be kilobytes of chunk extensions (RFC 9112 §7.1.1).
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

/** Stops at `maxOutputLength`, counted while it inflates. */
type Inflater = (body: Buffer, options: ZlibOptions) => Promise<Buffer>;

const asIs: Decoder = async (body) => body;
const undoGzip = inflating(promisify(gunzip));
const undoZlib = inflating(promisify(inflate));
const undoRawDeflate = inflating(promisify(inflateRaw));

/** By the names of RFC 9110 §8.4.1. */
const DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ['', asIs],
  ['identity', asIs],
  // No codings, but what some servers write where nothing is encoded.
  ['none', asIs],
  ['utf-8', asIs],
  ['gzip', undoGzip],
  ['x-gzip', undoGzip],
  // Some servers leave out the frame that RFC 9110 §8.4.1.2 wants; its first byte tells.
  ['deflate', (body, maxBytes) => ((body[0]! & 0x0f) === 8 ? undoZlib : undoRawDeflate)(body, maxBytes)],
  ['br', inflating(promisify(brotliDecompress))],
]);

/** One coding and no more: several would multiply what a small answer can swell to. */
function decoderFor(message: IncomingMessage): Decoder {
  const coding = message.headers['content-encoding']?.trim().toLowerCase() ?? '';
  const decoder = DECODERS.get(coding);
  if (decoder) return decoder;
  message.destroy();
  const found = printableText(coding, 40);
  throw new HttpExchangeError('compressed', `the answer has the content coding "${found}", which is not supported`);
}

function inflating(inflater: Inflater): Decoder {
  return async (body, maxBytes) => {
    try {
      return await inflater(body, { maxOutputLength: maxBytes });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
      throw new HttpExchangeError('compressed', 'the answer is not in the content coding that it claims');
    }
  };
}

function tooLarge(maxBytes: number): HttpExchangeError {
  return new HttpExchangeError('too_large', `the answer is longer than ${maxBytes} bytes`);
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
    // What was thrown quotes the header, which may hold a token.
    throw new HttpExchangeError('not_http', `the answer is not valid HTTP (status ${status})`);
  }
}

function networkError(url: string, error: unknown): HttpExchangeError {
  hideSecrets(error);
  const { origin } = new URL(url);
  const known = connectionFault(origin, error);
  if (known) return asExchangeError(known, error);
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const detail = String(code ?? message);
  return new HttpExchangeError('network', `no answer from ${origin} (${detail})`, { cause: error });
}

/** In place, because the error becomes the cause of one that users log. */
function hideSecrets(error: unknown): void {
  if (typeof error !== 'object' || error === null) return;
  // Node keeps the unparsable bytes on the error, and these may hold a token.
  if ('rawPacket' in error) Reflect.deleteProperty(error, 'rawPacket');
  // An agent may name its proxy by an address with a password in it.
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
