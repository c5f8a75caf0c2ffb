import type { Socket } from 'node:net';

/** What an API writes on the connection of a call that it refuses, HTTP or not. */
export interface HostileRefusal {
  readonly name: string;
  readonly answer: (socket: Socket) => unknown;
}

const REFUSED = 'HTTP/1.1 401 Unauthorized\r\n';
const CLOSE = 'connection: close\r\n';
const CHUNKED = 'transfer-encoding: chunked\r\n';
const length = (bytes: number | string) => `content-length: ${bytes}\r\n`;
const body = (bytes: number) => 'x'.repeat(bytes);

/** Writes, and leaves the connection open. */
const open =
  (...parts: string[]) =>
  (socket: Socket) =>
    socket.write(parts.join(''));
/** Writes, and ends the connection. */
const ended =
  (...parts: string[]) =>
  (socket: Socket) =>
    socket.end(parts.join(''));
/** Writes, waits until that has most likely been read, and ends the connection. */
const endedLater =
  (...parts: string[]) =>
  (socket: Socket) => {
    socket.write(parts.join(''));
    setTimeout(() => socket.end(), 15);
  };
/** Writes, waits likewise, and breaks the connection. */
const reset =
  (...parts: string[]) =>
  (socket: Socket) => {
    socket.write(parts.join(''));
    setTimeout(() => socket.resetAndDestroy(), 5);
  };
/** Writes a byte at a time. */
const byteByByte =
  (...parts: string[]) =>
  async (socket: Socket) => {
    for (const byte of parts.join('')) {
      socket.write(byte);
      await new Promise(setImmediate);
    }
    socket.end();
  };
const forever =
  (head: string, part: string) =>
  (socket: Socket): void => {
    socket.write(head);
    const timer = setInterval(() => socket.write(part), 1);
    socket.once('close', () => clearInterval(timer));
  };

const ENDINGS = { 'and ends': ended, 'and ends later': endedLater, 'and breaks': reset };

const HEADS: Readonly<Record<string, readonly string[]>> = {
  'no length, closing': [REFUSED, CLOSE, '\r\n'],
  'length 0, closing': [REFUSED, CLOSE, length(0), '\r\n'],
  'length 0': [REFUSED, length(0), '\r\n'],
  'HTTP/1.0 without a body': ['HTTP/1.0 401 Unauthorized\r\n\r\n'],
  'HTTP/1.0 with a body': ['HTTP/1.0 401 Unauthorized\r\n\r\n', body(10)],
  'HTTP/1.0 with a length': ['HTTP/1.0 401 Unauthorized\r\n', length(10), '\r\n', body(10)],
  'a body, closing': [REFUSED, CLOSE, length(10), '\r\n', body(10)],
  'a body without length, closing': [REFUSED, CLOSE, '\r\n', body(10)],
  'a body that is too short': [REFUSED, length(10), '\r\n', body(5)],
  'a body that is too short, closing': [REFUSED, CLOSE, length(10), '\r\n', body(5)],
  'a body that is too long': [REFUSED, length(5), '\r\n', body(10)],
  'a body of 64 KiB, closing': [REFUSED, CLOSE, length(65_536), '\r\n', body(65_536)],
  'a body of 64 KiB without length, closing': [REFUSED, CLOSE, '\r\n', body(65_536)],
  'a body of 300,000 bytes, closing': [REFUSED, CLOSE, length(300_000), '\r\n', body(300_000)],
  'a body of 300,000 bytes in one chunk': [REFUSED, CHUNKED, '\r\n', '493e0\r\n', body(300_000), '\r\n0\r\n\r\n'],
  'chunks with trailers': [REFUSED, CHUNKED, '\r\n', '3\r\nabc\r\n0\r\nx-trailer: yes\r\n\r\n'],
  'chunks with trailers, closing': [REFUSED, CLOSE, CHUNKED, '\r\n', '3\r\nabc\r\n0\r\nx-trailer: yes\r\n\r\n'],
  'no chunk': [REFUSED, CLOSE, CHUNKED, '\r\n', '0\r\n\r\n'],
  'a chunk that is cut': [REFUSED, CHUNKED, '\r\n', 'a\r\nabc'],
  'a chunk without a size': [REFUSED, CHUNKED, '\r\n', 'zz\r\nabc\r\n0\r\n\r\n'],
  'chunks and a length': [REFUSED, CHUNKED, length(3), '\r\n', '3\r\nabc\r\n0\r\n\r\n'],
  'two lengths': [REFUSED, length(3), length(4), '\r\n', 'abcd'],
  'a negative length': [REFUSED, length(-1), '\r\n', 'abcd'],
  'a length beyond all bounds': [REFUSED, length('9'.repeat(30)), '\r\n', 'abcd'],
  'hints before it': ['HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(3), REFUSED, CLOSE, length(0), '\r\n'],
  'a word to go on before it': ['HTTP/1.1 100 Continue\r\n\r\n', REFUSED, CLOSE, length(0), '\r\n'],
  'an upgrade that was not asked for': [
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
  ],
  'a 401 that upgrades': [REFUSED, 'upgrade: x\r\nconnection: upgrade\r\n', length(0), '\r\n'],
  'two answers': [REFUSED, length(0), '\r\n', REFUSED, length(0), '\r\n'],
  'two answers, closing': [REFUSED, CLOSE, length(0), '\r\n', REFUSED, CLOSE, length(0), '\r\n'],
  'an answer and rubbish': [REFUSED, length(3), '\r\n', 'abc', '\0\u00ff rubbish \r\n\r\n'],
  'compressed rubbish': [REFUSED, 'content-encoding: gzip\r\n', length(10), '\r\n', body(10)],
  'header fields that end': [REFUSED, 'x-a: b\r\n'],
  'a header field without a name': [REFUSED, ': b\r\n\r\n'],
  'header fields of 70 KB': [REFUSED, `x-a: ${body(70_000)}\r\n`, length(0), '\r\n'],
  'bare line feeds': [`${REFUSED}${CLOSE}${length(3)}\r\nabc`.replaceAll('\r\n', '\n')],
  'a status that is none': ['HTTP/1.1 4o1 Unauthorized\r\n\r\n'],
  'a status of one digit': ['HTTP/1.1 4 Unauthorized\r\n\r\n'],
  'another protocol': ['220 mail.example ESMTP\r\n'],
  'half a status line': ['HTTP/1.1 40'],
  nothing: [],
  'many challenges': [
    REFUSED,
    CLOSE,
    'www-authenticate: Bearer error="invalid_token"\r\n'.repeat(50),
    length(0),
    '\r\n',
  ],
  'a challenge that is no text': [REFUSED, CLOSE, 'www-authenticate: \u00ff\u0001\r\n', length(0), '\r\n'],
  'a nonce and nothing else': [REFUSED, CLOSE, 'dpop-nonce: n\r\n', '\r\n'],
};

export const HOSTILE_REFUSALS: readonly HostileRefusal[] = [
  { name: 'nothing, and stays open', answer: open() },
  { name: 'a body that is too short, and stays open', answer: open(...HEADS['a body that is too short']!) },
  { name: 'length 0, and stays open', answer: open(...HEADS['length 0']!) },
  ...Object.entries(HEADS).flatMap(([name, parts]) => [
    ...Object.entries(ENDINGS).map(([ending, make]) => ({ name: `${name}, ${ending}`, answer: make(...parts) })),
    ...(parts.join('').length < 200 ? [{ name: `${name}, byte by byte`, answer: byteByByte(...parts) }] : []),
  ]),
  { name: 'a body that never ends', answer: forever(`${REFUSED}\r\n`, body(16_384)) },
  { name: 'a body that never ends, in chunks', answer: forever(`${REFUSED}${CHUNKED}\r\n`, '5\r\nabcde\r\n') },
  { name: 'header fields that never end', answer: forever(REFUSED, 'x-a: b\r\n') },
  { name: 'hints that never end', answer: forever('', 'HTTP/1.1 103 Early Hints\r\n\r\n') },
];
