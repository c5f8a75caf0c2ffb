import { describe, expect, it, test } from '@jest/globals';
import type { Dispatcher } from 'undici';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { bearerInterceptor, type BearerInterceptorOptions } from './bearer-interceptor.js';

const API = 'https://api.example';

/** A dispatcher that only remembers what it is given. */
function setUp(options: BearerInterceptorOptions = {}, allowedOrigins: string[] = [API], poolOrigin?: unknown) {
  const provider = new FixedTokenProvider('a-token', { allowedOrigins });
  const dispatched: Dispatcher.DispatchOptions[] = [];
  const handlers: Dispatcher.DispatchHandler[] = [];
  const inner: Dispatcher.Dispatch = (options, handler) => {
    dispatched.push(options);
    handlers.push(handler);
    return false;
  };
  const compose: (dispatch: Dispatcher.Dispatch, poolOrigin?: unknown) => Dispatcher.Dispatch = bearerInterceptor(
    provider,
    options,
  );
  const dispatch = compose(inner, poolOrigin);
  const errors: (Error & { code?: string })[] = [];
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseError: (_controller, error) => void errors.push(error),
  };
  /** Dispatches a call, and tells what became of it. */
  const call = (options: Partial<Dispatcher.DispatchOptions>) => {
    const given: Dispatcher.DispatchOptions = { path: '/', method: 'GET', ...options };
    const result = dispatch(given, handler);
    const error = errors.pop();
    if (error) return { error, result };
    const sent = dispatched.at(-1)!;
    const { authorization } = (sent.headers ?? {}) as Record<string, string>;
    return { authorization, sent, given, result, isOwnHandler: handlers.at(-1) === handler };
  };
  return { call, provider };
}

const TOKEN = 'Bearer a-token';

describe('a call by undici', () => {
  test.each<[string, Partial<Dispatcher.DispatchOptions>, boolean]>([
    ['an allowed origin', { origin: API }, true],
    ['it with a slash', { origin: `${API}/` }, true],
    ['it as a URL', { origin: new URL(API) }, true],
    ['another origin', { origin: 'https://other.example' }, false],
    ['a host of its own', { origin: API, headers: { host: 'other.example' } }, false],
    ['CONNECT', { origin: API, method: 'CONNECT' }, false],
    ['a path that is a URL', { origin: API, path: `${API}/` }, false],
    ['a path without a slash', { origin: API, path: 'users' }, false],
    ['an empty path', { origin: API, path: '' }, false],
    ['a path that is none', { origin: API, path: undefined }, false],
    ['any path, if the whole origin is allowed', { origin: API, path: '/a/../b\\%2e' }, true],
    ['an authorization of its own', { origin: API, headers: { Authorization: 'Basic eA==' } }, false],
  ])('carries the token, or is passed on unchanged: %s', (_name, options, carries) => {
    const { authorization, sent, given, isOwnHandler, result } = setUp().call(options);
    expect(authorization === TOKEN).toBe(carries);
    expect([sent === given, isOwnHandler, result]).toEqual([!carries, !carries, false]);
  });

  test.each<[string, boolean]>([
    ['/v2/users', true],
    ['/v2/users.json', true],
    ['/v2/a%2fb', false],
    ['/v2/../admin', false],
    ['/v2/./users', false],
    ['/v2/.hidden', false],
    ['/v2/a\\b', false],
    ['/v2/%2e%2e/admin', false],
    ['/v2/%2E%2E/admin', false],
    ['/v2/x?a=/../b', false],
    ['/other', false],
  ])('carries the token on a path that leaves no doubt, if only a path is allowed: %s', (path, carries) => {
    const { call } = setUp({}, [`${API}/v2`]);
    expect(call({ origin: API, path }).authorization === TOKEN).toBe(carries);
  });

  it('is a copy of the caller’s, and no redirect interceptor behind follows it', () => {
    const given = Object.freeze({ origin: API, headers: Object.freeze({ 'x-a': '1' }), body: 'x' });
    const { sent } = setUp().call({ ...given, method: 'POST' });
    expect(sent).toEqual({
      ...given,
      method: 'POST',
      path: '/',
      headers: { 'x-a': '1', authorization: TOKEN },
      maxRedirections: 0,
    });
  });

  it('carries the token of its options', () => {
    const { provider, call } = setUp({ token: { scope: 'a' } });
    const wanted: unknown[] = [];
    const peek = provider.peek.bind(provider);
    Object.assign(provider, { peek: (options: unknown) => (wanted.push(options), peek()) });
    call({ origin: API });
    expect(wanted).toEqual([{ scope: 'a' }]);
  });

  it('fails if its token cannot be looked up, and its dispatcher needs no pause', () => {
    const { provider, call } = setUp();
    const failed = new Error('not configured');
    Object.assign(provider, {
      peek: () => {
        throw failed;
      },
    });
    expect(call({ origin: API })).toEqual({ error: failed, result: true });
  });

  test.each<[string, string, RegExp]>([
    ['no scheme', 'api.example', /its origin "api\.example" is not an absolute URL\. Write it with its scheme/],
    ['another scheme', 'htp://api.example', /its origin begins with "htp:"/],
    ['nothing', '', /its origin is empty\. Write it with its scheme/],
  ])('fails if its origin has %s', (_name, origin, message) => {
    const { error, result } = setUp().call({ origin });
    expect([error?.code, result]).toEqual(['M2M_CALL_ADDRESS_INVALID', true]);
    expect(error?.message).toMatch(message);
  });
});

describe('the origin of a Client or Pool', () => {
  it('must be known for calls that name none', () => {
    const { error, result } = setUp().call({});
    expect([error?.code, result]).toEqual(['M2M_CONFIGURATION_INVALID', true]);
    expect(error?.message).toMatch(/origin of the Client or Pool/);
  });

  test.each<[string, BearerInterceptorOptions, unknown]>([
    ['in the options', { origin: API }, undefined],
    ['in the options, with a path', { origin: `${API}/v2?a` }, undefined],
    ['in the options, as a URL', { origin: new URL(API) }, undefined],
    ['from undici 8', {}, API],
    ['in the options rather than from undici 8', { origin: API }, 'https://other.example'],
  ])('is that of every call: %s', (_name, options, poolOrigin) => {
    const { call } = setUp(options, [API], poolOrigin);
    expect(call({}).authorization).toBe(TOKEN);
    expect(call({ origin: API }).authorization).toBe(TOKEN);
    expect(call({ origin: new URL(API) }).authorization).toBe(TOKEN);
    // It would go to the pool's origin all the same.
    expect(call({ origin: 'https://other.example' }).authorization).toBeUndefined();
    expect(call({ origin: 'no URL' }).authorization).toBeUndefined();
  });

  it('is not allowed just because a call names another one', () => {
    const { call } = setUp({ origin: 'https://other.example' });
    expect(call({ origin: API }).authorization).toBeUndefined();
    expect(call({}).authorization).toBeUndefined();
  });

  it('is ignored if it is not a string', () => {
    const { call } = setUp({}, [API], new URL('https://other.example'));
    expect(call({ origin: API }).authorization).toBe(TOKEN);
  });

  test.each(['api.example', 'ftp://api.example', '', 'https://a b'])('must be an http or https URL: "%s"', (origin) => {
    const provider = new FixedTokenProvider('a-token');
    expect(() => bearerInterceptor(provider, { origin })).toThrow(/origin: expected the origin of the Client or Pool/);
    for (const valid of ['http://api.example', 'https://api.example']) bearerInterceptor(provider, { origin: valid });
  });
});
