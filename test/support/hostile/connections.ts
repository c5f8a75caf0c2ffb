import { failed, grant, type HostileAnswer, http, TOKEN, usable } from './answer.js';

const noAnswer = failed('transient', { fault: 'network' });

/** Other protocols, on a port where HTTP is expected, and connections that end before there is a request. */
export const CONNECTIONS: readonly HostileAnswer[] = [
  {
    name: 'a reset as soon as there is a connection',
    answer: (socket) => socket.resetAndDestroy(),
    becomes: noAnswer,
    isSaidAtOnce: true,
  },
  {
    name: 'the end as soon as there is a connection',
    answer: (socket) => socket.end(),
    becomes: noAnswer,
    isSaidAtOnce: true,
  },
  {
    name: 'a token before it was asked for',
    answer: (socket) => socket.write(http(grant())),
    becomes: usable(),
    isSaidAtOnce: true,
    why: 'whoever answers before it was asked to is this very server still: its connection carries one request alone',
  },
  {
    name: 'a greeting of another protocol',
    answer: (socket) => socket.write('220 smtp.example ESMTP\r\n'),
    becomes: noAnswer,
    isSaidAtOnce: true,
  },
  { name: 'an answer of HTTP/0.9', answer: (socket) => socket.end(grant()), becomes: noAnswer },
  { name: 'an answer of HTTP/0.9 with a page', answer: (socket) => socket.end('<html>'), becomes: noAnswer },
  {
    name: 'the preface of HTTP/2',
    answer: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    becomes: noAnswer,
  },
  {
    name: 'the settings of HTTP/2',
    answer: Buffer.from('000000040000000000', 'hex'),
    becomes: noAnswer,
  },
  { name: 'a TLS alert', answer: Buffer.from('15030300020228', 'hex'), becomes: noAnswer },
  { name: 'garbage', answer: Buffer.alloc(1000, 0xff), becomes: noAnswer },
  { name: 'garbage with a token in it', answer: `\0${TOKEN}\0`, becomes: noAnswer },
  {
    name: 'a line break',
    answer: '\r\n',
    becomes: failed('transient', { fault: 'timeout' }),
    isSettledByTimeout: true,
  },
];
