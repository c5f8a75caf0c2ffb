/**
 * Whether a request's body is still there after it was sent, and short enough to be sent again: texts, bytes, and nothing
 * at all. A stream, an iterable or a form is used up by the first sending.
 *
 * @param maxBytes 0: nothing is sent again.
 */
export function isReplayableBody(body: unknown, maxBytes: number): boolean {
  if (body === undefined || body === null) return maxBytes > 0;
  if (typeof body === 'string') return Buffer.byteLength(body) <= maxBytes;
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength <= maxBytes;
  if (body instanceof Blob) return body.size <= maxBytes;
  return body instanceof URLSearchParams && Buffer.byteLength(body.toString()) <= maxBytes;
}
