import {
  dripping,
  endlessly,
  failed,
  grant,
  type HostileAnswer,
  http,
  JSON_TYPE,
  OK,
  raw,
  TOKEN,
  usable,
} from './answer.js';

const timedOut = failed('transient', { fault: 'timeout' });
const tooLarge = failed('malformed', { fault: 'too_large' });
const noAnswer = failed('transient', { fault: 'network' });

/** Answers that take for ever, have no end, or are beyond all measure. */
export const PACE: readonly HostileAnswer[] = [
  { name: 'silence', answer: '', becomes: timedOut, isSettledByTimeout: true },
  {
    name: 'a status line and then silence',
    answer: `${OK}\r\n`,
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'headers and then silence',
    answer: raw([OK, JSON_TYPE, 'content-length: 100']),
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'headers byte by byte',
    answer: dripping(`${OK}\r\n${JSON_TYPE}\r\n`, 'x-drip: a\r\n'),
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'one header without end, byte by byte',
    answer: dripping(`${OK}\r\nx-drip: `, 'a'),
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'a body byte by byte',
    answer: dripping(raw([OK, JSON_TYPE, 'content-length: 60000'], '{"a":"'), 'x'),
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'a body of blanks byte by byte, in chunks',
    answer: dripping(raw([OK, JSON_TYPE, 'transfer-encoding: chunked']), '1\r\n \r\n'),
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'half an answer, and the end of its half of the connection',
    answer: (socket) => socket.end(raw([OK, JSON_TYPE, 'content-length: 100'], '{')),
    becomes: noAnswer,
  },
  { name: 'a status line, and the end', answer: (socket) => socket.end(`${OK}\r\n`), becomes: noAnswer },
  { name: 'the end', answer: (socket) => socket.end(), becomes: noAnswer },
  { name: 'a reset', answer: (socket) => socket.resetAndDestroy(), becomes: noAnswer },
  {
    name: 'informational answers without end',
    answer: endlessly('', 'HTTP/1.1 100 Continue\r\n\r\n'),
    becomes: failed('malformed', { fault: 'not_http' }),
  },
  {
    name: 'informational answers without end, now and then',
    answer: dripping('', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
    becomes: timedOut,
    isSettledByTimeout: true,
  },
  {
    name: 'processing without end',
    answer: endlessly('', `HTTP/1.1 102 Processing\r\nx-a: ${'x'.repeat(4000)}\r\n\r\n`),
    becomes: failed('malformed', { fault: 'not_http' }),
  },
  {
    name: 'a body without end',
    answer: endlessly(raw([OK, JSON_TYPE]), ' '.repeat(65_536)),
    becomes: tooLarge,
  },
  {
    name: 'a body without end, in chunks',
    answer: endlessly(raw([OK, JSON_TYPE, 'transfer-encoding: chunked']), `1000\r\n${' '.repeat(4096)}\r\n`),
    becomes: tooLarge,
  },
  {
    name: 'a refusal without end',
    answer: endlessly(raw(['HTTP/1.1 401 Unauthorized', JSON_TYPE]), 'x'.repeat(65_536)),
    becomes: tooLarge,
    why: 'what it says cannot be known, so it is no reason to give up on the secret',
  },
  {
    name: 'headers without end',
    answer: endlessly(`${OK}\r\n`, `x-more: ${'x'.repeat(1000)}\r\n`),
    becomes: noAnswer,
  },
  { name: 'one header without end', answer: endlessly(`${OK}\r\nx-more: `, 'x'.repeat(65_536)), becomes: noAnswer },
  { name: 'a status line without end', answer: endlessly('HTTP/1.1 200 ', 'x'.repeat(65_536)), becomes: noAnswer },
  {
    name: 'a header of 20 kB',
    answer: http(grant(), { headers: [`x-large: ${'x'.repeat(20_000)}`] }),
    becomes: noAnswer,
  },
  {
    name: 'a thousand headers',
    answer: http(grant(), { headers: Array.from({ length: 1000 }, (_, i) => `x-${i}: ${i}`) }),
    becomes: usable(),
  },
  { name: 'a body of 1 MB', answer: http(grant({ padding: 'x'.repeat(1_000_000) })), becomes: tooLarge },
  {
    name: 'a body of one byte more than 64 KiB',
    answer: http(grant().padEnd(65_537, ' ')),
    becomes: tooLarge,
  },
  { name: 'a body of just 64 KiB', answer: http(grant().padEnd(65_536, ' ')), becomes: usable() },
  {
    name: 'a Content-Length of terabytes',
    answer: endlessly(raw([OK, JSON_TYPE, `content-length: ${2 ** 42}`]), 'x'.repeat(65_536)),
    becomes: tooLarge,
  },
  {
    name: 'nesting 100,000 deep',
    answer: http(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
    becomes: tooLarge,
  },
  {
    name: 'nesting 30,000 deep beside a token',
    answer: http(grant().replace('{', `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)},`)),
    becomes: failed('malformed', { says: 'too_deep' }),
  },
  {
    name: 'objects 10,000 deep, never closed',
    answer: http('{"a":'.repeat(10_000)),
    becomes: failed('malformed', { says: 'not_json' }),
  },
  {
    name: '100,000 members',
    answer: http(`{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join(',')}}`),
    becomes: tooLarge,
  },
  {
    name: '6,000 members beside a token',
    answer: http(grant(Object.fromEntries(Array.from({ length: 6000 }, (_, i) => [`k${i}`, i])))),
    becomes: failed('malformed', { fault: 'too_large' }),
  },
  {
    name: '4,000 members beside a token',
    answer: http(grant(Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`k${i}`, i])))),
    becomes: usable(),
  },
  {
    name: 'a token as long as one may be',
    answer: http(grant({ access_token: TOKEN.padEnd(32_768, 'x') })),
    becomes: usable(),
  },
  {
    name: 'a token one character longer than one may be',
    answer: http(grant({ access_token: TOKEN.padEnd(32_769, 'x') })),
    becomes: failed('malformed', { says: 'access_token has invalid characters or an invalid length' }),
  },
  {
    name: 'a number of 60,000 digits',
    answer: http(`{"access_token":"${TOKEN}","token_type":"Bearer","expires_in":${'9'.repeat(60_000)}}`),
    becomes: failed('malformed', { says: 'expires_in' }),
  },
  {
    name: 'a text of backslashes',
    answer: http(`{"a":"${'\\'.repeat(60_000)}"}`),
    becomes: failed('malformed', { says: 'no access_token' }),
  },
];
