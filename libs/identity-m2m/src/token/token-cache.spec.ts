import { describe, expect, it } from '@jest/globals';
import { EventStream } from '../foundation/event-stream.js';
import { ManualClock } from '../testing/manual-clock.js';
import { AccessToken } from './access-token.js';
import { RefreshedToken } from './refreshed-token.js';
import type { RetryBackoff } from './retry-policy.js';
import { SecondTries } from './single-flight.js';
import { TokenCache } from './token-cache.js';
import { tokenKey, type TokenParameters } from './token-parameters.js';
import type { Acquisition, TokenResult } from './token-result.js';

const ACQUIRE_TIMEOUT_MS = 100;

function setUp(max = 2) {
  const clock = new ManualClock();
  /** How the server answers: with a token, with a failure, or not at all. */
  const server: { state: 'up' | 'down' | 'silent' } = { state: 'up' };
  const attempts: string[] = [];
  const created: { readonly scope: unknown; readonly backoff: RetryBackoff | undefined }[] = [];
  const attempt = async ({ scope }: TokenParameters): Promise<TokenResult<Acquisition>> => {
    attempts.push(String(scope));
    if (server.state === 'silent') return new Promise(() => {});
    if (server.state === 'down') return { ok: false, failure: { kind: 'configuration', detail: 'a wrong scope' } };
    const accessToken = new AccessToken(`token-for-${String(scope)}`);
    const now = clock.now();
    return {
      ok: true,
      granted: { accessToken, lifetime: { lifetimeMs: 3600_000, source: 'expires_in' } },
      requestedAt: now,
      receivedAt: now,
      credential: 'one',
    };
  };
  const cache = new TokenCache(max, (parameters, backoff) => {
    created.push({ scope: parameters.scope, backoff });
    return new RefreshedToken(
      {
        attempt: () => attempt(parameters),
        policy: { skewMs: 30_000, outageBudgetMs: 300_000 },
        keepWarm: false,
        acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
        secondTries: new SecondTries(clock, 10_000),
        requestTimeoutMs: 10_000,
        unsafeExpiredTokenGraceMs: 0,
        context: { client: 'users', server: 'https://id.example.com/token' },
        requestedAccess: {},
        events: new EventStream(),
        clock,
        random: () => 0,
      },
      backoff,
    );
  });
  const overload = () => new Error('too many tokens');
  const add = (scope: string) => cache.add(tokenKey({ scope }), { scope }, overload);
  const find = (scope: TokenParameters['scope']) => cache.find(tokenKey({ scope }));
  const kept = (...scopes: string[]) => scopes.filter(find);
  return { clock, server, attempts, created, cache, add, find, kept };
}

describe('the tokens of a client', () => {
  it('are found by equal parameters, and by no others', () => {
    const { cache, add, find, created } = setUp();
    expect(find('a b')).toBeUndefined();
    const token = add('a b');
    expect(find(['b', 'a'])).toBe(token);
    expect(find('a')).toBeUndefined();
    expect(created).toEqual([{ scope: 'a b', backoff: undefined }]);
    expect([...cache.all()]).toEqual([token]);
  });

  it('are limited in number: the one that was used least recently is closed', async () => {
    const { add, kept } = setUp();
    const [a, b] = [add('a'), add('b')];
    expect(kept('a', 'b')).toEqual(['a', 'b']);
    const c = add('c');
    expect(kept('a', 'b', 'c')).toEqual(['b', 'c']);
    await expect(a.getToken()).rejects.toMatchObject({ reason: 'shut_down' });
    expect((await b.getToken()).reveal()).toBe('token-for-b');
    expect((await c.getToken()).reveal()).toBe('token-for-c');
  });

  it('are kept by their use', () => {
    const { add, find, kept } = setUp();
    const [a] = [add('a'), add('b')];
    expect(find('a')).toBe(a);
    add('c');
    expect(kept('a', 'b', 'c')).toEqual(['a', 'c']);
  });

  it('are listed from the least recently used one on', () => {
    const { cache, add, find } = setUp(3);
    const [a, b, c] = [add('a'), add('b'), add('c')];
    find('a');
    expect([...cache.all()].map((token) => [a, b, c].indexOf(token))).toEqual([1, 2, 0]);
  });

  it('are not evicted while they are fetched', async () => {
    const { clock, server, add, kept } = setUp();
    server.state = 'silent';
    const waiting = add('a').getToken();
    waiting.catch(() => {});
    add('b');
    await clock.advance(0);
    add('c');
    expect(kept('a', 'b', 'c')).toEqual(['a', 'c']);
  });

  it('are refused where all others are fetched', async () => {
    const { clock, server, add, kept } = setUp();
    server.state = 'silent';
    for (const scope of ['a', 'b'])
      add(scope)
        .getToken()
        .catch(() => {});
    await clock.advance(0);
    expect(() => add('c')).toThrow('too many tokens');
    expect(kept('a', 'b', 'c')).toEqual(['a', 'b']);
  });
});

describe('the back-off of an evicted token', () => {
  const setUpFailed = async () => {
    const parts = setUp(1);
    parts.server.state = 'down';
    const token = parts.add('a');
    await expect(token.getToken()).rejects.toThrow('a wrong scope');
    expect(parts.attempts).toEqual(['a']);
    return { ...parts, token };
  };

  it('is that of the next one for the same parameters', async () => {
    const { server, attempts, created, add, token } = await setUpFailed();
    add('b');
    server.state = 'up';
    const next = add('a');
    expect(created.map(({ backoff }) => backoff)).toEqual([undefined, undefined, token.backoff]);
    await expect(next.getToken()).rejects.toThrow('a wrong scope');
    expect(attempts).toEqual(['a']);
  });

  it('is kept only until there is a next one', async () => {
    const { server, created, add, clock } = await setUpFailed();
    add('b');
    server.state = 'up';
    const next = add('a');
    await clock.advance(60_000);
    await next.getToken();
    add('b');
    add('a');
    expect(created.map(({ backoff }) => backoff === undefined)).toEqual([true, true, false, true, true]);
  });

  it('is not kept where the last attempt did not fail', async () => {
    const { add, created } = setUp(1);
    await add('a').getToken();
    add('b');
    add('a');
    expect(created.map(({ backoff }) => backoff)).toEqual([undefined, undefined, undefined]);
  });

  it('ends when the client retries now', async () => {
    const { server, attempts, cache, add } = await setUpFailed();
    add('b');
    server.state = 'up';
    cache.retryNow();
    expect((await add('a').getToken()).reveal()).toBe('token-for-a');
    expect(attempts).toEqual(['a', 'a']);
  });

  it('ends with that of the tokens in use when the client retries now', async () => {
    const { server, cache, token } = await setUpFailed();
    server.state = 'up';
    await expect(token.getToken()).rejects.toThrow('a wrong scope');
    cache.retryNow();
    expect((await token.getToken()).reveal()).toBe('token-for-a');
  });

  it('is kept of the last 1000 tokens', async () => {
    const { add, created } = await setUpFailed();
    for (let index = 0; index < 1000; index++) {
      await add(`scope-${index}`)
        .getToken()
        .catch(() => {});
    }
    add('last');
    created.length = 0;
    for (const scope of ['a', 'scope-0', 'scope-999']) add(scope);
    expect(created.map(({ backoff }) => backoff !== undefined)).toEqual([false, true, true]);
  });
});
