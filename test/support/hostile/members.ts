import { UnsecuredJWT } from 'jose';
import { failed, type FailedRequest, grant, type HostileAnswer, http, TOKEN, usable } from './answer.js';

const noToken = failed('malformed', { says: 'access_token' });
const noType = failed('configuration', { says: 'token_type is neither Bearer nor DPoP' });
const noLife = failed('malformed', { says: 'expires_in' });
const duplicate = failed('malformed', { says: 'duplicate_member' });

const text = (value: unknown) => JSON.stringify(value) ?? 'undefined';

const tokenOf = (name: string, access_token: unknown, becomes: HostileAnswer['becomes'] = noToken): HostileAnswer => ({
  name: `a token that is ${name}`,
  answer: http(grant({ access_token })),
  becomes,
});

/** A token written into the JSON by hand, because of how it is escaped. */
const escapedToken = (name: string, literal: string): HostileAnswer => ({
  name: `a token with ${name}`,
  answer: http(`{"access_token":"${literal}","token_type":"Bearer","expires_in":3600}`),
  becomes: noToken,
});

const typeOf = (token_type: unknown, becomes: HostileAnswer['becomes'] = noType): HostileAnswer => ({
  name: `the token type ${text(token_type)}`,
  answer: http(grant({ token_type })),
  becomes,
});

const lifeOf = (literal: string, becomes: HostileAnswer['becomes'] = noLife): HostileAnswer => ({
  name: `an expires_in of ${literal.length > 50 ? `${literal.length} characters` : literal}`,
  answer: http(`{"access_token":"${TOKEN}","token_type":"Bearer","expires_in":${literal}}`),
  becomes,
});

const scopeOf = (name: string, scope: unknown, granted?: string): HostileAnswer => ({
  name: `a scope that is ${name}`,
  answer: http(grant({ scope })),
  becomes: usable(3600, { scope: granted }),
  why: 'what was granted decides nothing here; only what keeps to RFC 6749 §3.3 is told to the application',
});

const twice = (name: string, members: string): HostileAnswer => ({
  name,
  answer: http(`{${members},"token_type":"Bearer","expires_in":3600}`),
  becomes: duplicate,
});

const wholeBody = (name: string, body: string, becomes: FailedRequest = failed('malformed')): HostileAnswer => ({
  name: `a body that is ${name}`,
  answer: http(body),
  becomes,
});

/** An hour before the moment at which the clock of these tests stands still, and that moment. */
const NOW = 'Tue, 01 Jan 2030 00:00:00 GMT';
const nowSeconds = Date.parse(NOW) / 1000;
const jwt = (claims: object) => new UnsecuredJWT({ ...claims }).encode().replace(/\.$/, '.c2lnbmF0dXJl');

/** Members of the wrong type, of the wrong content, or there twice. */
export const MEMBERS: readonly HostileAnswer[] = [
  tokenOf('missing', undefined),
  tokenOf('null', null),
  tokenOf('a number', 42),
  tokenOf('true', true),
  tokenOf('a list', [TOKEN]),
  tokenOf('an object', { value: TOKEN }),
  tokenOf('empty', ''),
  tokenOf('a blank', ' '),
  tokenOf('padding alone', '===', usable()),
  tokenOf('padded within', 'abc=def', usable()),
  tokenOf('padded in front', '=abc', usable()),
  tokenOf('in quotes', `"${TOKEN}"`, usable()),
  tokenOf('two, with a comma', `${TOKEN},${TOKEN}`, usable()),
  tokenOf('two, with a blank', `${TOKEN} ${TOKEN}`),
  tokenOf('one with its scheme', `Bearer ${TOKEN}`),
  tokenOf('one with a line break and a header behind it', `${TOKEN}\r\nx-injected: yes`),
  tokenOf('one with a line feed at its end', `${TOKEN}\n`),
  tokenOf('one with a tab', `${TOKEN}\tx`),
  tokenOf('one with NUL', `${TOKEN}\0`),
  tokenOf('one with an escape sequence for terminals', `${TOKEN}\u001b[2J`),
  tokenOf('one beyond ASCII', `${TOKEN}é`),
  tokenOf('one with an emoji', `${TOKEN}🔑`),
  tokenOf('one with letters that look like others', TOKEN.replaceAll('a', 'а')),
  tokenOf('one with full-width letters', 'ｔｏｋｅｎ'),
  tokenOf('one with an invisible mark', `${TOKEN}\u200b`),
  tokenOf('one with a percent escape', `${TOKEN}%0d%0a`, usable()),
  tokenOf('one with a semicolon', `${TOKEN};x`, usable()),
  tokenOf('one with a colon', `user:${TOKEN}`, usable()),
  escapedToken('an escaped line break', `${TOKEN}\\r\\nx-injected: yes`),
  escapedToken('an escaped line break in hexadecimal', `${TOKEN}\\u000d\\u000ax-injected: yes`),
  escapedToken('an escaped NUL', `${TOKEN}\\u0000`),
  escapedToken('a lone high surrogate', `${TOKEN}\\ud83d`),
  escapedToken('a lone low surrogate', `${TOKEN}\\udd11`),
  escapedToken('a line separator', `${TOKEN}\\u2028`),
  {
    name: 'a token with escapes for plain letters',
    answer: http(`{"access_token":"\\u0061bc","token_type":"Bearer","expires_in":3600}`),
    becomes: usable(),
    why: 'it is the same text, and a good one',
  },
  {
    name: 'a token with every character that one may have',
    answer: http(grant({ access_token: 'AZaz09-._~+/==' })),
    becomes: usable(),
  },
  { name: 'a token of one character', answer: http(grant({ access_token: 'x' })), becomes: usable() },

  typeOf('bearer', usable()),
  typeOf('BEARER', usable()),
  typeOf('bEaReR', usable()),
  typeOf(undefined, usable()),
  typeOf(null, usable()),
  typeOf('', usable()),
  typeOf('MAC'),
  typeOf('N_A'),
  typeOf('Basic'),
  typeOf('Bearer ', usable()),
  typeOf(' Bearer', usable()),
  typeOf('Bearer,DPoP'),
  typeOf('Bearer\r\nx-injected: yes'),
  typeOf('bеarer'),
  typeOf(['Bearer']),
  typeOf({ bearer: true }),
  typeOf(1),
  typeOf('__proto__'),
  typeOf('toString'),
  {
    name: 'the token itself as its type',
    answer: http(grant({ token_type: TOKEN })),
    becomes: noType,
    why: 'what was found is quoted in the error, and that must not be the token',
  },
  {
    name: 'a token that is bound to a key, though none was shown',
    answer: http(grant({ token_type: 'DPoP' })),
    becomes: failed('configuration', { says: 'DPoP' }),
    why: 'RFC 6749 §7.1: a token of a type that cannot be presented is of no use',
  },
  {
    name: 'a plain token, though one was asked for that is bound to a key',
    answer: http(grant()),
    becomes: failed('configuration', { says: 'the server granted a bearer token' }),
    client: { dpop: true },
  },

  lifeOf('0'),
  lifeOf('-0'),
  lifeOf('-1'),
  lifeOf('-3600'),
  lifeOf('"NaN"'),
  lifeOf('"Infinity"'),
  lifeOf('"never"'),
  lifeOf('""', usable(300)),
  lifeOf('"0"'),
  lifeOf('"-5"'),
  lifeOf('"+3600"'),
  lifeOf('" 3600"', usable()),
  lifeOf('"3600 "', usable()),
  lifeOf('"3 600"'),
  lifeOf('"3,600"'),
  lifeOf('"1e3"'),
  lifeOf('"0x10"'),
  lifeOf('"٣٦٠٠"'),
  lifeOf('"3600\\n"'),
  lifeOf('"PT1H"'),
  lifeOf('"Tue, 01 Jan 2030 01:00:00 GMT"'),
  lifeOf('1e400'),
  lifeOf('-1e400'),
  lifeOf('1e-400'),
  lifeOf('true'),
  lifeOf('false'),
  lifeOf('[]'),
  lifeOf('[3600]'),
  lifeOf('{}'),
  lifeOf(`"${'9'.repeat(400)}"`),
  lifeOf('NaN', failed('malformed', { says: 'not_json' })),
  lifeOf('+60', failed('malformed', { says: 'not_json' })),
  lifeOf('060', failed('malformed', { says: 'not_json' })),
  lifeOf('null', usable(300)),
  lifeOf('59.5', usable(59.5)),
  lifeOf('"3600"', usable(3600)),
  lifeOf('"3600.5"', usable(3600.5)),
  lifeOf('1e3', usable(1000)),
  lifeOf('3600000', { ...usable(2_592_000) }),
  lifeOf('1e308', usable(2_592_000)),
  lifeOf('2147483648', usable(2_592_000)),
  lifeOf('"999999999999999"', usable(2_592_000)),
  { name: 'no expires_in', answer: http(grant({ expires_in: undefined })), becomes: usable(300) },
  {
    name: 'an expires_in that is longer than the token says itself',
    answer: http(grant({ access_token: jwt({ exp: nowSeconds + 60 }) }), { headers: [`date: ${NOW}`] }),
    becomes: usable(60),
  },
  {
    name: 'an expires_in that is shorter than the token says itself',
    answer: http(grant({ access_token: jwt({ exp: nowSeconds + 9999 }), expires_in: 60 }), {
      headers: [`date: ${NOW}`],
    }),
    becomes: usable(60),
  },
  {
    name: 'an expires_in in milliseconds, beside a token that knows better',
    answer: http(grant({ access_token: jwt({ exp: nowSeconds + 3600 }), expires_in: 3_600_000 }), {
      headers: [`date: ${NOW}`],
    }),
    becomes: usable(3600),
  },
  {
    name: 'a token whose end is long past',
    answer: http(grant({ access_token: jwt({ exp: 1, iat: 0 }) }), { headers: [`date: ${NOW}`] }),
    becomes: usable(3600),
    why: 'access tokens are opaque to clients: what can be read in one may shorten its life, and never condemns it',
  },
  {
    name: 'a token whose end is no number',
    answer: http(grant({ access_token: jwt({ exp: 'tomorrow' }), expires_in: undefined })),
    becomes: usable(300),
  },
  {
    name: 'a token whose end is beyond all numbers',
    answer: http(grant({ access_token: jwt({ exp: 1e300, iat: 1 }), expires_in: undefined })),
    becomes: usable(2_592_000),
  },
  {
    name: 'a token of three parts that are nothing',
    answer: http(grant({ access_token: '...', expires_in: undefined })),
    becomes: usable(300),
  },
  {
    name: 'a refresh_in beyond its end',
    answer: http(grant({ refresh_in: 1e9 })),
    becomes: usable(),
  },
  { name: 'a refresh_in that is negative', answer: http(grant({ refresh_in: -5 })), becomes: usable() },
  { name: 'a refresh_in of no kind', answer: http(grant({ refresh_in: { a: 1 } })), becomes: usable() },

  scopeOf('a name', 'users', 'users'),
  scopeOf('two names', 'users audit', 'users audit'),
  scopeOf('a number', 7),
  scopeOf('null', null),
  scopeOf('a list', ['users', 'audit'], 'users audit'),
  scopeOf('two names with blanks around them', ' users  audit ', 'users audit'),
  scopeOf('a list with a number in it', ['users', 7]),
  scopeOf('empty', ''),
  scopeOf('one with a line break', 'users\r\nx-injected: yes'),
  scopeOf('one with an escape sequence for terminals', 'users\u001b[31m'),
  scopeOf('one of 50 kB', 'x '.repeat(25_000), 'x '.repeat(25_000).trimEnd()),
  scopeOf('one beyond ASCII', 'größe'),

  twice('two tokens', `"access_token":"${TOKEN}","access_token":"another"`),
  twice('two tokens, one of them escaped', `"access_token":"${TOKEN}","access\\u005ftoken":"another"`),
  twice('two tokens, the same', `"access_token":"${TOKEN}","access_token":"${TOKEN}"`),
  twice('a token and two prototypes', `"access_token":"${TOKEN}","__proto__":1,"__proto__":2`),
  twice('a token and a second type', `"access_token":"${TOKEN}","token_type":"MAC"`),
  twice('a token and a second life', `"access_token":"${TOKEN}","expires_in":1`),
  twice('a token and two errors', `"access_token":"${TOKEN}","error":null,"error":"invalid_client"`),
  twice('a token and a repetition further down', `"access_token":"${TOKEN}","a":{"b":[{"c":1,"\\u0063":2}]}`),
  {
    name: 'a token in the prototype',
    answer: http(`{"__proto__":${grant()}}`),
    becomes: noToken,
  },
  {
    name: 'a token in the constructor’s prototype',
    answer: http(`{"constructor":{"prototype":${grant()}}}`),
    becomes: noToken,
  },
  {
    name: 'a token beside members of every object',
    answer: http(grant({ toString: 1, valueOf: 2, hasOwnProperty: 3, constructor: 4 })),
    becomes: usable(),
  },
  {
    name: 'a token beside a then',
    answer: http(grant().replace('{', '{"then":"surprise",')),
    becomes: usable(),
  },
  {
    name: 'a token in another spelling of its name',
    answer: http(`{"Access_Token":"${TOKEN}","token_type":"Bearer","expires_in":3600}`),
    becomes: noToken,
  },
  { name: 'a token in an envelope', answer: http(`{"data":${grant()}}`), becomes: noToken },
  {
    name: 'a token beside an error that is null',
    answer: http(grant({ error: null })),
    becomes: usable(),
  },

  wholeBody('empty', ''),
  wholeBody('blank', ' \r\n '),
  wholeBody('a list with a token in it', `[${grant()}]`),
  wholeBody('a text', JSON.stringify(TOKEN)),
  wholeBody('a number', '42'),
  wholeBody('null', 'null'),
  wholeBody('true', 'true'),
  wholeBody('an empty object', '{}'),
  wholeBody('two objects', `${grant()}${grant()}`),
  wholeBody('an object with a comment', `/* a */${grant()}`),
  wholeBody('an object with a comma too many', grant().replace('}', ',}')),
  wholeBody('an object in single quotes', grant().replaceAll('"', "'")),
  wholeBody('an object with something behind it', `${grant()};`),
  wholeBody('an object with NUL behind it', `${grant()}\0`),
  wholeBody('an object behind a guard against script inclusion', `)]}',\n${grant()}`),
  wholeBody('a callback', `callback(${grant()})`),
  wholeBody('a form', `access_token=${TOKEN}&token_type=bearer&expires_in=3600`),
];
