import { describe, expect, it, test } from '@jest/globals';
import { ClientSecret } from '../foundation/secret-source.js';
import { issuedTokens, redactCredentials, sentCredentials } from './credential-redaction.js';

const form = (text = '') => new URLSearchParams(text);
const spellingsOf = (text: string) => sentCredentials([new ClientSecret(text)], {}, form());

describe('the credentials of a token request', () => {
  it('are none where the request has none', () => {
    expect(sentCredentials([], {}, form())).toEqual([]);
    expect(sentCredentials([], { authorization: '', dpop: '' }, form('scope=users-and-more'))).toEqual([]);
  });

  it('are in every encoding in which a server may repeat them', () => {
    expect(spellingsOf('pä ss*"\\/+~?')).toEqual([
      'pä ss*"\\/+~?',
      'p%C3%A4%20ss*%22%5C%2F%2B~%3F',
      'p%C3%A4+ss*%22%5C%2F%2B%7E%3F',
      'pä ss*\\"\\\\/+~?',
      'cMOkIHNzKiJcLyt+Pw==',
      'cMOkIHNzKiJcLyt-Pw',
      '70c3a42073732a225c2f2b7e3f',
    ]);
  });

  it('are each of them once', () => {
    const secret = new ClientSecret('a-secret');
    const found = sentCredentials([secret, secret], {}, form('client_secret=a-secret&client_secret=a-secret'));
    expect(found).toEqual(['a-secret', 'YS1zZWNyZXQ=', 'YS1zZWNyZXQ', '612d736563726574']);
  });

  it('are left out where an encoding has fewer than 8 characters', () => {
    expect(spellingsOf('eightone')).toContain('eightone');
    expect(spellingsOf('seven-7')).toEqual(['c2V2ZW4tNw==', 'c2V2ZW4tNw', '736576656e2d37']);
    expect(spellingsOf('abc')).toEqual([]);
  });

  it('may be a string that has no valid encoding', () => {
    const half = 'secret\ud83d-half';
    expect(spellingsOf(half)).toEqual(expect.arrayContaining([half, 'secret%EF%BF%BD-half']));
  });

  const basic = Buffer.from('client:pass:word\nof two lines').toString('base64');
  test.each([
    { from: 'HTTP Basic', headers: { authorization: `Basic ${basic}` }, credential: basic },
    {
      from: 'the password of HTTP Basic',
      headers: { authorization: `Basic ${basic}` },
      credential: 'pass:word\nof two lines',
    },
    { from: 'another scheme', headers: { authorization: 'Other some-credential' }, credential: 'some-credential' },
    { from: 'a proof of possession', headers: { dpop: 'proof-of-the-key' }, credential: 'proof-of-the-key' },
    { from: 'the body: client_secret', body: 'client_secret=in-the-body', credential: 'in-the-body' },
    { from: 'the body: client_assertion', body: 'client_assertion=in-the-body', credential: 'in-the-body' },
    { from: 'the body: assertion', body: 'assertion=in-the-body', credential: 'in-the-body' },
    { from: 'the body: repeated', body: 'assertion=the-first&assertion=the-second', credential: 'the-second' },
    { from: 'a header for a key', headers: { 'x-api-key': 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for a key in capitals', headers: { 'X-API-KEY': 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for a token', headers: { 'x-token': 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for a secret', headers: { 'my-secret': 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for authentication', headers: { 'x-authn': 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for a password', headers: { passcode: 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for a signature', headers: { signature: 'in-a-header' }, credential: 'in-a-header' },
    { from: 'a header for cookies', headers: { cookie: 'in-a-header' }, credential: 'in-a-header' },
  ] as { from: string; headers?: Record<string, string>; body?: string; credential: string }[])(
    'are read from $from',
    ({ headers = {}, body = '', credential }) => {
      expect(sentCredentials([], headers, form(body))).toContain(credential);
    },
  );

  it('are not the other headers and parameters', () => {
    const headers = { 'user-agent': 'an-ordinary-client', accept: 'application/json' };
    expect(sentCredentials([], headers, form('client_id=some-client&scope=some-scope'))).toEqual([]);
  });
});

describe('the tokens of a response', () => {
  const TOKEN = 'some-token';
  const isToken = (name: string) => issuedTokens(JSON.stringify({ [name]: TOKEN })).includes(TOKEN);

  test.each([
    'access_token',
    'accessToken',
    'ACCESS_TOKEN',
    'token',
    'tokens',
    'id_token',
    'refresh_token',
    'jwt',
    'access_jwt_value',
    'client_secret',
    'token_urn',
    'token_uris',
    'url_of_token',
  ])('are the member %s', (name) => {
    expect(isToken(name)).toBe(true);
  });

  test.each([
    'token_type',
    'tokenType',
    'type_of_token',
    'token_expires_at',
    'expires_with_token',
    'token_scope',
    'token_url',
    'tokenUri',
    'TOKEN_URI',
    'token_endpoint',
    'endpoint_of_tokens',
    'scope',
    'error',
    '',
  ])('are not the member "%s"', (name) => {
    expect(isToken(name)).toBe(false);
  });

  it('are in every encoding', () => {
    expect(issuedTokens('{"access_token":"a/token+1"}')).toEqual([
      'a/token+1',
      'a%2Ftoken%2B1',
      'a%2Ftoken%2B1',
      'a/token+1',
      'YS90b2tlbisx',
      'YS90b2tlbisx',
      '612f746f6b656e2b31',
    ]);
  });

  it('have 8 characters or more', () => {
    expect(issuedTokens('{"access_token":"eightone"}')).toContain('eightone');
    expect(issuedTokens('{"access_token":"seven-7"}')).toEqual([]);
  });

  test.each([
    ['an object', { data: { deeper: { access_token: TOKEN } } }],
    ['a list of objects', [{ other: 1 }, { access_token: TOKEN }]],
    ['a list of tokens', { tokens: ['short', TOKEN] }],
    ['a list in a list', { tokens: [[null, [TOKEN]]] }],
    ['an object beside other values', { access_token: TOKEN, id_token: null, secret: 12, jwt: true }],
  ])('are found in %s', (_, body) => {
    expect(issuedTokens(JSON.stringify(body))).toContain(TOKEN);
  });

  test.each([
    ['an object of tokens', { tokens: { note: TOKEN } }],
    ['a string', TOKEN],
    ['null', null],
    ['a number', 12],
  ])('are not in %s', (_, body) => {
    expect(issuedTokens(JSON.stringify(body))).toEqual([]);
  });

  it('are found in a form', () => {
    expect(issuedTokens('token_type=bearer-or-not&access_token=some%2Dtoken')).toContain(TOKEN);
    expect(issuedTokens('token_type=bearer-or-not&scope=some-scope')).toEqual([]);
    expect(issuedTokens('<html>an access_token</html>')).toEqual([]);
  });

  it('are found at any depth', () => {
    const depth = 50_000;
    expect(issuedTokens(`{"token":${'['.repeat(depth)}"${TOKEN}"${']'.repeat(depth)}}`)).toContain(TOKEN);
  });
});

describe('an error text of a server', () => {
  const CREDENTIAL = 'abcdefghij0123456789';

  test.each([
    ['without the credential', 'the client is unknown', 'the client is unknown'],
    ['that is empty', '', ''],
    ['that is the credential', CREDENTIAL, '[credential]'],
    ['that begins with it', `${CREDENTIAL} is wrong`, '[credential] is wrong'],
    ['that ends with it', `wrong: ${CREDENTIAL}`, 'wrong: [credential]'],
    ['that has it twice', `${CREDENTIAL}, ${CREDENTIAL}!`, '[credential], [credential]!'],
    ['that has it twice in a row', CREDENTIAL + CREDENTIAL, '[credential]'],
    ['with its first 8 characters', '<abcdefgh>', '<[credential]>'],
    ['with its last 8 characters', '<23456789>', '<[credential]>'],
    ['with 8 characters from its middle', '<defghij0>', '<[credential]>'],
    ['with 9 characters from its middle', '<defghij01>', '<[credential]>'],
    ['with 7 of its characters', '<abcdefg>', '<abcdefg>'],
    ['with two parts of it', 'abcdefgh…23456789', '[credential]…[credential]'],
    ['with it in capitals', `<${CREDENTIAL.toUpperCase()}>`, '<[credential]>'],
    ['with it in both cases', '<aBcDeFgHiJ>', '<[credential]>'],
    ['with it on two lines', 'abcdefghij\n0123456789\n', '[credential]\n[credential]\n'],
    ['with letters whose lower case is longer', `İİ ${CREDENTIAL} İ`, 'İİ [credential] İ'],
    ['with characters of two code units', `😀${CREDENTIAL}😀`, '😀[credential]😀'],
  ])('%s', (_, text, expected) => {
    expect(redactCredentials([CREDENTIAL], text)).toBe(expected);
  });

  it.each([
    ['capitals', 'ABCDEFGHIJ', '<abcdefghij>', '<[credential]>'],
    ['letters beyond ASCII, in the same case', 'ÄÖÜäöüÄÖ', '<ÄÖÜäöüÄÖ> äöüäöüäö', '<[credential]> äöüäöüäö'],
    ['a repeated character', 'aaaaaaaa', 'b aaaaaaaaaa b', 'b [credential] b'],
    ['characters of two code units', '😀😃😄😁😆😅', 'no 😀😃😄😁😆😅 no', 'no [credential] no'],
    ['a character that differs in its second code unit', 'abcdefg😀', '<abcdefg😃>', '<[credential]>'],
    ['fewer than 8 characters', 'abcdefg', '<abcdefg>', '<abcdefg>'],
    ['no characters', '', 'text', 'text'],
  ])('loses a credential of %s', (_, credential, text, expected) => {
    expect(redactCredentials([credential], text)).toBe(expected);
  });

  it('loses each of several credentials, also where one overlaps another', () => {
    const text = redactCredentials(['abcdefghij', 'ghijklmnop', '0123456789'], '<abcdefghijklmnop> 0123456789.');
    expect(text).toBe('<[credential]> [credential].');
  });

  it('is unchanged without credentials', () => {
    expect(redactCredentials([], 'a text of some length\n')).toBe('a text of some length\n');
  });

  it('is cut after 2000 characters, before it is searched', () => {
    expect(redactCredentials([], 'x'.repeat(2001))).toBe('x'.repeat(2000));
    const before = 'x'.repeat(1992);
    expect(redactCredentials([CREDENTIAL], before + CREDENTIAL)).toBe(`${before}[credential]`);
    expect(redactCredentials([CREDENTIAL], `x${before}${CREDENTIAL}`)).toBe(`x${before}abcdefg`);
  });
});
