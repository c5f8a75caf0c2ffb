import { connect } from 'node:net';

/** A frame that a server sent on the first stream. */
export interface Http2Frame {
  readonly type: number;
  readonly endsStream: boolean;
  readonly payload: Buffer;
}

export const HTTP2_DATA = 0;
export const HTTP2_HEADERS = 1;

/**
 * One request over HTTP/2 without TLS, written frame by frame: for header fields that no client would send, such as the
 * same one twice. Returns what comes back on its stream, as it came.
 */
export async function rawHttp2Request(
  port: number,
  fields: readonly (readonly [string, string])[],
  body?: Buffer,
): Promise<Http2Frame[]> {
  const socket = connect(port, '127.0.0.1');
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(frame(4, 0, 0, Buffer.alloc(0)));
  const head = [[':method', body ? 'POST' : 'GET'], [':scheme', 'http'], [':authority', 'x'], ...fields] as const;
  socket.write(frame(HTTP2_HEADERS, body ? 4 : 5, 1, Buffer.concat(head.map(literalField))));
  if (body) socket.write(frame(HTTP2_DATA, 1, 1, body));
  const frames: Http2Frame[] = [];
  let received = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk]);
    for (let length; received.length >= 9; received = received.subarray(9 + length)) {
      length = received.readUIntBE(0, 3);
      if (received.length < 9 + length) break;
      const [type, flags, stream] = [received[3]!, received[4]!, received.readUInt32BE(5)];
      if (stream !== 1) continue;
      const endsStream = type === 3 || ((type === HTTP2_DATA || type === HTTP2_HEADERS) && (flags & 1) === 1);
      frames.push({ type, endsStream, payload: Buffer.from(received.subarray(9, 9 + length)) });
    }
    if (frames.at(-1)?.endsStream) break;
  }
  socket.destroy();
  return frames;
}

/** RFC 9113 §4.1. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Without compression: RFC 7541 §6.2.2. */
function literalField([name, value]: readonly [string, string]): Buffer {
  return Buffer.concat([Buffer.of(0), literal(name), literal(value)]);
}

function literal(value: string): Buffer {
  return Buffer.concat([prefixedLength(Buffer.byteLength(value)), Buffer.from(value)]);
}

/** RFC 7541 §5.1, with a prefix of 7 bits. */
function prefixedLength(length: number): Buffer {
  if (length < 127) return Buffer.of(length);
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128);
  return Buffer.from([...bytes, rest]);
}
