import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import type { InternalAxiosRequestConfig } from 'axios';

/** Longest body of a refusal that is waited for, in bytes. */
const MAX_BYTES = 1_048_576;

/** How long the body of a refusal is waited for, in milliseconds. */
const TIMEOUT_MS = 2000;

/** As axios takes it: what stands in for `node:http`. */
type Transport = { request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest };

/**
 * Node's transports, but for the body of an answer that the call may be sent again for: that is given up where it does not
 * end. axios tells of an answer only when it has read the whole of it, so that such a body would hold the call for ever.
 *
 * undefined where axios goes by a transport of its own or of the application's, as it does to follow redirects; where it
 * is told of a timeout, which it counts while it connects with Node's transports alone; and where the body is handed on as
 * a stream.
 */
export function refusalTransport(
  { transport, maxRedirects, timeout, responseType }: InternalAxiosRequestConfig,
  isRefusal: (status: number | undefined) => boolean,
): Transport | undefined {
  if (transport || maxRedirects !== 0 || timeout || responseType === 'stream') return undefined;
  return {
    request: (options, onResponse) =>
      (options.protocol === 'https:' ? https : http).request(options, (response) => {
        onResponse(response);
        if (isRefusal(response.statusCode)) limit(response);
      }),
  };
}

/** After axios has begun to read it: somebody who listens sets it in motion. */
function limit(response: IncomingMessage): void {
  let bytes = 0;
  const timer = setTimeout(() => response.destroy(), TIMEOUT_MS);
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) response.destroy();
  });
  response.once('close', () => clearTimeout(timer));
}
