import type { RawAnswer } from '../raw-server.js';
import { failed, grant, type HostileAnswer, http, TOKEN } from './answer.js';

/** What was sent, taken apart. */
interface Sent {
  readonly whole: string;
  readonly headers: string;
  readonly body: string;
  readonly authorization: string;
  readonly basic: string;
  /** Identifier and secret as Basic has them. */
  readonly pair: string;
  readonly secret: string;
}

const echo =
  (answer: (sent: Sent) => string | Buffer): RawAnswer =>
  (socket, request) => {
    const [headers = '', body = ''] = request.split(/\r\n\r\n(.*)/s);
    const authorization = /^authorization: *(.*)$/im.exec(headers)?.[1]?.trim() ?? '';
    const basic = authorization.slice('Basic '.length);
    const pair = Buffer.from(basic, 'base64').toString('utf8');
    const secret = pair.slice(pair.indexOf(':') + 1);
    socket.write(answer({ whole: request, headers, body, authorization, basic, pair, secret }));
  };

const inDescription = (
  name: string,
  text: (sent: Sent) => string,
  client?: HostileAnswer['client'],
): HostileAnswer => ({
  name: `a description that repeats ${name}`,
  answer: echo((sent) =>
    http(JSON.stringify({ error: 'invalid_client', error_description: `Wrong: ${text(sent)}` }), { status: 401 }),
  ),
  becomes: failed('credential', { oauthError: 'invalid_client' }),
  ...(client && { client }),
});

const decoded = (text: string) => decodeURIComponent(text.replaceAll('+', ' '));

/** Answers that repeat what they were sent, or that are written for whoever reads the log. */
export const ECHOES: readonly HostileAnswer[] = [
  inDescription('the Authorization header', ({ authorization }) => authorization),
  inDescription('the credentials of Basic', ({ basic }) => basic),
  inDescription('the credentials of Basic without padding', ({ basic }) => basic.replace(/=+$/, '')),
  inDescription('the credentials of Basic in the alphabet for addresses', ({ pair }) =>
    Buffer.from(pair).toString('base64url'),
  ),
  inDescription('identifier and secret', ({ pair }) => pair),
  inDescription('the secret', ({ secret }) => decoded(secret)),
  inDescription('the secret in the form of forms', ({ secret }) => secret),
  inDescription('the secret in lower-case escapes', ({ secret }) =>
    secret.replace(/%../g, (escape) => escape.toLowerCase()),
  ),
  inDescription('the secret in Base64', ({ secret }) => Buffer.from(decoded(secret)).toString('base64')),
  inDescription('the secret in Base64 for addresses', ({ secret }) =>
    Buffer.from(decoded(secret)).toString('base64url'),
  ),
  inDescription('the secret in hexadecimal', ({ secret }) => Buffer.from(decoded(secret)).toString('hex')),
  inDescription('the secret with escapes of HTML', ({ secret }) =>
    decoded(secret).replaceAll('&', '&amp;').replaceAll('"', '&quot;'),
  ),
  inDescription('the last 20 characters of the secret', ({ secret }) => decoded(secret).slice(-20)),
  inDescription('the first 20 characters of the secret', ({ secret }) => decoded(secret).slice(0, 20)),
  inDescription('the credentials of Basic, cut off', ({ basic }) => basic.slice(0, 40)),
  inDescription('the secret in two halves', ({ secret }) => {
    const text = decoded(secret);
    return `${text.slice(0, text.length / 2)} ${text.slice(text.length / 2)}`;
  }),
  inDescription('the whole request', ({ whole }) => whole),
  inDescription('the whole request, behind 150 other characters', ({ whole }) => 'x'.repeat(150) + whole),
  inDescription('the body', ({ body }) => body, { clientAuthentication: 'client_secret_post' }),
  inDescription('the body as an object', ({ body }) => JSON.stringify(Object.fromEntries(new URLSearchParams(body))), {
    clientAuthentication: 'client_secret_post',
  }),
  inDescription('the body of JSON', ({ body }) => body, {
    clientAuthentication: 'client_secret_post',
    tokenRequestFormat: 'json',
  }),
  inDescription('the assertion', ({ body }) => new URLSearchParams(body).get('client_assertion') ?? '', {
    clientAuthentication: 'client_secret_jwt',
  }),
  inDescription(
    'the last 20 characters of the assertion',
    ({ body }) => (new URLSearchParams(body).get('client_assertion') ?? '').slice(-20),
    { clientAuthentication: 'client_secret_jwt' },
  ),
  inDescription('the DPoP proof', ({ headers }) => /^dpop: *(.*)$/im.exec(headers)?.[1] ?? '', { dpop: true }),
  {
    name: 'an error that is the secret',
    answer: echo(({ secret }) => http(JSON.stringify({ error: decoded(secret) }), { status: 400 })),
    becomes: failed('configuration', { oauthError: '[credential]' }),
  },
  {
    name: 'a token type that is the secret',
    answer: echo(({ secret }) => http(grant({ token_type: decoded(secret) }))),
    becomes: failed('configuration'),
  },
  {
    name: 'a token type that is the Authorization header',
    answer: echo(({ authorization }) => http(grant({ token_type: authorization }))),
    becomes: failed('configuration'),
  },
  {
    name: 'a content type with the secret in it',
    answer: echo(({ secret }) => http('{}', { type: `text/${encodeURIComponent(decoded(secret))}` })),
    becomes: failed('malformed'),
  },
  {
    name: 'a page that is the whole request',
    answer: echo(({ whole }) => http(whole, { status: 500, type: 'text/html' })),
    becomes: failed('transient'),
  },
  {
    name: 'a status line with the secret in it',
    answer: echo(({ basic }) => `HTTP/1.1 500 ${basic}\r\ncontent-length: 0\r\n\r\n`),
    becomes: failed('transient'),
  },
  {
    name: 'the request in place of an answer',
    answer: echo(({ whole }) => whole),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a header with the secret and NUL in it',
    answer: echo(({ basic }) => `HTTP/1.1 200 OK\r\nx-a: ${basic}\0\r\n\r\n`),
    becomes: failed('transient', { fault: 'network' }),
  },
  {
    name: 'a Location with the secret in it',
    answer: echo(({ basic }) => http('', { status: 302, headers: [`location: /?secret=${basic}`] })),
    becomes: failed('configuration', { says: 'redirect' }),
  },
  {
    name: 'a description with escape sequences for terminals',
    answer: http(JSON.stringify({ error: 'invalid_scope', error_description: '\u001b[2J\u001b]0;owned\u0007' }), {
      status: 400,
    }),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'a description with forged lines for the log',
    answer: http(
      JSON.stringify({ error: 'invalid_scope', error_description: 'no\r\n[Nest] 1 - LOG all is well\u2028more' }),
      { status: 400 },
    ),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'a description that turns the direction of writing',
    answer: http(JSON.stringify({ error: 'invalid_scope', error_description: '\u202etxt.exe\u2066' }), { status: 400 }),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'an error with escape sequences for terminals',
    answer: http(JSON.stringify({ error: 'a\u001b[31m\r\nb' }), { status: 400 }),
    becomes: failed('configuration', { oauthError: 'a?[31m??b' }),
  },
  {
    name: 'a description of 60 kB',
    answer: http(JSON.stringify({ error: 'invalid_scope', error_description: 'x'.repeat(60_000) }), { status: 400 }),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'a description of 1 MB',
    answer: http(JSON.stringify({ error: 'invalid_scope', error_description: 'x'.repeat(1_000_000) }), { status: 400 }),
    becomes: failed('malformed', { fault: 'too_large' }),
  },
  {
    name: 'an error of 60 kB',
    answer: http(JSON.stringify({ error: 'x'.repeat(60_000) }), { status: 400 }),
    becomes: failed('configuration', { oauthError: `${'x'.repeat(60)}…` }),
  },
  {
    name: 'a description that is an object',
    answer: http(JSON.stringify({ error: 'invalid_scope', error_description: { [TOKEN]: TOKEN } }), { status: 400 }),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
  {
    name: 'a description beside a refresh token that it repeats',
    answer: http(
      JSON.stringify({ error: 'invalid_scope', refresh_token: TOKEN, error_description: `revoked ${TOKEN}` }),
      { status: 400 },
    ),
    becomes: failed('configuration', { oauthError: 'invalid_scope' }),
  },
];
