import { type Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { certificateFault } from './certificate-fault.js';
import { IdentityM2MError } from './identity-m2m-error.js';
import type { TlsIdentity } from './tls-identity.js';

/** Why an exchange with a server brought no answer that could be read. */
export type HttpExchangeFault = 'network' | 'certificate' | 'timeout' | 'too_large' | 'compressed' | 'not_http';

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
  /** Longest body accepted, in bytes. Default 65,536. */
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

/** Most informational answers (RFC 9110 §15.2) that are read in front of the real one. */
const MAX_INFORMATIONAL_ANSWERS = 20;

/** Bytes on the wire that are read for each byte of a body: chunks of one byte take six. */
const MAX_OVERHEAD = 8;

/** Room for everything in front of the body, in bytes. */
const MAX_HEAD_BYTES = 524_288;

/**
 * A `fetch` for conversations with an identity provider, which carry secrets one way and keys or tokens the other.
 *
 * It follows no redirect (a 307 would send the secret to another place), reads no more than it was told to, accepts no
 * compressed body (so nothing can swell), opens a connection of its own for each exchange and closes it (so no pooled
 * socket keeps the process alive or fails when it is used again), and shares nothing with the application's HTTP
 * clients, their interceptors and their agents.
 *
 * @throws {@link HttpExchangeError} when no answer could be read; the reason of `init.signal` once that has aborted.
 */
export function createBoundedFetch({ agent, maxResponseBytes = 65_536 }: BoundedFetchOptions = {}): BoundedFetch {
  return async (url, init = {}) => {
    init.signal?.throwIfAborted();
    try {
      const answer = await send(new URL(url), init, agent);
      return toResponse(answer.message, await readBody(answer, maxResponseBytes));
    } catch (error) {
      init.signal?.throwIfAborted();
      throw error instanceof HttpExchangeError ? error : networkError(url, error);
    }
  };
}

interface Answer {
  readonly message: IncomingMessage;
  /** Bytes that its connection had carried before: an agent may use one again. */
  readonly bytesBefore: number;
}

function send(
  url: URL,
  { method = 'GET', headers = {}, body, signal, tls }: BoundedFetchInit,
  agent: Agent | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method,
      headers: { ...headers, 'accept-encoding': 'identity' },
      agent: agent ?? false,
      signal,
      ...tls,
    });
    let bytesBefore = 0;
    request.once('socket', (socket) => (bytesBefore = socket.bytesRead));
    request.once('response', (message) => resolve({ message, bytesBefore }));
    // Stays on after the answer has begun, because a connection may still fail while its body is read.
    request.on('error', reject);
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

async function readBody({ message, bytesBefore }: Answer, maxBytes: number): Promise<Buffer> {
  const encoding = message.headers['content-encoding']?.trim().toLowerCase();
  if (encoding !== undefined && encoding !== '' && encoding !== 'identity') {
    message.destroy();
    throw new HttpExchangeError('compressed', 'the answer is compressed, although the request asked for it not to be');
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Around each byte of a body there may be kilobytes of chunk extensions (RFC 9112 §7.1.1).
    if (size > maxBytes || message.socket.bytesRead - bytesBefore > MAX_OVERHEAD * maxBytes + MAX_HEAD_BYTES) {
      message.destroy();
      throw new HttpExchangeError('too_large', `the answer is longer than ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
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
  // Node keeps the unparsable bytes on the error, and these may hold a token.
  if (typeof error === 'object' && error !== null && 'rawPacket' in error) delete error.rawPacket;
  const { origin } = new URL(url);
  const certificate = certificateFault(origin, error);
  if (certificate) {
    return new HttpExchangeError('certificate', certificate.problem, { cause: error, advice: certificate.advice });
  }
  const detail = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
  return new HttpExchangeError('network', `no answer from ${origin} (${detail})`, { cause: error });
}
