import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, test } from '@jest/globals';
import { systemClock } from '../../foundation/clock.js';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { AccessToken, AUTHORIZATION_HEADER, TokenHeader } from '../../token/access-token.js';
import { TokenNotBearerError } from '../../token/token-errors.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import type { TokenRejection } from '../../token/token-rejection.js';
import { carrierOf } from '../token-carrier.js';
import { authorizationFor, bearerFetch, type BearerFetchOptions } from './bearer-fetch.js';

const API = 'https://api.example';
const OTHER = 'https://other.example';

const settled = () => new Promise(setImmediate);

type Fetch = NonNullable<BearerFetchOptions['fetch']>;

/** Renews its token when the test says so, or at once. */
class TestProvider extends FixedTokenProvider {
  renewal: () => Promise<void> = async () => {};
  /** Ends the request for a token. */
  arrive!: () => void;
  readonly wanted: unknown[] = [];
  token: AccessToken | undefined = new AccessToken('a-token');

  override peek(wanted?: GetTokenOptions) {
    this.wanted.push(wanted);
    return this.token as AccessToken;
  }

  override getToken() {
    return new Promise<AccessToken>((resolve) => (this.arrive = () => resolve(new AccessToken('requested'))));
  }

  override async renewToken() {
    await this.renewal();
    return (this.token = new AccessToken('renewed'));
  }

  override async proof(_token: AccessToken, method: string, url: string) {
    return `proof of ${method} ${url}`;
  }
}

interface Sent {
  readonly input: unknown;
  readonly init: RequestInit;
  readonly headers: Headers;
}

/** `fetch` of an application, which answers in turn; the last answer is repeated. */
function setUp(
  answers: ((sent: Sent) => Response | Promise<Response>)[],
  {
    header = AUTHORIZATION_HEADER,
    isTokenRejected = [401] as TokenRejection,
    ...options
  }: Partial<BearerFetchOptions> & { header?: TokenHeader; isTokenRejected?: TokenRejection } = {},
) {
  const provider = new TestProvider('unused', { allowedOrigins: [API] });
  carrierOf(provider, systemClock, { maxBytes: 100, isTokenRejected }, header);
  const sent: Sent[] = [];
  const fetch: Fetch = async (input, init) => {
    const one = { input, init: init!, headers: new Headers(init?.headers) };
    sent.push(one);
    return answers[Math.min(sent.length, answers.length) - 1]!(one);
  };
  const tokens = () => sent.map(({ headers }) => headers.get(header.name));
  return { provider, sent, tokens, call: bearerFetch(provider, { fetch, ...options }) };
}

const ok = () => new Response('ok');
const rejected = () => new Response('rejected', { status: 401 });
const redirect =
  (location: string, status = 302) =>
  () =>
    new Response(null, { status, headers: { location } });

describe('the authorization for a call that no carrier makes', () => {
  const provider = () => new TestProvider('unused', { allowedOrigins: [API, 'http://127.0.0.1:80'] });

  test.each([
    [`${API}/a`, true],
    ['wss://api.example/a', true],
    ['WSS://api.example/a', true],
    ['ws://127.0.0.1/a', true],
    ['ws://api.example/a', false],
    ['wss://127.0.0.1/a', false],
    ['wss://other.example', false],
    ['xwss://api.example', false],
    ['https://other.example/wss://api.example', false],
    ['wsss://api.example', false],
    ['/wss://api.example', false],
  ])('is given for allowed origins only: %s', async (url, isAllowed) => {
    expect(await authorizationFor(provider(), url)).toBe(isAllowed ? 'Bearer a-token' : undefined);
  });

  it('is not given for the scheme of a WebSocket in a path', async () => {
    const own = new TestProvider('unused', { allowedOrigins: [`${API}/http:`] });
    expect(await authorizationFor(own, `${API}/http:/x`)).toBe('Bearer a-token');
    expect(await authorizationFor(own, `${API}/ws:/x`)).toBeUndefined();
  });

  it('is the cached one, or requested', async () => {
    const own = provider();
    expect(await authorizationFor(own, API, { scope: 'a' })).toBe('Bearer a-token');
    expect(own.wanted).toEqual([{ scope: 'a' }]);
    own.token = undefined;
    const requested = authorizationFor(own, API);
    own.arrive();
    expect(await requested).toBe('Bearer requested');
  });

  it('is not given for a token that needs a proof', async () => {
    const own = provider();
    own.token = new AccessToken('bound', 'DPoP');
    await expect(authorizationFor(own, API)).rejects.toBeInstanceOf(TokenNotBearerError);
  });
});

describe('a call by fetch', () => {
  it('is passed through unchanged without the token', async () => {
    const { call, sent, provider } = setUp([ok]);
    const init = { headers: { Authorization: 'Basic eA==' } };
    const request = new Request(API, init);
    await call(API, init);
    await call(request);
    await call(OTHER);
    await call(API, { headers: { host: 'other.example' } });
    expect(sent.map(({ input }) => input)).toEqual([API, request, OTHER, API]);
    expect(sent[0]!.init).toBe(init);
    expect([sent[1]!.init, sent[2]!.init]).toEqual([undefined, undefined]);
    expect(sent[1]!.input).toBe(request);
    expect(provider.wanted).toEqual([]);
  });

  it('carries the token on a copy of its headers', async () => {
    const { call, sent } = setUp([ok]);
    const init: RequestInit = { headers: { 'x-a': '1', host: 'api.example' }, keepalive: true };
    await call(`${API}/a`, init);
    expect([...sent[0]!.headers]).toEqual([
      ['authorization', 'Bearer a-token'],
      ['host', 'api.example'],
      ['x-a', '1'],
    ]);
    expect(sent[0]!.init).toMatchObject({ keepalive: true, redirect: 'manual' });
    expect(init).toEqual({ headers: { 'x-a': '1', host: 'api.example' }, keepalive: true });
  });

  it('carries the token in its own header, next to an Authorization, unless the caller set that header', async () => {
    const { call, sent } = setUp([ok], { header: new TokenHeader('X-Token', '') });
    await call(API, { headers: { authorization: 'Basic eA==' } });
    await call(API, { headers: { 'X-TOKEN': 'own' } });
    expect(sent.map(({ headers }) => [headers.get('x-token'), headers.get('authorization')])).toEqual([
      ['a-token', 'Basic eA=='],
      ['own', null],
    ]);
  });

  it('carries the token that its options name', async () => {
    const { call, provider } = setUp([ok], { token: { scope: 'a' } });
    await call(API);
    expect(provider.wanted).toEqual([{ scope: 'a' }]);
  });

  it('carries a proof if the token is bound to a key, and none otherwise', async () => {
    const { call, provider, sent } = setUp([ok]);
    await call(API);
    provider.token = new AccessToken('bound', 'DPoP');
    await call(`${API}/a`, { method: 'post' });
    expect(sent.map(({ headers }) => [headers.get('authorization'), headers.get('dpop')])).toEqual([
      ['Bearer a-token', null],
      ['DPoP bound', `proof of POST ${API}/a`],
    ]);
  });

  test.each(['manual', 'error'] as const)('leaves redirects to a caller that wants it: %s', async (mode) => {
    const { call, sent } = setUp([redirect('/next')]);
    const response = await call(API, { redirect: mode });
    expect([response.status, response.redirected, sent.length, sent[0]!.init.redirect]).toEqual([302, false, 1, mode]);
  });

  it('is not sent if its body breaks before its token arrives', async () => {
    const { call, sent, provider } = setUp([ok]);
    provider.token = undefined;
    const body = new PassThrough();
    const outcome = call(API, { method: 'POST', body, duplex: 'half' } as unknown as RequestInit).catch(
      (error: unknown) => error,
    );
    body.destroy(new Error('gone'));
    await settled();
    provider.arrive();
    expect(await outcome).toMatchObject({ message: 'gone' });
    expect(sent).toEqual([]);
  });

  it('uses the fetch of the moment by default', async () => {
    const { fetch } = globalThis;
    const call = bearerFetch(new TestProvider('unused', { allowedOrigins: [API] }));
    globalThis.fetch = async () => new Response('replaced');
    try {
      expect(await (await call(API)).text()).toBe('replaced');
    } finally {
      globalThis.fetch = fetch;
    }
  });
});

describe('a redirect of a call by fetch', () => {
  it('is followed with the token, and marked as fetch does', async () => {
    const { call, sent, tokens } = setUp([redirect('/b'), redirect('c'), ok]);
    const response = await call(`${API}/a`, { headers: { 'x-a': '1' } });
    expect([await response.text(), response.redirected]).toEqual(['ok', true]);
    expect(sent.map(({ input }) => (input as URL | string).toString())).toEqual([`${API}/a`, `${API}/b`, `${API}/c`]);
    expect(tokens()).toEqual(Array(3).fill('Bearer a-token'));
    expect(sent.map(({ headers }) => headers.get('x-a'))).toEqual(['1', '1', '1']);
    expect((await setUp([ok]).call(API)).redirected).toBe(false);
  });

  it('is followed without the token, by fetch itself, from the first address on that is not allowed', async () => {
    const { call, sent, tokens } = setUp([redirect(OTHER), ok]);
    const response = await call(API, { headers: { 'x-a': '1' }, keepalive: true });
    expect([await response.text(), response.redirected]).toEqual(['ok', true]);
    expect(tokens()).toEqual(['Bearer a-token', null]);
    expect(sent[1]!.input).toBe(`${OTHER}/`);
    expect(sent[1]!.init).toMatchObject({ redirect: 'follow', method: 'GET', keepalive: true });
    expect(sent[1]!.headers.get('x-a')).toBe('1');
  });

  it('ends after twenty', async () => {
    const { call, sent } = setUp([redirect('/')]);
    await expect(call(API)).rejects.toMatchObject({ message: 'fetch failed' });
    expect(sent).toHaveLength(21);
  });
});

describe('a call by fetch that is rejected with 401', () => {
  it('is sent again with a new token, and the first response is discarded', async () => {
    let isCancelled = false;
    const body = new ReadableStream({ cancel: () => void (isCancelled = true) });
    const { call, tokens } = setUp([() => new Response(body, { status: 401 }), ok]);
    expect(await (await call(API)).text()).toBe('ok');
    expect(tokens()).toEqual(['Bearer a-token', 'Bearer renewed']);
    await settled();
    expect(isCancelled).toBe(true);
  });

  it('is not sent again if the response may be from elsewhere, and renews nothing', async () => {
    const elsewhere = () => Object.defineProperty(rejected(), 'redirected', { value: true });
    const { call, tokens, provider } = setUp([elsewhere]);
    expect((await call(API)).status).toBe(401);
    expect(tokens()).toEqual(['Bearer a-token']);
    expect(provider.token?.reveal()).toBe('a-token');
  });

  test.each<[string, () => [string | Request, RequestInit?], number]>([
    ['a short body', () => [API, { method: 'POST', body: 'x'.repeat(100) }], 2],
    ['a long body', () => [API, { method: 'POST', body: 'x'.repeat(101) }], 1],
    ['a stream', () => [API, { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' }], 1],
    ['the body of a Request', () => [new Request(API, { method: 'POST', body: 'x' })], 1],
    ['a Request without a body', () => [new Request(API)], 2],
    ['a Request with another body', () => [new Request(API, { method: 'POST', body: 'x' }), { body: 'y' }], 2],
  ])('is sent again only if its body is still there: %s', async (_name, make, times) => {
    const { call, sent, provider } = setUp([rejected, ok]);
    const response = await call(...make());
    expect([sent.length, response.status]).toEqual([times, times === 2 ? 200 : 401]);
    expect(provider.token?.reveal()).toBe('renewed');
  });

  it('fails if its caller cancels it while the token is renewed', async () => {
    let isCancelled = false;
    const body = new ReadableStream({ cancel: () => void (isCancelled = true) });
    const { call, sent, provider } = setUp([() => new Response(body, { status: 401 })]);
    provider.renewal = () => new Promise(() => {});
    const aborting = new AbortController();
    const response = call(API, { signal: aborting.signal });
    await settled();
    const reason = new Error('no longer wanted');
    aborting.abort(reason);
    await expect(response).rejects.toBe(reason);
    await settled();
    expect([isCancelled, sent.length]).toEqual([true, 1]);
  });

  it('keeps its response flowing while the token is renewed, and passes it on whole if there is no new one', async () => {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>({
      start: (given) => void (controller = given),
      pull: () => void pulls++,
    });
    const { call, provider } = setUp([() => new Response(body, { status: 401 })]);
    let fail!: (error: Error) => void;
    provider.renewal = () => new Promise((_resolve, reject) => (fail = reject));
    const response = call(API);
    for (let chunks = 0; chunks < 4; chunks++) {
      await settled();
      controller.enqueue(Buffer.from('ab'));
    }
    await settled();
    expect(pulls).toBeGreaterThan(3);
    fail(new Error('no'));
    controller.close();
    expect(await (await response).text()).toBe('abababab');
  });

  it('gives up a response that is too long to keep', async () => {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>({
      start: (given) => void (controller = given),
      cancel: () => void (isCancelled = true),
    });
    const { call, provider } = setUp([() => new Response(body, { status: 401 }), ok]);
    let release!: () => void;
    provider.renewal = () => new Promise((resolve) => (release = resolve));
    const response = call(API);
    await settled();
    controller.enqueue(Buffer.alloc(262_144));
    await settled();
    expect(isCancelled).toBe(false);
    controller.enqueue(Buffer.alloc(1));
    await settled();
    expect(isCancelled).toBe(true);
    release();
    expect((await response).status).toBe(200);
  });

  /** What an application's `fetch` may return. */
  const partial = (members: object) => ({ status: 401, headers: new Headers(), ...members }) as unknown as Response;

  test.each<[string, () => Response]>([
    ['a response without a body', () => partial({ body: null })],
    ['a body without clone()', () => partial({ body: new Blob(['x']).stream() })],
    ['a body that was read already', () => partial({ ...readAlready(), body: new Blob(['x']).stream() })],
    ['a body of Node.js', () => partial({ body: Readable.from(['x']), clone: () => ({ body: Readable.from(['x']) }) })],
    ['a clone without a body', () => partial({ body: new Blob(['x']).stream(), clone: () => ({ body: null }) })],
    ['nothing but a status', () => partial({})],
  ])('is sent again whatever the fetch of the application returns: %s', async (_name, response) => {
    const { call, tokens } = setUp([response, ok]);
    expect((await call(API)).status).toBe(200);
    expect(tokens()).toEqual(['Bearer a-token', 'Bearer renewed']);
  });

  const readAlready = () => ({
    bodyUsed: true,
    clone: () => {
      throw new TypeError('Body has already been consumed.');
    },
  });

  test.each<[string, () => Response, string]>([
    ['of a web stream', () => new Response('the body', { status: 401 }), 'the body'],
    ['of a Node.js stream', () => partial({ clone: () => ({ body: Readable.from(['the ', 'body']) }) }), 'the body'],
    ['of no body', () => new Response(null, { status: 401 }), ''],
    ['of one that was read already', () => partial(readAlready()), ''],
    ['of one without clone()', () => partial({ body: new Blob(['x']).stream() }), ''],
  ])('is judged by the start %s', async (_name, response, start) => {
    const bodies: string[] = [];
    const isTokenRejected = ({ body }: { body: string }) => bodies.push(body) < 0;
    const { call } = setUp([response], { isTokenRejected });
    expect((await call(API)).status).toBe(401);
    expect(bodies).toEqual([start]);
  });

  it('leaves no stream of Node.js open that was read to judge the response', async () => {
    const branch = new Readable({ read() {} });
    branch.push(Buffer.alloc(20_000));
    const { call } = setUp([() => partial({ clone: () => ({ body: branch }) })], { isTokenRejected: () => false });
    await call(API);
    expect(branch.destroyed).toBe(true);
  });
});

describe('a call by fetch that fails', () => {
  const failing = (cause: unknown) => setUp([() => Promise.reject(cause)]).call;

  it('explains an address that is not one', async () => {
    const cause = new TypeError('Failed to parse URL from /users');
    await expect(failing(cause)('/users', { method: 'post' })).rejects.toMatchObject({
      code: 'M2M_CALL_ADDRESS_INVALID',
      client: 'fixed',
      cause,
      message:
        'Cannot send a POST call of client "fixed": its address "/users" is not an absolute URL. Give the whole address: fetch knows no base URL.',
    });
  });

  test.each([
    [OTHER, new TypeError('fetch failed')],
    ['/users', new TypeError('fetch failed')],
    [API, new TypeError('fetch failed')],
    [OTHER, undefined],
  ])('fails as fetch did otherwise: %s', async (url, cause) => {
    const seen: unknown = await failing(cause)(url).then(
      () => 'no error',
      (error: unknown) => error,
    );
    expect(seen).toBe(cause);
  });
});
