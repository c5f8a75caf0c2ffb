import { describe, expect, it, test } from '@jest/globals';
import { callReader, type TokenResponse } from './token-response-reader.js';
import { TOKEN_FAILURE_KINDS } from './token-result.js';

const RESPONSE = { status: 200, headers: new Headers({ 'x-name': 'value' }), body: '{"token":"abc"}' };

/** A reader that returns what the types do not allow, as an application in JavaScript may. */
const returning = (reading: unknown) => callReader((() => reading) as never, RESPONSE);

describe('a reader of token responses', () => {
  test.each([
    { body: '{"token":"abc"}', json: { token: 'abc' } },
    { body: '["abc"]', json: ['abc'] },
    { body: 'null', json: null },
    { body: '{"token":"abc","token":"def"}', json: undefined },
    { body: 'token=abc', json: undefined },
    { body: '', json: undefined },
  ])('receives the response with the body $body, and as JSON $json', ({ body, json }) => {
    const seen: TokenResponse[] = [];
    callReader((response) => void seen.push(response), { ...RESPONSE, status: 299, body });
    expect(seen.map(({ status, body, json }) => ({ status, body, json }))).toEqual([{ status: 299, body, json }]);
    expect(seen[0]?.headers.get('x-name')).toBe('value');
  });

  it('changes only its own copy of the headers', () => {
    callReader(({ headers }) => headers.set('x-name', 'changed') as undefined, RESPONSE);
    expect(RESPONSE.headers.get('x-name')).toBe('value');
  });

  it('may leave the response to the standard', () => {
    expect(returning(undefined)).toEqual({ type: 'none' });
  });

  test.each(TOKEN_FAILURE_KINDS.filter((kind) => kind !== 'certificate'))('may find a failure: %s', (kind) => {
    expect(returning(kind)).toEqual({ type: 'failure', kind });
  });

  it('may find a grant or an error, of which no other members count', () => {
    const grant = { access_token: 'abc', token_type: 'Bearer', expires_in: 60, scope: 'users', refresh_in: 30 };
    expect(returning({ ...grant, id_token: 'def' })).toEqual({ type: 'members', members: grant });
    expect(Object.keys((returning({ ...grant, id_token: 'def' }) as { members: object }).members)).not.toContain(
      'id_token',
    );
    const error = { error: 'invalid_client', error_description: 'unknown' };
    expect(returning({ ...error, error_uri: 'x' })).toEqual({ type: 'members', members: error });
    expect(returning({ access_token: null })).toEqual({ type: 'members', members: { access_token: null } });
    expect(returning({ access_token: 'abc', error: '' })).toEqual({
      type: 'members',
      members: { access_token: 'abc', error: '' },
    });
  });

  test.each([
    'certificate',
    'unknown',
    '',
    null,
    true,
    12,
    {},
    [],
    { token_type: 'Bearer', expires_in: 60 },
    { error_description: 'unknown' },
    Object.assign(() => 'transient', { access_token: 'abc' }),
  ])('cannot return %p', (reading) => {
    const problem = 'returned neither a grant nor an error nor a kind of failure';
    expect(returning(reading)).toEqual({ type: 'invalid', problem });
  });

  it('cannot return a promise, and a rejected one is handled', () => {
    const invalid = { type: 'invalid', problem: 'returned a promise' };
    expect(returning(Promise.resolve('transient'))).toEqual(invalid);
    const rejected = Promise.reject(new Error('of the reader'));
    const handlers: unknown[] = [];
    const handle = rejected.catch.bind(rejected);
    rejected.catch = ((onRejected: () => never) => {
      handlers.push(onRejected);
      return handle(onRejected);
    }) as never;
    expect(returning(rejected)).toEqual(invalid);
    expect(handlers).toEqual([expect.any(Function)]);
  });

  test.each([
    { thrown: new TypeError('with the token abc'), problem: 'threw a TypeError' },
    { thrown: new (class OwnError extends Error {})('with the token abc'), problem: 'threw a OwnError' },
    { thrown: 'with the token abc', problem: 'threw a string' },
    { thrown: undefined, problem: 'threw a undefined' },
  ])('that throws $thrown is reported without its error message', ({ thrown, problem }) => {
    const result = callReader(() => {
      throw thrown;
    }, RESPONSE);
    expect(result).toEqual({ type: 'invalid', problem });
  });
});
