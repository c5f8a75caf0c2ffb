import { finished, type Stream } from 'node:stream';
import type { AccessToken, TokenHeader } from '../token/access-token.js';
import type { GetTokenOptions } from '../token/token-provider.js';

/** What a carrier puts on a call: the token in its header, and the DPoP proof of a token that is bound to a key. */
export interface CallAuthorization {
  readonly token: AccessToken;
  /** Header that carries the token: `Authorization` by default. */
  readonly header: TokenHeader;
  /** Value of that header. */
  readonly authorization: string;
  readonly dpop?: string | undefined;
}

/** A call to a resource server, in the terms that all HTTP clients share. */
export interface OutgoingCall<Response> {
  readonly method: string;
  /** Final address of the call. For messages: name of the broker or receiver, as a URL. */
  readonly url: string;
  /** Requested token; undefined for the client's default one. */
  readonly token: GetTokenOptions | undefined;
  /**
   * Sends the call with this authorization. The carrier sends a call at most twice, each time at most once more for a
   * DPoP nonce.
   */
  send(authorization: CallAuthorization): Promise<Response>;
  /** Returns undefined if no response came, or one from a place that the token was not sent to. */
  status(response: Response): number | undefined;
  /** Returns the headers by their names in lower case. Called only if the response may reject the token. */
  headers(response: Response): Readonly<Record<string, string>>;
  /**
   * Returns the beginning of the body; empty if it does not arrive in time. The caller can still read the whole body.
   * Called only if a predicate checks the response.
   */
  bodyStart(response: Response): string | Promise<string>;
  /**
   * Keeps reading a response that would otherwise pause. Called while the token is renewed.
   *
   * @returns Stops reading: the response is passed on or discarded.
   */
  keepFlowing?(response: Response): () => void;
  /** Whether the call can be sent again after this response: its body is still available, and within the size limit. */
  isReplayable(response: Response): boolean;
  /** Discards a response that the caller never sees, and frees its socket. */
  discard(response: Response): void;
  /** Returns the signal that ends the wait for a token. Called only if the call has to wait. */
  signal(): AbortSignal;
}

/**
 * Whether a request's body can be sent again: strings, bytes and empty bodies can, up to a size. The first sending
 * consumes a stream, an iterable or a form.
 *
 * @param maxBytes With 0, no call is sent again.
 */
export function isReplayableBody(body: unknown, maxBytes: number): boolean {
  if (body === undefined || body === null) return maxBytes > 0;
  if (typeof body === 'string') return Buffer.byteLength(body) <= maxBytes;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength <= maxBytes;
  if (body instanceof Blob) return body.size <= maxBytes;
  return body instanceof URLSearchParams && Buffer.byteLength(body.toString()) <= maxBytes;
}

/**
 * Returns a signal that aborts with the stream's error when a Node.js stream that is the request's body breaks;
 * undefined for every other body.
 *
 * While the call waits for its token, no HTTP client listens to the stream. An error would end the process, and the
 * call would wait forever for a stream that was destroyed without one. The listeners stay on the stream and consume no
 * data.
 */
export function brokenBodySignal(body: unknown): AbortSignal | undefined {
  if (!isNodeStream(body)) return undefined;
  const broken = new AbortController();
  finished(body, { writable: false }, (error) => {
    if (error) broken.abort(error);
  });
  return broken.signal;
}

/** Checked by its members: the stream may come from another implementation of Node.js streams. */
function isNodeStream(body: unknown): body is NodeJS.ReadableStream & Stream {
  if (typeof body !== 'object' || body === null) return false;
  return 'pipe' in body && typeof body.pipe === 'function' && 'on' in body && typeof body.on === 'function';
}
