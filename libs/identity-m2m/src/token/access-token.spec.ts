import { inspect } from 'node:util';
import { describe, expect, it, test } from '@jest/globals';
import { AccessToken, AUTHORIZATION_HEADER, isAccessTokenText, TokenHeader } from './access-token.js';

describe('the string of an access token', () => {
  test.each([
    ['a', true],
    ['!', true],
    ['~', true],
    ['abc.def-ghi|jkl!,"\\', true],
    ['', false],
    ['a b', false],
    [' abc', false],
    ['abc ', false],
    ['abc\n', false],
    ['\nabc', false],
    ['a\r\nb', false],
    ['a\tb', false],
    ['a\u007fb', false],
    ['abcä', false],
    ['äabc', false],
  ])('may be %j: %s', (text, isValid) => {
    expect(isAccessTokenText(text)).toBe(isValid);
    const create = () => new AccessToken(text).reveal();
    if (isValid) expect(create()).toBe(text);
    else expect(create).toThrow(TypeError);
  });

  it('has at most 32,768 characters', () => {
    expect(isAccessTokenText('a'.repeat(32_768))).toBe(true);
    expect(isAccessTokenText('a'.repeat(32_769))).toBe(false);
    expect(() => new AccessToken('a'.repeat(32_769))).toThrow(
      new TypeError('An access token is 1 to 32768 visible ASCII characters, without spaces.'),
    );
  });
});

describe('an access token', () => {
  it('is a bearer token without a scope unless the server specifies one', () => {
    const token = new AccessToken('abc');
    expect([token.tokenType, token.scope]).toEqual(['Bearer', undefined]);
    const bound = new AccessToken('abc', 'DPoP', 'users');
    expect([bound.tokenType, bound.scope]).toEqual(['DPoP', 'users']);
  });

  test.each(['Bearer', 'DPoP'] as const)('of the type %s has that type in its header', (tokenType) => {
    expect(new AccessToken('abc', tokenType).revealAuthorizationHeader()).toBe(`${tokenType} abc`);
  });

  it('is shown as its fingerprint', () => {
    const token = new AccessToken('abc', 'Bearer', 'users');
    // The start of the SHA-256 of "abc".
    expect(token.fingerprint).toBe('ba7816bf8f01');
    const shown = [String(token), JSON.stringify({ token }), inspect(token), inspect({ token })];
    for (const text of shown) expect(text).toContain('[AccessToken ba7816bf8f01]');
    for (const text of shown) expect(text).not.toMatch(/abc/);
  });
});

describe('the header of a call', () => {
  test.each([
    { scheme: undefined, tokenType: 'Bearer', value: 'Bearer abc' },
    { scheme: undefined, tokenType: 'DPoP', value: 'DPoP abc' },
    { scheme: 'Token', tokenType: 'Bearer', value: 'Token abc' },
    { scheme: 'Token', tokenType: 'DPoP', value: 'DPoP abc' },
    { scheme: '', tokenType: 'Bearer', value: 'abc' },
    { scheme: '', tokenType: 'DPoP', value: 'DPoP abc' },
  ] as const)('with the scheme $scheme has the value $value for a $tokenType token', ({ scheme, tokenType, value }) => {
    expect(new TokenHeader('X-Token', scheme).revealValue(new AccessToken('abc', tokenType))).toBe(value);
  });

  it('is found by its name in lower case, and sent as it is written', () => {
    const { name, key } = new TokenHeader('X-Token');
    expect([name, key]).toEqual(['X-Token', 'x-token']);
  });

  it('is by default that of RFC 6750', () => {
    expect([AUTHORIZATION_HEADER.name, AUTHORIZATION_HEADER.key]).toEqual(['Authorization', 'authorization']);
    expect(AUTHORIZATION_HEADER.revealValue(new AccessToken('abc'))).toBe('Bearer abc');
  });
});
