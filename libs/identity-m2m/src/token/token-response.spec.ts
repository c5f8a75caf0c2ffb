import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { UnsecuredJWT } from 'jose';
import { retryAfterMs } from '../foundation/http-dates.js';
import { MAX_ACCESS_TOKEN_LENGTH } from './access-token.js';
import { accessTokenLifetime } from './access-token-lifetime.js';
import { normalizedCode } from './oauth-error.js';
import type { TokenResponseReader } from './token-response-reader.js';
import { readTokenResponse, type TokenResponseOptions } from './token-response.js';
import { TOKEN_FAILURE_KINDS, type TokenResult } from './token-result.js';

const DATE = 'Tue, 01 Jan 2030 00:00:00 GMT';
const NOW = Date.parse(DATE) / 1000;
const json = { 'content-type': 'application/json;charset=utf-8' };

const read = (
  body: unknown,
  { status = 200, headers = json }: { status?: number; headers?: Record<string, string> } = {},
  options?: TokenResponseOptions,
) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return readTokenResponse({ status, headers: new Headers(headers), body: text }, options);
};
const kindOf = (outcome: TokenResult) => (outcome.ok ? 'token' : outcome.failure.kind);
const failureOf = (outcome: TokenResult) => (outcome.ok ? undefined : outcome.failure);
const detailOf = (outcome: TokenResult) => failureOf(outcome)?.detail;
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

  test.each(['Bearer', 'bearer', 'BEARER', 'bEaReR', ' bearer\t'])('is taken with token_type %s', (token_type) => {
    const outcome = read(grant({ token_type }));
    expect(outcome.ok && outcome.granted.accessToken.revealAuthorizationHeader()).toBe('Bearer abc.def-ghi');
  });

  it('is bound to a key with token_type DPoP, whatever its case', () => {
    for (const token_type of ['DPoP', 'dpop', ' DPOP ']) {
      const outcome = read(grant({ token_type }));
      expect(outcome.ok && outcome.granted.accessToken.revealAuthorizationHeader()).toBe('DPoP abc.def-ghi');
    }
  });

  test.each([
    { token_type: undefined, warnings: ['token_type_missing'] },
    { token_type: null, warnings: ['token_type_missing'] },
    { token_type: '', warnings: ['token_type_missing'] },
    { token_type: ' ', warnings: ['token_type_missing'] },
    { token_type: 'Bearer', warnings: [] },
    { token_type: 'DPoP', warnings: [] },
  ])('with token_type $token_type is used, with the warnings $warnings', ({ token_type, warnings }) => {
    const seen: string[] = [];
    const emitWarning = (code: string, message: string) => {
      seen.push(code);
      expect(message).toBe('its grants have no token_type, which RFC 6749 §5.1 requires; they are used as Bearer');
    };
    const outcome = read(grant({ token_type }), {}, { emitWarning });
    expect(outcome.ok && outcome.granted.accessToken.tokenType).toBe(token_type === 'DPoP' ? 'DPoP' : 'Bearer');
    expect(seen).toEqual(warnings);
  });

  test.each([
    ['one name', 'users', 'users'],
    ['a string', 'users audit', 'users audit'],
    ['a string with several blanks', '  users   audit ', 'users audit'],
    ['a list', ['users', 'audit'], 'users audit'],
    ['a list with a string of several', ['users audit', 'x'], 'users audit x'],
    ['absent', undefined, undefined],
    ['null', null, undefined],
    ['empty', '', undefined],
    ['blank', ' ', undefined],
    ['an empty list', [], undefined],
    ['a number', 42, undefined],
    ['a list with a number', ['users', 42], undefined],
    ['a string with a quotation mark', 'users "audit"', undefined],
    ['a string with a line break', 'users\naudit', undefined],
  ])('has the scope where it is %s', (_name, scope, expected) => {
    const outcome = read(grant({ scope }));
    expect(outcome.ok).toBe(true);
    expect(outcome.ok && outcome.granted.accessToken.scope).toBe(expected);
  });

  test.each([
    [1800, 1800_000],
    ['1800', 1800_000],
    [0.5, 500],
    [0, undefined],
    [-1, undefined],
    ['soon', undefined],
    [null, undefined],
    [undefined, undefined],
  ])('with refresh_in %j is refreshed after %j ms', (refresh_in, refreshInMs) => {
    const outcome = read(grant({ refresh_in }));
    expect(outcome.ok).toBe(true);
    expect(outcome.ok && outcome.granted.refreshInMs).toBe(refreshInMs);
  });

  test.each([null, false, 0, '', ' ', {}, []])('is used beside an empty error: %j', (error) => {
    expect(kindOf(read(grant({ error })))).toBe('token');
  });

  it('is used beside an error of other names, which gateways use as well', () => {
    expect(kindOf(read(grant({ errorCode: 'invalid_client' })))).toBe('token');
  });

  test.each([201, 202, 203, 206, 226, 299])('is used with status %i', (status) => {
    expect(kindOf(read(grant(), { status }))).toBe('token');
  });

  test.each(['text/html', 'text/plain; charset=utf-8', 'application/jsonp', 'application/octet-stream', ''])(
    'is used whatever the media type: %s',
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
    ['a second less than 30 days', 2_591_999, 2_591_999],
    ['a second more than 30 days', 2_592_001, 2_592_000],
    ['a string with several blanks', '  60  ', 60],
    ['a string of 15 digits', '9'.repeat(15), 2_592_000],
    ['a string with 9 decimals', '1.500000000', 1.5],
    ['half a second', 0.5, 0.5],
    ['half a second as string', '0.5', 0.5],
  ])('lives as long as expires_in: %s', (_name, expires_in, seconds) => {
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

  test.each(['9'.repeat(16), '1.0000000000', '60.', '.5', '60s', 's60', '6.5.5', ' ', '1_000', '1,5'])(
    'is malformed where expires_in is the string %j',
    (expires_in) => {
      expect(failureOf(read(grant({ expires_in })))).toMatchObject({
        kind: 'malformed',
        detail: 'expires_in is not a positive number of seconds',
      });
    },
  );

  test.each([{ expires_in: [60] }, { expires_in: ['60'] }])('is malformed with a list of one number: %j', (more) => {
    expect(kindOf(read(grant(more)))).toBe('malformed');
  });

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

  it('is shortened by exp: a server issued a token from its cache with the life of a new one', () => {
    expect(life({ exp: NOW + 60 }, { expires_in: 3600 })).toEqual({
      lifetimeMs: 60_000,
      source: 'expires_in',
    });
  });

  it('is not lengthened by exp', () => {
    expect(life({ exp: NOW + 9999 }, { expires_in: 3600 })).toMatchObject({ lifetimeMs: 3600_000 });
  });

  test.each([
    // Seconds after the time of the Date header.
    { exp: 900, iat: 300, seconds: 600 },
    { exp: 900, iat: -300, seconds: 900 },
    { exp: 0.5, iat: 0, seconds: 0.5 },
    { exp: 2_592_001, iat: 0, seconds: 2_592_000 },
  ])('is $seconds s of exp $exp and iat $iat', ({ exp, iat, seconds }) => {
    expect(life({ exp: NOW + exp, iat: NOW + iat }, { expires_in: undefined })).toEqual({
      lifetimeMs: seconds * 1000,
      source: 'jwt',
    });
  });

  it('is that of expires_in where the token is over by the server’s clock', () => {
    expect(life({ exp: NOW }, { expires_in: 3600 })).toMatchObject({ lifetimeMs: 3600_000 });
    expect(life({ exp: NOW, iat: NOW }, { expires_in: undefined })).toEqual({ lifetimeMs: 300_000, source: 'default' });
  });

  test.each([
    ['neither iat nor a Date header', {}],
    ['an iat that is no number, and no Date header', { iat: '5000' }],
  ])('is unknown with %s', (_name, claims) => {
    const lifetime = life({ exp: 5900, ...claims }, { expires_in: undefined }, json);
    expect(lifetime).toEqual({ lifetimeMs: 300_000, source: 'default' });
  });

  it('is the shorter of expires_in and exp', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 10_000 }), (expiresIn, left) => {
        const evidence = { expiresIn, jwt: { exp: NOW + left }, serverTimeMs: NOW * 1000 };
        const lifetimeMs = 1000 * (expiresIn < left ? expiresIn : left);
        expect(accessTokenLifetime(evidence)).toEqual({ lifetimeMs, source: 'expires_in' });
        expect(accessTokenLifetime({ ...evidence, expiresIn: null })).toEqual({
          lifetimeMs: left * 1000,
          source: 'jwt',
        });
      }),
    );
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

  test.each<[string, unknown, string, Record<string, string>?]>([
    ['no access_token', {}, 'the response has no access_token'],
    ['access_token a number', { access_token: 42 }, 'the response has no access_token'],
    [
      'access_token with a blank',
      grant({ access_token: 'a b' }),
      'access_token has invalid characters or an invalid length',
    ],
    [
      'a page',
      '<html>',
      'the response is not a JSON object that can be accepted (not_json; HTTP 200, content type text/html)',
      { 'content-type': 'text/html ; charset=utf-8' },
    ],
    [
      'a list without a content type',
      [],
      'the response is not a JSON object that can be accepted (not_an_object; HTTP 200, content type none)',
      {},
    ],
    [
      'a list with an empty content type',
      [],
      'the response is not a JSON object that can be accepted (not_an_object; HTTP 200, content type none)',
      { 'content-type': '' },
    ],
    [
      'a list with parameters alone as its content type',
      [],
      'the response is not a JSON object that can be accepted (not_an_object; HTTP 200, content type none)',
      { 'content-type': ' ; charset=utf-8' },
    ],
    ['token_type mac', grant({ token_type: 'mac' }), 'token_type is neither Bearer nor DPoP (found "mac")'],
    ['token_type a list', grant({ token_type: [] }), 'token_type is neither Bearer nor DPoP (found of type array)'],
    ['token_type a number', grant({ token_type: 1 }), 'token_type is neither Bearer nor DPoP (found of type number)'],
    ['an error beside a token', grant({ error: 'whatever', error_description: 'no' }), 'whatever: no'],
    ['an error instead of a token', { access_token: null, error: 'invalid_client' }, 'invalid_client'],
    [
      'a list of errors beside a token',
      grant({ error: ['x'] }),
      'unknown error: the member error has an unknown format',
    ],
    ['error 1 beside a token', grant({ error: 1 }), 'unknown error: the member error has an unknown format'],
    ['error true beside a token', grant({ error: true }), 'unknown error: the member error has an unknown format'],
    ['an error with a code beside a token', grant({ error: { code: 'E1', message: 'no' } }), 'E1: no'],
    ['an error with a message beside a token', grant({ error: { message: 'no' } }), 'unknown error: no'],
    [
      'an error with two messages beside a token',
      grant({ error: { code: 'E1', message: 'no' }, error_description: 'never' }),
      'E1: never',
    ],
  ])('is explained: %s', (_name, body, detail, headers = json) => {
    expect(detailOf(read(body, { headers }))).toBe(detail);
  });

  it('has advice for another token_type', () => {
    expect(failureOf(read(grant({ token_type: 'mac' })))?.advice).toMatch(/readTokenResponse/);
  });

  it('comes with the time of the server’s clock, if the server sends it', () => {
    const withDate = { headers: { ...json, date: DATE } };
    expect(failureOf(read({}, withDate))?.serverTimeMs).toBe(NOW * 1000);
    expect(failureOf(read({}, { ...withDate, status: 500 }))?.serverTimeMs).toBe(NOW * 1000);
    expect(failureOf(read({}))?.serverTimeMs).toBeUndefined();
  });

  test.each([199, 300, 399, 500, 503, 400, 302])('a token with status %i', (status) => {
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
    [499, '', 'unexplained'],
    [402, '', 'unexplained'],
    [407, '', 'unexplained'],
    [409, '', 'unexplained'],
    [424, '', 'unexplained'],
    [426, '', 'unexplained'],
    [428, '', 'unexplained'],
    [430, '', 'unexplained'],
    [299, '', 'malformed'],
    [300, '', 'configuration'],
    [399, '', 'configuration'],
    [400, '', 'unexplained'],
    [199, '', 'unexplained'],
    [302, { error: 'no_such_error' }, 'configuration'],
    [402, { error: 'no_such_error' }, 'unexplained'],
    [200, { error: 'no_such_error' }, 'malformed'],
    [299, { error: 'no_such_error' }, 'malformed'],
    [199, { error: 'no_such_error' }, 'configuration'],
    [401, { error: 'slow_down' }, 'transient'],
    [401, { error: 'invalid_scope' }, 'credential'],
    [429, { error: 'invalid_client' }, 'credential'],
    [401, { error: 'unauthorized', error_description: 'Bad credentials' }, 'credential'],
    [401, { error: 'unauthorized' }, 'blocked'],
    [401, { error: 'unauthorized', error_description: ' ' }, 'blocked'],
    [403, { error: 'forbidden', error_description: 'Bad credentials' }, 'blocked'],
    [404, { error: 'not-found' }, 'unexplained'],
    [400, { error: '500x' }, 'configuration'],
    [400, { error: 'x500' }, 'configuration'],
    [400, { error: 'I’m a Teapot' }, 'unexplained'],
  ])('HTTP %i with %j is a failure of kind %s', (status, body, kind) => {
    const headers = typeof body === 'string' ? { 'content-type': 'text/html' } : json;
    expect(kindOf(read(body, { status, headers }))).toBe(kind);
  });

  test.each([
    // With 404, which an unknown error leaves unexplained, and under a name that counts only with a known error.
    ['invalid_client', 'credential'],
    ['unauthorized_client', 'credential'],
    ['invalid_grant', 'credential'],
    ['access_denied', 'configuration'],
    ['invalid_request', 'configuration'],
    ['invalid_scope', 'configuration'],
    ['invalid_target', 'configuration'],
    ['unsupported_grant_type', 'configuration'],
    ['invalid_dpop_proof', 'configuration'],
    ['use_dpop_nonce', 'configuration'],
    ['temporarily_unavailable', 'transient'],
    ['server_error', 'transient'],
    ['slow_down', 'transient'],
    ['invalid_client_id', 'credential'],
    ['bad_client_secret', 'credential'],
    ['client_secret', 'credential'],
    ['client_secret_expired', 'credential'],
    ['incorrect_client_credentials', 'credential'],
    ['client_credential_expired', 'credential'],
    ['clientid_unknown', 'credential'],
    ['bad_clientsecret', 'credential'],
  ])('with the error %s is of kind %s', (code, kind) => {
    expect(kindOf(read({ error: code }, { status: 404 }))).toBe(kind);
    expect(failureOf(read({ errorCode: code }, { status: 404 }))).toMatchObject({ kind, oauthError: code });
  });

  test.each([
    'client_identifier',
    'client_secrets',
    'myclient_id',
    'client_ids',
    'client',
    'id',
    'secret',
    'client__id',
  ])('with the error %s is of no known kind', (code) => {
    expect(kindOf(read({ error: code }, { status: 404 }))).toBe('unexplained');
    expect(detailOf(read({ errorCode: code }, { status: 404 }))).toBe('HTTP 404 without an OAuth error');
  });

  test.each<[object | string, string]>([
    [{ error: 'invalid_client' }, 'invalid_client'],
    [{ error: 'invalid_client', error_description: 'gone' }, 'invalid_client: gone'],
    [{ error: 'invalid_client', error_description: ' ' }, 'invalid_client'],
    [{ error: 'invalid_client', error_description: 42 }, 'invalid_client'],
    [{ error: { code: 'invalid_client' } }, 'invalid_client'],
    [{ error: { code: 'invalid_client', message: 'gone' } }, 'invalid_client: gone'],
    [{ error: { code: 'invalid_client', description: 'gone' } }, 'invalid_client: gone'],
    [{ error: { code: 'invalid_client', message: 'gone', description: 'x' } }, 'invalid_client: gone'],
    [{ error: { code: 'invalid_client', message: 42, description: 'gone' } }, 'invalid_client: gone'],
    [{ error: { code: 'invalid_client', message: ' ' }, message: 'gone' }, 'invalid_client: gone'],
    [{ errors: null }, 'HTTP 400 without an OAuth error'],
    [{ errors: [null] }, 'HTTP 400 without an OAuth error'],
    [{ error: { code: 'invalid_client', message: 'x' }, error_description: 'gone' }, 'invalid_client: gone'],
    [{ error: { error: 'invalid_client' } }, 'invalid_client'],
    [{ error: { type: 'invalid_client' } }, 'invalid_client'],
    [{ error: { code: 400, type: 'invalid_client' } }, 'invalid_client'],
    [{ error: { code: 'E1', type: 'invalid_client' } }, 'invalid_client'],
    [{ errors: [{ code: 'invalid_client', message: 'gone' }] }, 'invalid_client: gone'],
    [{ errors: { code: 'invalid_client', message: 'gone' } }, 'invalid_client: gone'],
    [{ errors: [{ code: 'E1' }, { code: 'invalid_client' }] }, 'HTTP 400 without an OAuth error'],
    [{ errors: ['invalid_client'] }, 'HTTP 400 without an OAuth error'],
    [{ error: {}, errors: [{ code: 'invalid_client' }] }, 'HTTP 400 without an OAuth error'],
    [{ errorCode: 'invalid_client', errorSummary: 'gone' }, 'invalid_client: gone'],
    [{ ErrorCode: 'invalid_client', ErrorMessage: 'gone' }, 'invalid_client: gone'],
    [{ error_code: 'invalid_client', error_message: 'gone' }, 'invalid_client: gone'],
    [{ CODE: 'invalid_client', message: 'gone' }, 'invalid_client: gone'],
    [{ ErrorCode: 'invalid_client', Error: 'gone' }, 'invalid_client: gone'],
    [{ ErrorCode: 'InvalidClient', Error: 'gone' }, 'InvalidClient: gone'],
    ['error=invalid_client&error_description=no+such', 'invalid_client: no such'],
    ['\n error=invalid_client \n', 'invalid_client'],
    ['a.b-c=1&error=invalid_client', 'invalid_client'],
    ['trace=&error=invalid_client', 'invalid_client'],
    ['error=invalid_client and more', 'HTTP 400 without an OAuth error'],
    ['see error=invalid_client', 'HTTP 400 without an OAuth error'],
    ['=1&error=invalid_client', 'HTTP 400 without an OAuth error'],
    ['error=invalid_client&error_description="x"', 'HTTP 400 without an OAuth error'],
  ])('in the body %j is reported as %j', (body, detail) => {
    expect(detailOf(read(body, { status: 400 }))).toBe(detail);
  });

  test.each([
    ['invalid_client', 'invalid_client'],
    ['InvalidClient', 'invalid_client'],
    ['INVALID_CLIENT', 'invalid_client'],
    ['invalid-client', 'invalid_client'],
    ['Invalid client', 'invalid_client'],
    ['invalid - client  id', 'invalid_client_id'],
    ['E2Error', 'e2_error'],
    ['InvalidClientId', 'invalid_client_id'],
  ])('has the code %j, normalized to %s', (code, normalized) => expect(normalizedCode(code)).toBe(normalized));

  test.each([
    [400, { error: 'invalid_client' }],
    [503, { error: 'temporarily_unavailable' }],
    [503, ''],
    [403, ''],
    [404, ''],
  ])('keeps the Retry-After of HTTP %i with %j', (status, body) => {
    const headers = { ...json, 'retry-after': '7' };
    expect(failureOf(read(body, { status, headers }))?.retryAfterMs).toBe(7000);
    expect(failureOf(read(body, { status }))?.retryAfterMs).toBeUndefined();
  });

  test.each([
    [302, 'HTTP 302: a redirect, which a request with a credential does not follow'],
    [403, 'HTTP 403 without an OAuth error'],
    [404, 'HTTP 404 without an OAuth error'],
    [503, 'HTTP 503 without an OAuth error'],
  ])('of HTTP %i alone is explained: %s', (status, detail) => {
    expect(detailOf(read('', { status }))).toBe(detail);
  });

  it('is of the credential where the identity provider is known to use that code', () => {
    const answer = { status: 400, headers: new Headers(json), body: JSON.stringify({ error: 'access_denied' }) };
    expect(kindOf(readTokenResponse(answer, { credentialErrors: ['access_denied'] }))).toBe('credential');
  });

  it('of the identity provider’s own code is read under any name', () => {
    const options = { credentialErrors: ['wrong_app'] };
    expect(failureOf(read({ errorCode: 'wrong_app' }, { status: 400 }, options))).toMatchObject({
      kind: 'credential',
      oauthError: 'wrong_app',
    });
    expect(kindOf(read({ errorCode: 'wrong_app' }, { status: 200 }, options))).toBe('credential');
    expect(kindOf(read({ errorCode: 'other_app' }, { status: 400 }, options))).toBe('unexplained');
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
  ])('does not count as an OAuth error where its body has %s', (_name, body) => {
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

describe('an answer that a reader reads', () => {
  const reads = (...readings: unknown[]): readonly TokenResponseReader[] =>
    readings.map((reading) => () => reading as ReturnType<TokenResponseReader>);

  it('has the meaning that the first reader with a result gives it', () => {
    const readers = reads(undefined, grant({ access_token: 'first' }), grant({ access_token: 'second' }));
    const outcome = read('nothing', { status: 500 }, { readers });
    expect(outcome.ok && outcome.granted.accessToken.reveal()).toBe('first');
  });

  it('is read by the standards where no reader has a result', () => {
    expect(kindOf(read(grant(), {}, { readers: reads(undefined, undefined) }))).toBe('token');
    expect(kindOf(read(grant(), {}, { readers: [] }))).toBe('token');
  });

  it('must hold a token as the standards require it', () => {
    const members = (more: object) => kindOf(read(grant(), {}, { readers: reads(grant(more)) }));
    expect(members({ access_token: 'a b' })).toBe('malformed');
    expect(members({ access_token: 42 })).toBe('malformed');
    expect(members({ error: 'invalid_client' })).toBe('credential');
    expect(detailOf(read(grant(), {}, { readers: reads({ access_token: 42 }) }))).toBe(
      'the response has no access_token',
    );
  });

  it('is a failure of the reader’s kind, with what the standards find', () => {
    const readers = reads('transient');
    const headers = { ...json, date: DATE, 'retry-after': '7' };
    const body = { error: 'invalid_client', error_description: 'gone' };
    expect(failureOf(read(body, { status: 400, headers }, { readers }))).toEqual({
      kind: 'transient',
      detail: 'invalid_client: gone',
      oauthError: 'invalid_client',
      retryAfterMs: 7000,
      serverTimeMs: NOW * 1000,
    });
    expect(
      detailOf(read({ errorCode: 'wrong_app' }, { status: 400 }, { readers, credentialErrors: ['wrong_app'] })),
    ).toBe('wrong_app');
  });

  it('is a failure of the reader’s kind without the advice for another, and without a warning', () => {
    const warnings: string[] = [];
    const options = { readers: reads('transient'), emitWarning: (code: string) => void warnings.push(code) };
    const failure = failureOf(read(grant({ token_type: 'mac' }), {}, options));
    expect(failure).toMatchObject({ kind: 'transient', detail: expect.stringContaining('token_type') });
    expect(failure?.advice).toBeUndefined();
    expect(failureOf(read(grant({ token_type: undefined }), {}, options))).toMatchObject({
      kind: 'transient',
      detail: 'readTokenResponse classified HTTP 200 as a failure',
    });
    expect(warnings).toEqual([]);
  });

  it('is left to the next reader where one fails, which is reported', () => {
    const problems: string[] = [];
    const fails = () => {
      throw new RangeError('no');
    };
    const readers = [fails, ...reads('nonsense', 'malformed')];
    const emitOptionFailure = (...failure: [string, string]) => void problems.push(failure.join(': '));
    const outcome = read(grant(), {}, { readers, emitOptionFailure });
    expect(kindOf(outcome)).toBe('malformed');
    expect(problems).toEqual([
      'readTokenResponse: threw a RangeError',
      'readTokenResponse: returned neither a grant nor an error nor a kind of failure',
    ]);
    expect(kindOf(read(grant(), {}, { readers: [fails] }))).toBe('token');
  });
});
