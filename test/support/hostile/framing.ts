import {
  endlessly,
  failed,
  grant,
  type HostileAnswer,
  http,
  JSON_TYPE,
  OK,
  raw,
  thenEnd,
  thenReset,
  TOKEN,
  usable,
} from './answer.js';

const GRANT = grant();
const CHUNKED = 'transfer-encoding: chunked';
const length = (value: number | string) => `content-length: ${value}`;
const chunk = (text: string, extension = '') => `${text.length.toString(16)}${extension}\r\n${text}\r\n`;

/** Where one answer ends: lengths and chunks that are wrong, missing, or said twice (RFC 9112 §6). */
export const FRAMING: readonly HostileAnswer[] = [
  {
    name: 'a Content-Length that is longer than the body, and then the end',
    answer: thenEnd(raw([OK, JSON_TYPE, length(GRANT.length + 10)], GRANT)),
    becomes: failed('transient', { fault: 'network' }),
    why: 'a body that is cut short is not the answer, even where what came of it can be read',
  },
  {
    name: 'a Content-Length that is longer than the body, and then a reset',
    answer: thenReset(raw([OK, JSON_TYPE, length(GRANT.length + 10)], GRANT)),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a Content-Length that is longer than the body, and then silence',
    answer: raw([OK, JSON_TYPE, length(GRANT.length + 10)], GRANT),
    becomes: failed('transient', { fault: 'timeout' }),
    isSettledByTimeout: true,
  },
  {
    name: 'a Content-Length that is shorter than the body',
    answer: raw([OK, JSON_TYPE, length(GRANT.length - 10)], GRANT),
    becomes: failed('malformed'),
  },
  {
    name: 'a Content-Length that ends where a token does, with something behind it',
    answer: raw([OK, JSON_TYPE, length(GRANT.length)], `${GRANT}garbage`),
    becomes: usable(),
    why: 'the answer is whole; what follows belongs to no request, and the connection is closed',
  },
  {
    name: 'a Content-Length of 0 in front of a token',
    answer: raw([OK, JSON_TYPE, length(0)], GRANT),
    becomes: failed('malformed'),
  },
  {
    name: 'a negative Content-Length',
    answer: raw([OK, JSON_TYPE, length(-1)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a Content-Length of letters',
    answer: raw([OK, JSON_TYPE, length('many')], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a Content-Length in hexadecimal',
    answer: raw([OK, JSON_TYPE, length('0x10')], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a Content-Length with a plus sign',
    answer: raw([OK, JSON_TYPE, length(`+${GRANT.length}`)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a Content-Length beyond all numbers',
    answer: raw([OK, JSON_TYPE, length('9'.repeat(40))], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'two Content-Lengths that disagree',
    answer: raw([OK, JSON_TYPE, length(GRANT.length), length(5)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'two Content-Lengths that agree',
    answer: raw([OK, JSON_TYPE, length(GRANT.length), length(GRANT.length)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
    why: 'RFC 9112 §6.3 allows to refuse even these, and Node does',
  },
  {
    name: 'a Content-Length beside chunks',
    answer: raw([OK, JSON_TYPE, length(GRANT.length), CHUNKED], `${chunk(GRANT)}0\r\n\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'no length at all, and then the end',
    answer: thenEnd(raw([OK, JSON_TYPE], GRANT)),
    becomes: usable(),
    why: 'RFC 9112 §6.3: the end of the connection is the end of the body',
  },
  {
    name: 'no length at all, and half a body',
    answer: thenEnd(raw([OK, JSON_TYPE], GRANT.slice(0, -5))),
    becomes: failed('malformed'),
  },
  {
    name: 'proper chunks of one byte each',
    answer: raw([OK, JSON_TYPE, CHUNKED], `${GRANT.replace(/./g, (byte) => chunk(byte))}0\r\n\r\n`),
    becomes: usable(),
  },
  {
    name: 'a chunk size of letters',
    answer: raw([OK, JSON_TYPE, CHUNKED], `zz\r\n${GRANT}\r\n0\r\n\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a negative chunk size',
    answer: raw([OK, JSON_TYPE, CHUNKED], `-5\r\n${GRANT}\r\n0\r\n\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a chunk size beyond all numbers',
    answer: raw([OK, JSON_TYPE, CHUNKED], `${'f'.repeat(40)}\r\n${GRANT}\r\n0\r\n\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a chunk that is longer than it says',
    answer: raw([OK, JSON_TYPE, CHUNKED], `5\r\n${GRANT}\r\n0\r\n\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a chunk that is shorter than it says, and then the end',
    answer: thenEnd(raw([OK, JSON_TYPE, CHUNKED], `fff\r\n${GRANT}`)),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'chunks that hold a token, without the last one',
    answer: thenEnd(raw([OK, JSON_TYPE, CHUNKED], chunk(GRANT))),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'chunks that hold a token, and silence in place of the last one',
    answer: raw([OK, JSON_TYPE, CHUNKED], chunk(GRANT)),
    becomes: failed('transient', { fault: 'timeout' }),
    isSettledByTimeout: true,
  },
  {
    name: 'chunks with an extension without end',
    answer: endlessly(raw([OK, JSON_TYPE, CHUNKED], '5;a='), 'x'.repeat(4096)),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'chunks of one byte, each with a long extension',
    answer: endlessly(raw([OK, JSON_TYPE, CHUNKED]), chunk(' ', `;a=${'x'.repeat(8000)}`)),
    becomes: failed('malformed', { fault: 'too_large' }),
  },
  {
    name: 'chunks of nothing but a token, and trailers with another one',
    answer: raw([OK, JSON_TYPE, CHUNKED, 'trailer: x-token'], `${chunk(GRANT)}0\r\nx-token: ${TOKEN}\r\n\r\n`),
    becomes: usable(),
  },
  {
    name: 'trailers without end',
    answer: endlessly(raw([OK, JSON_TYPE, CHUNKED], `${chunk(GRANT)}0\r\n`), `x-more: ${'x'.repeat(4096)}\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a transfer coding that nobody knows',
    answer: thenEnd(raw([OK, JSON_TYPE, 'transfer-encoding: rot13'], GRANT)),
    becomes: usable(),
    why: 'RFC 9112 §6.3: without chunks as the last coding the body goes to the end of the connection, and it can be read',
  },
  {
    name: 'a transfer coding of gzip on top of chunks',
    answer: raw([OK, JSON_TYPE, 'transfer-encoding: gzip, chunked'], `${chunk('\x1f\b\0\0')}0\r\n\r\n`),
    becomes: failed('malformed'),
  },
  {
    name: 'two answers in one, a token and then a refusal',
    answer: Buffer.concat([http(GRANT), http('{"error":"invalid_client"}', { status: 401 })]),
    becomes: usable(),
    why: 'the first is the answer to the only request of this connection',
  },
  {
    name: 'two answers in one, a refusal and then a token',
    answer: Buffer.concat([http('{"error":"invalid_scope"}', { status: 400 }), http(GRANT)]),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'a header with a line break and a header of its own in it',
    answer: raw([`${OK}\r\n${JSON_TYPE}\r\nx-a: b\nx-b: c`, length(GRANT.length)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a folded header',
    answer: raw([OK, 'content-type:\r\n application/json', length(GRANT.length)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
    why: 'RFC 9112 §5.2 has done away with folding',
  },
  {
    name: 'a header with NUL in it',
    answer: raw([OK, JSON_TYPE, `x-a: ${TOKEN}\0`, length(GRANT.length)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a header name with a blank in it',
    answer: raw([OK, JSON_TYPE, `bad name: ${TOKEN}`, length(GRANT.length)], GRANT),
    becomes: failed('transient', { fault: 'network' }),
  },
];
