import { finished, type Stream } from 'node:stream';

/**
 * A signal that aborts, with the error, when a request's body breaks that is a stream of Node's; undefined for every other
 * body.
 *
 * While the call waits for its token, nobody else listens to the stream: an error would end the process, and a stream that
 * was destroyed without one would be waited for until the end of time. What listens stays on the stream for as long as that
 * lives, and takes nothing from it.
 */
export function brokenBodySignal(body: unknown): AbortSignal | undefined {
  if (!isNodeStream(body)) return undefined;
  const broken = new AbortController();
  finished(body, { writable: false }, (error) => {
    if (error) broken.abort(error);
  });
  return broken.signal;
}

/** By its members: it may come of another implementation of Node's streams. */
function isNodeStream(body: unknown): body is NodeJS.ReadableStream & Stream {
  if (typeof body !== 'object' || body === null) return false;
  return 'pipe' in body && typeof body.pipe === 'function' && 'on' in body && typeof body.on === 'function';
}
