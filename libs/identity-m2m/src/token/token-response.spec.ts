import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { UnsecuredJWT } from 'jose';
import { retryAfterMs } from '../foundation/http-dates.js';
import { MAX_ACCESS_TOKEN_LENGTH } from './access-token.js';
import { readTokenResponse } from './token-response.js';
import { TOKEN_FAILURE_KINDS, type TokenResult } from './token-result.js';

const DATE = 'Tue, 01 Jan 2030 00:00:00 GMT';
const NOW = Date.parse(DATE) / 1000;
const json = { 'content-type': 'application/json;charset=utf-8' };

const read = (
  body: unknown,
  { status = 200, headers = json }: { status?: number; headers?: Record<string, string> } = {},
) =>
  readTokenResponse({
    status,
    headers: new Headers(headers),
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const kindOf = (outcome: TokenResult) => (outcome.ok ? 'token' : outcome.failure.kind);
const lifetimeOf = (outcome: TokenResult) => (outcome.ok ? outcome.granted.lifetime : outcome.failure);
const grant = (more: object = {}) => ({ access_token: 'abc.def-ghi', token_type: 'Bearer', expires_in: 3600, ...more });

describe('a granted token', () => {
  it('is read with its type, scope and life', () => {
    const outcome = read(grant({ scope: 'users audit', refresh_in: 1800 }));
    expect(outcome).toMatchObject({ ok: true, granted: { refreshInMs: 1800_000, lifetime: { lifetimeMs: 3600_000 } } });
    if (!outcome.ok) throw new Error('unreachable');
    const { accessToken } = outcome.granted;
    expect(accessToken.revealAuthorizationHeader()).toBe('Bearer abc.def-ghi');
    expect(accessToken.scope).toBe('users audit');
  });

  test.each(['Bearer', 'bearer', 'BEARER', 'bEaReR'])('is taken with token_type %s', (token_type) => {
    const outcome = read(grant({ token_type }));
    expect(outcome.ok && outcome.granted.accessToken.revealAuthorizationHeader()).toBe('Bearer abc.def-ghi');
  });

  test.each([201, 202, 203, 206, 226, 299])('is used with status %i', (status) => {
    expect(kindOf(read(grant(), { status }))).toBe('token');
  });

  test.each(['text/html', 'text/plain; charset=utf-8', 'application/jsonp', 'application/octet-stream', ''])(
    'is used whatever the media type says: %s',
    (type) => expect(kindOf(read(grant(), { headers: { 'content-type': type } }))).toBe('token'),
  );

  test.each([
    ['a number', 3600, 3600],
    ['a string', '3600', 3600],
    ['a fraction', 59.5, 59.5],
    ['a fraction as string', '59.5', 59.5],
    ['beyond 30 days', 1e12, 2_592_000],
    ['a string with blanks around it', ' 3600 ', 3600],
    ['a year as string', '31536000', 2_592_000],
  ])('lives as long as expires_in says: %s', (_name, expires_in, seconds) => {
    expect(lifetimeOf(read(grant({ expires_in })))).toEqual({
      lifetimeMs: seconds * 1000,
      source: 'expires_in',
    });
  });

  test.each([
    ['absent', undefined],
    ['null', null],
    ['empty', ''],
  ])('lives for 300 s where expires_in is %s', (_name, expires_in) => {
    expect(lifetimeOf(read(grant({ expires_in })))).toEqual({ lifetimeMs: 300_000, source: 'default' });
  });

  test.each([0, -1, '0', '-5', 'soon', '1e3', '0x10', '6 0', '60\n', '+60', true, [], {}, '9'.repeat(400)])(
    'is malformed where expires_in is %j',
    (expires_in) => expect(kindOf(read(grant({ expires_in })))).toBe('malformed'),
  );

  test('is malformed where expires_in is beyond all numbers', () => {
    expect(kindOf(read('{"access_token":"a","token_type":"bearer","expires_in":1e999}'))).toBe('malformed');
  });
});

describe('the life of a token that can be read', () => {
  const jwt = (claims: object) => new UnsecuredJWT({ ...claims }).encode();
  const life = (claims: object, body: object, headers: Record<string, string> = { ...json, date: DATE }) =>
    lifetimeOf(read(grant({ access_token: jwt(claims).replace(/\.$/, '.c2ln'), ...body }), { headers }));

  it('comes from exp and the Date header where expires_in is absent', () => {
    expect(life({ exp: NOW + 900 }, { expires_in: undefined })).toEqual({
      lifetimeMs: 900_000,
      source: 'jwt',
    });
  });

  it('comes from exp and iat where there is no Date header either', () => {
    expect(life({ exp: 5900, iat: 5000 }, { expires_in: undefined }, json)).toMatchObject({ lifetimeMs: 900_000 });
  });

  it('is shortened by exp: a server handed out a token from its cache with the life of a new one', () => {
    expect(life({ exp: NOW + 60 }, { expires_in: 3600 })).toEqual({
      lifetimeMs: 60_000,
      source: 'expires_in',
    });
  });

  it('is not lengthened by exp', () => {
    expect(life({ exp: NOW + 9999 }, { expires_in: 3600 })).toMatchObject({ lifetimeMs: 3600_000 });
  });

  test.each([{ exp: NOW - 5 }, { exp: 'tomorrow' }, { exp: null }, {}])('ignores the useless claims %j', (claims) => {
    expect(life(claims, { expires_in: 3600 })).toMatchObject({ lifetimeMs: 3600_000 });
  });
});

describe('an answer that is no token', () => {
  test.each<[string, unknown, string]>([
    ['no access_token', { token_type: 'Bearer' }, 'malformed'],
    ['access_token null', grant({ access_token: null }), 'malformed'],
    ['access_token a number', grant({ access_token: 42 }), 'malformed'],
    ['access_token an object', grant({ access_token: { a: 1 } }), 'malformed'],
    ['access_token empty', grant({ access_token: '' }), 'malformed'],
    ['access_token with a line break', grant({ access_token: 'a\r\nX-Evil: 1' }), 'malformed'],
    ['access_token with a blank', grant({ access_token: 'a b' }), 'malformed'],
    ['access_token beyond ASCII', grant({ access_token: 'tökén' }), 'malformed'],
    ['access_token too long', grant({ access_token: 'a'.repeat(MAX_ACCESS_TOKEN_LENGTH + 1) }), 'malformed'],
    ['two access_tokens', '{"access_token":"a","access_token":"b","token_type":"bearer"}', 'malformed'],
    [
      'an escaped second access_token',
      '{"access_token":"a","access\\u005ftoken":"b","token_type":"bearer"}',
      'malformed',
    ],
    ['an array', [grant()], 'malformed'],
    ['a string', '"token"', 'malformed'],
    ['null', 'null', 'malformed'],
    ['nothing', '', 'malformed'],
    ['half an object', '{"access_token":"a"', 'malformed'],
    ['nesting beyond reason', `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`, 'malformed'],
    ['token_type mac', grant({ token_type: 'mac' }), 'configuration'],
    ['token_type an array', grant({ token_type: ['Bearer'] }), 'configuration'],
    ['token_type of Object.prototype', grant({ token_type: 'constructor' }), 'configuration'],
    ['error beside a token', grant({ error: 'invalid_client' }), 'credential'],
    ['an unknown error beside a token', grant({ error: 'whatever' }), 'malformed'],
  ])('200 with %s', (_name, body, kind) => expect(kindOf(read(body))).toBe(kind));

  test.each([500, 503, 400, 302])('a token with status %i', (status) => {
    expect(kindOf(read(grant(), { status }))).not.toBe('token');
  });

  it('is decided without exception, whatever the body', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.jsonValue().map((value) => JSON.stringify({ access_token: value })),
        ),
        fc.integer({ min: 200, max: 599 }),
        (body, status) => {
          expect(['token', ...TOKEN_FAILURE_KINDS]).toContain(kindOf(read(body, { status })));
        },
      ),
    );
  });
});

describe('a refusal', () => {
  test.each<[number, object | string, string]>([
    [400, { error: 'invalid_client' }, 'credential'],
    [401, { error: 'invalid_client' }, 'credential'],
    [400, { error: 'access_denied' }, 'configuration'],
    [400, { error: 'unauthorized_client' }, 'credential'],
    [400, { error: 'invalid_grant' }, 'credential'],
    [200, { error: 'invalid_client' }, 'credential'],
    [500, { error: 'invalid_client' }, 'credential'],
    [401, { error: 'something' }, 'credential'],
    [400, { error: 'InvalidClient' }, 'credential'],
    [400, { error: 'INVALID_SCOPE' }, 'configuration'],
    [400, { error: { code: 'invalid_client', message: 'x' } }, 'credential'],
    [400, { error: { error: 'invalid_scope' } }, 'configuration'],
    [400, { errorCode: 'invalid_client', errorSummary: 'x' }, 'credential'],
    [400, { errorCode: 'temporarily_unavailable' }, 'transient'],
    [400, { error: null, error_code: 'invalid_grant' }, 'credential'],
    [200, { errorCode: 'invalid_client' }, 'credential'],
    [400, '{"error":"invalid_client"}', 'credential'],
    [400, 'error=invalid_client&error_description=no+such+client', 'credential'],
    [400, ' error=temporarily_unavailable\r\n', 'transient'],
    [503, { timestamp: 1, status: 503, error: 'Service Unavailable' }, 'transient'],
    [401, '<html>', 'blocked'],
    [400, { error: 'invalid_scope' }, 'configuration'],
    [400, { error: 'invalid_target' }, 'configuration'],
    [400, { error: 'invalid_request', error_description: 'unknown app x' }, 'configuration'],
    [400, { error: 'unsupported_grant_type' }, 'configuration'],
    [400, { error: '500' }, 'unexplained'],
    [200, { error: 'invalid_scope' }, 'configuration'],
    [400, '<html>', 'unexplained'],
    [301, '', 'configuration'],
    [307, '', 'configuration'],
    [404, '<html>', 'unexplained'],
    [405, '', 'unexplained'],
    [403, '<html>', 'blocked'],
    [403, { error: 'access_denied' }, 'configuration'],
    [403, { error: 'forbidden' }, 'blocked'],
    [403, { error: 'no_such_policy' }, 'unexplained'],
    [404, { error: 'not_found' }, 'unexplained'],
    [404, { error: 'no_route' }, 'unexplained'],
    [404, { error: 'invalid_scope' }, 'configuration'],
    [400, { error: 'no_such_error' }, 'configuration'],
    [408, '', 'transient'],
    [425, '', 'transient'],
    [429, '', 'transient'],
    [429, { error: 'too_many_requests' }, 'transient'],
    [500, '', 'transient'],
    [500, { error: 'invalid_scope' }, 'transient'],
    [502, '<html>', 'transient'],
    [503, { error: 'temporarily_unavailable' }, 'transient'],
    [400, { error: 'temporarily_unavailable' }, 'transient'],
    [400, { error: 'server_error' }, 'transient'],
    [400, { error: 'slow_down' }, 'transient'],
    [599, '', 'transient'],
    [204, '', 'malformed'],
  ])('HTTP %i with %j is a failure of kind %s', (status, body, kind) => {
    const headers = typeof body === 'string' ? { 'content-type': 'text/html' } : json;
    expect(kindOf(read(body, { status, headers }))).toBe(kind);
  });

  it('is of the credential where the identity provider is known to say it so', () => {
    const answer = { status: 400, headers: new Headers(json), body: JSON.stringify({ error: 'access_denied' }) };
    expect(kindOf(readTokenResponse(answer, { credentialErrors: ['access_denied'] }))).toBe('credential');
  });

  test.each<[string, object | string]>([
    ['the name of a status', { status: 404, error: 'Not Found', path: '/token' }],
    ['a number', { error: '404' }],
    ['a code that OAuth does not know, under another name', { errorCode: 'E0000007' }],
    ['a nested one that OAuth does not know', { error: { code: 404, status: 'NOT_FOUND' } }],
    ['an error twice', '{"error":"invalid_client","error":"invalid_scope"}'],
    ['an error twice in a form', 'error=invalid_client&error=invalid_scope'],
    ['a page with a form in it', '<a href="?error=invalid_client">error=invalid_client</a>'],
    ['a blank error', { error: ' ' }],
    ['an error of no characters', { error: '' }],
  ])('says nothing about the request where its body has %s', (_name, body) => {
    const outcome = read(body, { status: 404, headers: { 'content-type': 'text/plain' } });
    expect(outcome).toMatchObject({ failure: { detail: 'HTTP 404 without an OAuth error' } });
    expect(outcome).not.toHaveProperty('failure.oauthError');
  });

  test.each([
    ['7', 7000],
    ['0', 0],
    ['Tue, 01 Jan 2030 00:02:00 GMT', 120_000],
    ['Mon, 31 Dec 2029 23:00:00 GMT', 0],
    ['-5', undefined],
    ['5.5', undefined],
    ['soon', undefined],
    ['', undefined],
    ['99999999999999999999', undefined],
    ['2030-01-01', undefined],
  ])('has Retry-After %j read as %j ms', (value, ms) => {
    expect(retryAfterMs(new Headers({ 'retry-after': value, date: DATE }))).toBe(ms);
  });

  it('has no Retry-After date without a Date to measure it from', () => {
    expect(retryAfterMs(new Headers({ 'retry-after': DATE }))).toBeUndefined();
  });
});
