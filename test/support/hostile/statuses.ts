import { failed, type FailedRequest, grant, type HostileAnswer, http, OK, raw, TOKEN, usable } from './answer.js';

const withStatus = (status: number, becomes: HostileAnswer['becomes']): HostileAnswer => ({
  name: `a token with status ${status}`,
  answer: http(grant(), { status }),
  becomes,
});

const oauthError = (status: number, error: string, becomes: FailedRequest): HostileAnswer => ({
  name: `${error} with status ${status}`,
  answer: http(JSON.stringify({ error }), { status }),
  becomes: { oauthError: error, ...becomes },
});

const page = (status: number, becomes: FailedRequest): HostileAnswer => ({
  name: `a page with status ${status}`,
  answer: http(`<html><body>${TOKEN}</body></html>`, { status, type: 'text/html' }),
  becomes,
});

const typed = (type: string, becomes: HostileAnswer['becomes']): HostileAnswer => ({
  name: type === '' ? 'a token without a content type' : `a token with content type ${type}`,
  answer: http(grant(), { type }),
  becomes,
});

const retryAfter = (lines: readonly string[], seconds: number | undefined, why?: string): HostileAnswer => ({
  name: `an overload with ${lines.join(' and ')}`,
  answer: http('', { status: 503, headers: [...lines], type: '' }),
  becomes: failed('transient', seconds === undefined ? {} : { retryAfterSeconds: seconds }),
  ...(why !== undefined && { why }),
});

const credential = failed('credential');
const blocked = failed('blocked');
const unexplained = failed('unexplained');
const configuration = failed('configuration');
const transient = failed('transient');
const DATE = 'date: Tue, 01 Jan 2030 00:00:00 GMT';

/** Statuses, errors and headers that contradict each other, or that nobody should send. */
export const STATUSES: readonly HostileAnswer[] = [
  withStatus(201, usable()),
  withStatus(202, usable()),
  withStatus(203, usable()),
  withStatus(206, usable()),
  withStatus(226, usable()),
  withStatus(300, configuration),
  withStatus(400, unexplained),
  withStatus(401, blocked),
  withStatus(403, blocked),
  withStatus(404, unexplained),
  withStatus(405, unexplained),
  withStatus(407, failed('proxy', { fault: 'proxy_authentication' })),
  withStatus(408, transient),
  withStatus(418, unexplained),
  withStatus(425, transient),
  withStatus(429, transient),
  withStatus(500, transient),
  withStatus(502, transient),
  withStatus(503, transient),
  withStatus(504, transient),
  withStatus(599, transient),
  {
    name: 'a token with status 204, which has no body',
    answer: raw(['HTTP/1.1 204 No Content', 'content-type: application/json', 'content-length: 100'], grant()),
    becomes: failed('malformed'),
  },
  {
    name: 'a token with status 205',
    answer: http(grant(), { status: 205 }),
    becomes: failed('malformed'),
  },
  {
    name: 'a token with status 304, which has no body',
    answer: raw(['HTTP/1.1 304 Not Modified', 'content-type: application/json'], grant()),
    becomes: configuration,
  },
  {
    name: 'a token with status 100, and then nothing',
    answer: raw(['HTTP/1.1 100 Continue', 'content-type: application/json']),
    becomes: failed('transient', { fault: 'timeout' }),
    isSettledByTimeout: true,
  },
  {
    name: 'a token behind informational answers',
    answer: Buffer.concat([
      raw(['HTTP/1.1 100 Continue']),
      raw(['HTTP/1.1 103 Early Hints', 'link: </a>']),
      http(grant()),
    ]),
    becomes: usable(),
    why: 'RFC 9110 §15.2: a client has to be able to read past them',
  },
  {
    name: 'a token with status 199',
    answer: http(grant(), { status: 199 }),
    becomes: failed('transient', { fault: 'network' }),
    why: 'any status below 200 announces another answer, and a body is none',
  },
  {
    name: 'a token with status 600',
    answer: http(grant(), { status: 600 }),
    becomes: failed('malformed', { fault: 'not_http' }),
  },
  {
    name: 'a token with status 999',
    answer: http(grant(), { status: 999 }),
    becomes: failed('malformed', { fault: 'not_http' }),
  },
  {
    name: 'a token with status 20',
    answer: raw(['HTTP/1.1 20 OK', 'content-type: application/json', 'connection: close'], grant()),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a switch of protocols',
    answer: raw(['HTTP/1.1 101 Switching Protocols', 'connection: upgrade', 'upgrade: websocket'], grant()),
    becomes: failed('malformed', { fault: 'not_http' }),
  },
  {
    name: 'an offer to switch protocols beside a token',
    answer: http(grant(), { headers: ['connection: upgrade', 'upgrade: h2c'] }),
    becomes: usable(),
  },

  oauthError(200, 'invalid_client', credential),
  oauthError(400, 'invalid_client', credential),
  oauthError(401, 'invalid_client', credential),
  oauthError(403, 'invalid_client', credential),
  oauthError(500, 'invalid_client', credential),
  oauthError(503, 'invalid_client', credential),
  oauthError(302, 'invalid_client', credential),
  oauthError(400, 'unauthorized_client', credential),
  oauthError(400, 'invalid_grant', credential),
  oauthError(403, 'access_denied', configuration),
  oauthError(200, 'invalid_scope', configuration),
  oauthError(400, 'invalid_target', configuration),
  oauthError(400, 'unsupported_grant_type', configuration),
  oauthError(500, 'invalid_scope', transient),
  oauthError(200, 'server_error', transient),
  oauthError(400, 'temporarily_unavailable', transient),
  oauthError(400, 'slow_down', transient),
  oauthError(200, 'no_such_error', failed('malformed')),
  oauthError(400, 'no_such_error', configuration),
  oauthError(401, 'no_such_error', credential),
  oauthError(400, '__proto__', configuration),
  oauthError(400, 'Invalid_Client', credential),
  oauthError(400, 'InvalidClient', credential),
  oauthError(400, 'invalid-client', credential),
  oauthError(400, 'TEMPORARILY_UNAVAILABLE', transient),
  {
    name: 'an error of no characters',
    answer: http('{"error":""}', { status: 400 }),
    becomes: failed('unexplained', { says: 'HTTP 400 without an OAuth error. ' }),
  },
  {
    name: 'an error that is an object',
    answer: http('{"error":{"code":"invalid_client"}}', { status: 400 }),
    becomes: failed('credential', { oauthError: 'invalid_client' }),
  },
  {
    name: 'an error that is a list',
    answer: http('{"error":["invalid_client"]}', { status: 401 }),
    becomes: blocked,
  },
  {
    name: 'an error beside a token, with status 200',
    answer: http(grant({ error: 'invalid_client' })),
    becomes: failed('credential', { oauthError: 'invalid_client' }),
  },
  {
    name: 'an error beside a token, whose description is the token',
    answer: http(grant({ error: 'invalid_scope', error_description: `issued ${TOKEN} in vain` })),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'an error that is the token beside it',
    answer: http(grant({ error: TOKEN }), { status: 400 }),
    becomes: failed('configuration', { oauthError: '[credential]' }),
  },
  {
    name: 'an error in a page that says it is JSON',
    answer: http('<html>invalid_client</html>', { status: 400 }),
    becomes: unexplained,
  },
  {
    name: 'an error of a problem document',
    answer: http('{"error":"invalid_client"}', { status: 400, type: 'application/problem+json' }),
    becomes: failed('credential', { oauthError: 'invalid_client' }),
  },
  {
    name: 'an error without a content type',
    answer: http('{"error":"invalid_client"}', { status: 400, type: '' }),
    becomes: failed('credential', { oauthError: 'invalid_client' }),
  },
  {
    name: 'the demand for a nonce, again and again',
    answer: (() => {
      let nonces = 0;
      return (socket) =>
        socket.write(http('{"error":"use_dpop_nonce"}', { status: 400, headers: [`dpop-nonce: nonce-${++nonces}`] }));
    })(),
    becomes: failed('configuration', { oauthError: 'use_dpop_nonce' }),
    requests: 2,
    client: { dpop: true },
  },
  {
    name: 'the demand for a nonce without one',
    answer: http('{"error":"use_dpop_nonce"}', { status: 401 }),
    becomes: failed('credential', { oauthError: 'use_dpop_nonce' }),
    client: { dpop: true },
  },
  {
    name: 'the demand for a nonce of a client that has no key',
    answer: http('{"error":"use_dpop_nonce"}', { status: 400, headers: ['dpop-nonce: a'] }),
    becomes: failed('configuration', { oauthError: 'use_dpop_nonce' }),
  },
  {
    name: 'the demand for a nonce of 10 kB',
    answer: http('{"error":"use_dpop_nonce"}', { status: 400, headers: [`dpop-nonce: ${'n'.repeat(10_000)}`] }),
    becomes: failed('configuration', { oauthError: 'use_dpop_nonce' }),
    client: { dpop: true },
  },

  page(200, failed('malformed')),
  page(400, unexplained),
  page(401, blocked),
  page(403, blocked),
  page(404, unexplained),
  page(500, transient),
  page(502, transient),
  {
    name: 'XML',
    answer: http(`<token>${TOKEN}</token>`, { type: 'application/xml' }),
    becomes: failed('malformed', { says: 'application/xml' }),
  },
  typed('', usable()),
  typed('text/plain', usable()),
  typed('text/html', usable()),
  typed('application/jsonp', usable()),
  typed('application/json-seq', usable()),
  typed('application/x-www-form-urlencoded', usable()),
  typed('json', usable()),
  typed('application/json\x7f', failed('transient', { fault: 'network' })),
  typed(`text/${'x'.repeat(5000)}`, usable()),
  typed('APPLICATION/JSON', usable()),
  typed('application/json;charset=utf-8', usable()),
  typed('application/vnd.oauth+json', usable()),
  {
    name: 'a token with two content types',
    answer: http(grant(), { headers: ['content-type: text/html'] }),
    becomes: usable(),
  },
  {
    name: 'a token with two content types, the first of which has a parameter',
    answer: http(grant(), { type: 'application/json;a=b', headers: ['content-type: text/html'] }),
    becomes: usable(),
    why: 'the body decides',
  },
  {
    name: 'a token as the content type, and in a member with another name',
    answer: http(JSON.stringify({ accessToken: TOKEN }), { type: `${TOKEN}/x` }),
    becomes: failed('malformed'),
    why: 'what was found is quoted in the error, and that must not be the token',
  },

  retryAfter(['retry-after: 120'], 120),
  retryAfter(['retry-after: 0'], undefined),
  retryAfter(['retry-after: 999999999'], 3600, 'a server may ask for an hour of peace and no more'),
  retryAfter(['retry-after: 99999999999999999999'], undefined),
  retryAfter(['retry-after: -120'], undefined),
  retryAfter(['retry-after: 1.5'], undefined),
  retryAfter(['retry-after: soon'], undefined),
  retryAfter(['retry-after: 120', 'retry-after: 240'], undefined, 'which of the two is meant cannot be known'),
  retryAfter([DATE, 'retry-after: Tue, 01 Jan 2030 00:02:00 GMT'], 120),
  retryAfter([DATE, 'retry-after: Tue, 01 Jan 2019 00:02:00 GMT'], undefined),
  retryAfter([DATE, 'retry-after: Tue, 01 Jan 2930 00:02:00 GMT'], 3600),
  retryAfter([DATE, 'retry-after: Tue, 99 Jan 2030 99:99:99 GMT'], undefined),
  retryAfter([DATE, 'retry-after: 2030-01-01T00:02:00Z'], undefined),
  retryAfter(
    ['retry-after: Tue, 01 Jan 2030 00:02:00 GMT'],
    undefined,
    'without a Date there is nothing to count from',
  ),
  {
    name: 'a blockade with a Retry-After',
    answer: http('', { status: 403, headers: ['retry-after: 600'], type: '' }),
    becomes: failed('blocked', { retryAfterSeconds: 600 }),
  },
  {
    name: 'a limit on requests with a Retry-After',
    answer: http('{"error":"too_many_requests"}', { status: 429, headers: ['retry-after: 600'] }),
    becomes: failed('transient', { says: 'HTTP 429', retryAfterSeconds: 600 }),
  },
  {
    name: 'a token with a Retry-After',
    answer: http(grant(), { headers: ['retry-after: 600'] }),
    becomes: usable(),
  },
  {
    name: 'a challenge that is no challenge',
    answer: http('{"error":"invalid_client"}', { status: 401, headers: [`www-authenticate: ,,=;"${TOKEN}`] }),
    becomes: failed('credential', { oauthError: 'invalid_client' }),
  },
  {
    name: 'a challenge beside a token',
    answer: http(grant(), { headers: ['www-authenticate: Basic realm="a", DPoP error="use_dpop_nonce"'] }),
    becomes: usable(),
  },
  {
    name: 'a hundred challenges',
    answer: http('', {
      status: 401,
      type: '',
      headers: Array.from({ length: 100 }, () => 'www-authenticate: Negotiate'),
    }),
    becomes: blocked,
  },
  {
    name: 'a Date long past, beside a token without a life that says when it ends',
    answer: http(grant({ access_token: jwtOf(0, 600), expires_in: undefined }), {
      headers: ['date: Thu, 01 Jan 1970 00:00:00 GMT'],
    }),
    becomes: usable(600),
    why: 'no token lives for longer than from when it was made to its end, whatever the clock of something in between',
  },
  {
    name: 'a Date in a far future, beside a token without a life that says when it ends',
    answer: http(grant({ access_token: jwtOf(0, 600), expires_in: undefined }), {
      headers: ['date: Fri, 01 Jan 2100 00:00:00 GMT'],
    }),
    becomes: usable(300),
  },
  {
    name: 'a Date that is no date, beside a token that says when it ends',
    answer: http(grant({ access_token: jwtOf(0, 600), expires_in: undefined }), { headers: ['date: yesterday'] }),
    becomes: usable(600),
  },
  {
    name: 'two Dates, beside a token that says when it ends',
    answer: http(grant({ access_token: jwtOf(0, 600), expires_in: undefined }), {
      headers: [DATE, 'date: Fri, 01 Jan 2100 00:00:00 GMT'],
    }),
    becomes: usable(600),
  },
  {
    name: 'cookies and other things to be kept',
    answer: http(grant(), { headers: ['set-cookie: a=b', 'strict-transport-security: max-age=1', 'alt-svc: h3=":1"'] }),
    becomes: usable(),
  },
  {
    name: 'a header of the prototype',
    answer: http(grant(), { headers: ['__proto__: a', 'constructor: b'] }),
    becomes: usable(),
  },
  {
    name: 'a header beyond ASCII',
    answer: http(grant(), { headers: ['x-a: \xff\xfe'] }),
    becomes: usable(),
  },
  {
    name: 'an HTTP/1.0 answer',
    answer: (socket) => socket.end(raw(['HTTP/1.0 200 OK', 'content-type: application/json'], grant())),
    becomes: usable(),
  },
  {
    name: 'an answer of HTTP/1.9',
    answer: raw([OK.replace('1.1', '1.9'), 'content-type: application/json', 'content-length: 2'], '{}'),
    becomes: failed('transient', { fault: 'network' }),
  },
];

function jwtOf(iat: number, seconds: number): string {
  const start = Date.parse('2030-01-01T00:00:00Z') / 1000 + iat;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part({ iat: start, exp: start + seconds })}.c2lnbmF0dXJl`;
}
