import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { afterEach, describe, expect, it, test } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import axios, { type AxiosError, AxiosHeaders, type AxiosRequestConfig } from 'axios';
import {
  type Clock,
  genericOAuth2,
  type ClientOptions,
  IdentityM2MModule,
  M2M_CLOCK,
  type OutboundEvent,
  TokenProvider,
  TokenUnavailableError,
  withoutToken,
  withToken,
} from 'nestjs-identity-m2m';
import { lastValueFrom, retry, Subscription } from 'rxjs';
// From inside: the clock that an application has by default.
import { systemClock } from '../libs/identity-m2m/src/foundation/clock.js';
import { type Answer, json, TestServer } from './support/http-server.js';
import { reachablePaths } from './support/reachable-paths.js';
import { TestTokenServer } from './support/token-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** A part of the application that has something to do while it is shut down. */
@Injectable()
class Consumer implements BeforeApplicationShutdown {
  onShutdown = async () => {};

  beforeApplicationShutdown(): Promise<void> {
    return this.onShutdown();
  }
}

/** A Nest application with one client, its token endpoint, an API that the token is bound to, and another one. */
async function setUp(options: Partial<ClientOptions> = {}, clock: Clock = systemClock) {
  const tokens = await TestTokenServer.start();
  const api = await TestServer.start(json(200, { ok: true }));
  const elsewhere = await TestServer.start(json(200, { ok: true }));
  const module: TestingModule = await Test.createTestingModule({
    imports: [
      IdentityM2MModule.forRoot({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: tokens.url }),
          clientId: 'test-client',
          clientSecret: 'test-secret',
          allowedOrigins: [api.url],
          http: { baseURL: api.url },
          ...options,
        },
      }),
    ],
    providers: [Consumer],
  })
    .overrideProvider(M2M_CLOCK)
    .useValue(clock)
    .compile();
  module.useLogger(false);
  await module.init();
  closing.push(
    () => module.close(),
    () => tokens.close(),
    () => api.close(),
    () => elsewhere.close(),
  );
  const http = module.get(HttpService);
  const provider = module.get(TokenProvider);
  const events: OutboundEvent[] = [];
  provider.events.subscribe((event) => events.push(event));
  return { module, http, provider, events, tokens, api, elsewhere };
}

/** What the API was sent as `Authorization`, request by request. */
const sentTo = (server: TestServer) => server.requests.map(({ headers }) => headers.authorization);

/** Answers 401 to a set of tokens and 200 to the rest. */
const rejecting =
  (...rejected: string[]) =>
  (request: { headers: Readonly<Record<string, string>> }, response: Parameters<TestServer['answer']>[1]) => {
    const bad = rejected.some((token) => request.headers.authorization === `Bearer ${token}`);
    response.writeHead(bad ? 401 : 200, { 'content-type': 'application/json' }).end(JSON.stringify({ ok: !bad }));
  };

/** A clock that a test moves. Real sockets take real time, so it waits until the token request under way has ended. */
function clockFor(provider: () => TokenProvider | undefined): ManualClock {
  return new ManualClock(undefined, async () => {
    do await new Promise(setImmediate);
    while (provider()?.status().refreshing);
  });
}

describe('a call through HttpService', () => {
  it('carries the token, as observable and as promise, with relative and absolute URLs', async () => {
    const { http, api, tokens } = await setUp();
    await lastValueFrom(http.get('/observable'));
    await http.axiosRef.get('/promise');
    await http.axiosRef.post(`${api.url}/absolute`, { a: 1 });
    await http.axiosRef.request({ url: '/request', method: 'delete' });
    expect(sentTo(api)).toEqual(Array(4).fill('Bearer token-1'));
    expect(tokens.requests).toHaveLength(1);
  });

  it('uses one token request for 10,000 concurrent first calls', async () => {
    // The herd itself may hold up a busy machine.
    const { provider, tokens } = await setUp({ acquireTimeoutMs: 60_000 });
    const all = await Promise.all(Array.from({ length: 10_000 }, () => provider.getToken()));
    expect(new Set(all.map((token) => token.reveal()))).toEqual(new Set(['token-1']));
    expect(tokens.requests).toHaveLength(1);
  });

  it('takes a URL object as its URL, as axios does without a base URL', async () => {
    const { http, api, elsewhere } = await setUp();
    for (const { url } of [api, elsewhere]) await lastValueFrom(http.get(new URL('/a?b', url) as unknown as string));
    expect([...api.requests, ...elsewhere.requests].map(({ url }) => url)).toEqual(['/a?b', '/a?b']);
    expect([sentTo(api), sentTo(elsewhere)]).toEqual([['Bearer token-1'], [undefined]]);
  });

  it('does not carry the token to an origin that is not allowed', async () => {
    const { http, elsewhere, tokens } = await setUp();
    await http.axiosRef.get(elsewhere.url);
    await http.axiosRef.get('/path', { baseURL: elsewhere.url });
    await http.axiosRef.get(elsewhere.url.replace('http:', ''), { baseURL: undefined }).catch(() => {});
    expect(sentTo(elsewhere)).toEqual([undefined, undefined]);
    expect(tokens.requests).toHaveLength(0);
  });

  it('does not send the token elsewhere for an absolute URL that replaces the base URL', async () => {
    const { http, api, elsewhere } = await setUp();
    await http.axiosRef.get(`${elsewhere.url}/evil`);
    expect(sentTo(elsewhere)).toEqual([undefined]);
    // Where absolute addresses are turned off, axios joins the two, and the call stays with the API.
    await http.axiosRef.get(`${elsewhere.url}/evil`, { allowAbsoluteUrls: false });
    expect(sentTo(api)).toEqual(['Bearer token-1']);
    expect(elsewhere.requests).toHaveLength(1);
  });

  it('keeps what the caller set', async () => {
    const { http, api, tokens } = await setUp();
    await http.axiosRef.get('/', { headers: { Authorization: 'Bearer of-the-caller' } });
    await http.axiosRef.get('/', { headers: { authorization: 'Bearer lower-case' } });
    await http.axiosRef.get('/', { auth: { username: 'u', password: 'p' } });
    await http.axiosRef.get('/', { headers: { Authorization: false } });
    await http.axiosRef.get(api.url.replace('//', '//u:p@'));
    expect(sentTo(api)).toEqual(['Bearer of-the-caller', 'Bearer lower-case', 'Basic dTpw', undefined, 'Basic dTpw']);
    expect(tokens.requests).toHaveLength(0);
  });

  it('goes out without a token if withoutToken() is set', async () => {
    const { http, api, tokens } = await setUp();
    await lastValueFrom(http.get('/', withoutToken({ params: { a: 1 } })));
    expect(sentTo(api)).toEqual([undefined]);
    expect(api.requests[0]!.url).toBe('/?a=1');
    expect(tokens.requests).toHaveLength(0);
  });

  it('is not sent if there is no token', async () => {
    const { http, api, tokens } = await setUp({ acquireTimeoutMs: 400 });
    tokens.fault = json(503, {});
    await expect(http.axiosRef.get('/')).rejects.toBeInstanceOf(TokenUnavailableError);
    await expect(lastValueFrom(http.get('/'))).rejects.toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE' });
    expect(api.requests).toHaveLength(0);
  });

  it('does not follow redirects by default', async () => {
    const { http, api, elsewhere } = await setUp();
    api.answer = (_request, response) => response.writeHead(302, { location: elsewhere.url }).end();
    await expect(http.axiosRef.get('/')).rejects.toMatchObject({ response: { status: 302 } });
    expect(elsewhere.requests).toHaveLength(0);
  });

  it('loses the token on a redirect to another origin, and keeps it on one to the same', async () => {
    const { http, api, elsewhere } = await setUp();
    api.answer = (request, response) => {
      if (request.url === '/here') response.end('{}');
      else response.writeHead(307, { location: request.url === '/away' ? `${elsewhere.url}/there` : '/here' }).end();
    };
    await http.axiosRef.get('/stay', { maxRedirects: 5 });
    await http.axiosRef.get('/away', { maxRedirects: 5 });
    expect(sentTo(api)).toEqual(Array(3).fill('Bearer token-1'));
    expect(elsewhere.requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([['/there', undefined]]);
  });

  test.each<[string, AxiosRequestConfig]>([
    ['as it is', {}],
    ['with redirects', { maxRedirects: 5 }],
    ['redirected', { maxRedirects: 5, url: '/redirect' }],
    ['as a stream', { responseType: 'stream' }],
    ['with the fetch adapter', { adapter: 'fetch' }],
  ])('leaves the token on nothing that outlives it: %s', async (_name, config) => {
    const { http, api, provider } = await setUp();
    const token = (await provider.getToken()).reveal();
    const response = await http.axiosRef.get('/', config);
    expect(sentTo(api)).toEqual([`Bearer ${token}`]);
    expect(reachablePaths(token, response)).toEqual([]);
    api.answer = json(500, {});
    const error: unknown = await http.axiosRef.get('/', config).catch((error: unknown) => error);
    expect(axios.isAxiosError(error)).toBe(true);
    expect(reachablePaths(token, error)).toEqual([]);
    api.answer = (_request, response) => response.socket!.resetAndDestroy();
    const reset: unknown = await http.axiosRef.get('/', config).catch((error: unknown) => error);
    expect(reachablePaths(token, reset)).toEqual([]);
    expect(JSON.stringify(reset)).not.toContain(token);
  });

  test.each<[string, () => AxiosRequestConfig]>([
    ['as it is', () => ({})],
    ['with redirects', () => ({ maxRedirects: 5 })],
    ['by an agent of the application’s', () => ({ httpAgent: new Agent({ keepAlive: true }) })],
  ])('leaves an error without a path to another call’s token: %s', async (_name, config) => {
    const { http, api, provider } = await setUp({ http: config() });
    const token = (await provider.getToken()).reveal();
    const errors: unknown[] = [];
    for (const answer of [json(500, {}), (_request, response) => response.socket!.resetAndDestroy()] as Answer[]) {
      api.answer = answer;
      errors.push(await http.axiosRef.get(api.url).catch((error: unknown) => error));
    }
    let release!: () => void;
    api.answer = (_request, response) => (release = () => response.end('{}'));
    const other = http.axiosRef.get(api.url);
    while (api.requests.length < 3) await new Promise(setImmediate);
    const reached = errors.flatMap((error) => reachablePaths(token, error));
    const printed = errors.map((error) => inspect(error, { depth: 20 }) + JSON.stringify(error)).join('');
    release();
    await other;
    expect(reached).toEqual([]);
    expect(printed.includes(token)).toBe(false);
    api.answer = json(200, {});
    for (const error of errors) {
      const { config } = error as AxiosError;
      await expect(http.axiosRef.request(config!)).resolves.toMatchObject({ status: 200 });
    }
  });

  it('does not give the token to a call elsewhere through shared headers', async () => {
    const { http, api, elsewhere } = await setUp();
    const shared = new AxiosHeaders({ 'x-common': 'yes' });
    http.axiosRef.interceptors.request.use((config) => Object.assign(config, { headers: shared }));
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    api.answer = async (_request, response) => {
      await held;
      response.end('{}');
    };
    const slow = http.axiosRef.get('/');
    while (api.requests.length === 0) await new Promise(setImmediate);
    await http.axiosRef.get(elsewhere.url);
    release();
    await slow;
    expect(sentTo(api)).toEqual(['Bearer token-1']);
    expect(sentTo(elsewhere)).toEqual([undefined]);
  });

  it('works with an adapter of the application', async () => {
    const { http } = await setUp();
    const seen: unknown[] = [];
    http.axiosRef.defaults.adapter = async (config) => {
      seen.push(config.headers.get('authorization'));
      return { data: {}, status: 200, statusText: 'OK', headers: {}, config };
    };
    await http.axiosRef.get('/');
    await lastValueFrom(http.get('/'));
    expect(seen).toEqual(['Bearer token-1', 'Bearer token-1']);
  });

  it('keeps its own defaults if the application’s are undefined', async () => {
    const { http, api, elsewhere } = await setUp({
      http: { maxRedirects: undefined, baseURL: undefined, timeout: 1000 },
    });
    api.answer = (_request, response) => response.writeHead(302, { location: elsewhere.url }).end();
    await expect(http.axiosRef.get(api.url)).rejects.toMatchObject({ response: { status: 302 } });
    expect(elsewhere.requests).toHaveLength(0);
  });

  it('runs the application’s interceptors once, before the token is added', async () => {
    const { http, api, elsewhere, tokens } = await setUp();
    let runs = 0;
    http.axiosRef.interceptors.request.use(async (config) => {
      runs++;
      config.url = `${elsewhere.url}${config.url}`;
      return config;
    });
    await http.axiosRef.get('/moved');
    expect(runs).toBe(1);
    expect(sentTo(elsewhere)).toEqual([undefined]);
    expect([api.requests.length, tokens.requests.length]).toEqual([0, 0]);
  });
});

describe('a call that is cancelled', () => {
  it('ends at once while it waits for a token, and keeps the token request for the others', async () => {
    const { http, api, tokens } = await setUp();
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    tokens.fault = async (...args) => {
      await held;
      return json(200, { access_token: 'late', token_type: 'bearer', expires_in: 60 })(...args);
    };
    const errors: string[] = [];
    const subscription: Subscription = http.get('/').subscribe({ error: () => errors.push('unsubscribed') });
    const aborting = new AbortController();
    const aborted = http.axiosRef.get('/', { signal: aborting.signal });
    const other = http.axiosRef.get('/');
    while (tokens.requests.length === 0) await new Promise(setImmediate);
    subscription.unsubscribe();
    aborting.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ERR_CANCELED' });
    release();
    await other;
    expect(sentTo(api)).toEqual(['Bearer late']);
    expect(tokens.requests).toHaveLength(1);
  });
});

describe('a call with a timeout', () => {
  /** A token endpoint that takes as long as the test wants. */
  async function withSlowTokens() {
    const system = await setUp();
    await system.http.axiosRef.get('/');
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    system.tokens.fault = async (...args) => {
      await held;
      return json(200, { access_token: 'late', token_type: 'bearer', expires_in: 60 })(...args);
    };
    return { ...system, release };
  }

  it('gets the 401 when it is cancelled while its token is being renewed', async () => {
    const { http, api, tokens, release } = await withSlowTokens();
    api.answer = rejecting('token-1');
    const aborting = new AbortController();
    const call = http.axiosRef.get('/', { signal: aborting.signal }).catch((error: unknown) => error);
    while (tokens.requests.length === 1) await new Promise(setImmediate);
    aborting.abort();
    expect(await call).toMatchObject({ code: 'ERR_CANCELED' });
    release();
  });

  it('waits as long as a timer allows if its timeout is longer', async () => {
    const { http, api, tokens, release } = await withSlowTokens();
    // A timer that was given too long a time fires before one of 20 ms does.
    api.answer = (_request, response) => void setTimeout(() => response.end('{}'), 20);
    const config = { timeout: 2 ** 31 };
    const call = http.axiosRef.get('/', withToken({ scope: 'another' }, config));
    while (tokens.requests.length === 1) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    await expect(call).resolves.toMatchObject({ status: 200 });
    expect(config.timeout).toBe(2 ** 31);
  });

  it('keeps its timeout while it waits for a token', async () => {
    const { http, provider, tokens } = await setUp();
    tokens.fault = () => {};
    await expect(http.axiosRef.get('/', { timeout: 30 })).rejects.toMatchObject({
      code: 'ECONNABORTED',
      message: expect.stringContaining('waiting for an access token'),
    });
    expect(provider.status().refreshing).toBe(true);
  });
});

describe('a call that is answered with 401', () => {
  it('is sent once more with a new token', async () => {
    const { http, api, tokens, events } = await setUp();
    api.answer = rejecting('token-1');
    const { data, status } = await lastValueFrom(http.post('/', { name: 'jane' }));
    expect([status, data]).toEqual([200, { ok: true }]);
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(api.requests.map(({ body }) => body)).toEqual(Array(2).fill('{"name":"jane"}'));
    expect(tokens.requests).toHaveLength(2);
    expect(events.map(({ type }) => type)).toEqual(['token.acquired', 'token.refreshed', 'call.replayed']);
  });

  it('is sent once more at most', async () => {
    const { http, api, tokens } = await setUp();
    api.answer = json(401, {});
    await expect(http.axiosRef.get('/')).rejects.toMatchObject({ response: { status: 401 } });
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(tokens.requests).toHaveLength(2);
  });

  it('takes one token request for 500 calls in flight', async () => {
    const { http, api, tokens } = await setUp();
    await http.axiosRef.get('/');
    api.answer = rejecting('token-1');
    const responses = await Promise.all(Array.from({ length: 500 }, () => http.axiosRef.get('/')));
    expect(responses.every(({ status }) => status === 200)).toBe(true);
    expect(tokens.requests).toHaveLength(2);
  });

  it('does not turn into token requests if the API rejects every token', async () => {
    const { http, api, tokens } = await setUp();
    api.answer = json(401, {});
    for (let call = 0; call < 100; call++) await http.axiosRef.get('/').catch(() => {});
    expect(tokens.requests).toHaveLength(2);
  });

  it('slows down renewals that return the same token', async () => {
    let provider: TokenProvider | undefined;
    const clock = clockFor(() => provider);
    const system = await setUp({}, clock);
    provider = system.provider;
    system.tokens.fault = json(200, { access_token: 'always-the-same', token_type: 'bearer', expires_in: 3600 });
    system.api.answer = json(401, {});
    for (let minute = 0; minute < 60; minute++) {
      const call = system.http.axiosRef.get('/').catch(() => {});
      await clock.advance(60_000);
      await call;
    }
    expect(system.tokens.requests.length).toBeLessThan(25);
  });

  it('does not turn into token requests if one route rejects every token and another works', async () => {
    const { http, api, tokens } = await setUp();
    api.answer = (request, response) => response.writeHead(request.url === '/broken' ? 401 : 200).end('{}');
    for (let call = 0; call < 50; call++) {
      await http.axiosRef.get('/works');
      await http.axiosRef.get('/broken').catch(() => {});
    }
    expect(tokens.requests).toHaveLength(2);
  });

  it('is sent again although the API has just rejected tokens of another scope', async () => {
    const { http, api } = await setUp();
    api.answer = json(401, {});
    await http.axiosRef.get('/', withToken({ scope: 'admin' })).catch(() => {});
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
    api.answer = rejecting('token-3');
    await expect(http.axiosRef.get('/', withToken({ scope: 'users' }))).resolves.toMatchObject({ status: 200 });
    expect(sentTo(api).slice(2)).toEqual(['Bearer token-3', 'Bearer token-4']);
  });

  it('behaves the same if 401 counts as success, and for streams', async () => {
    const { http, api } = await setUp();
    api.answer = rejecting('token-1');
    const anyStatus = await http.axiosRef.get('/', { validateStatus: () => true });
    expect(anyStatus.status).toBe(200);
    api.answer = rejecting('token-2');
    const stream = http.axiosRef.get<Readable>('/', { responseType: 'stream' });
    // Renewed a moment ago on behalf of this API, so the 401 is passed on, with a body that can be read.
    const error: unknown = await stream.catch((error: unknown) => error);
    if (!axios.isAxiosError<Readable>(error) || !error.response) throw new Error('expected an axios error');
    expect(await text(error.response.data)).toBe('{"ok":false}');
  });

  it('passes the 401 on, with its body, if the body of the call is used up or too long', async () => {
    const { http, api, tokens } = await setUp({ maxReplayBytes: 100 });
    api.answer = rejecting('token-1', 'token-2');
    const rejected = { response: { status: 401, data: { ok: false } } };
    await expect(http.axiosRef.post('/', Readable.from(['x']))).rejects.toMatchObject(rejected);
    await expect(http.axiosRef.post('/', 'x'.repeat(101))).rejects.toMatchObject(rejected);
    const form = new FormData();
    form.append('a', 'b');
    await expect(http.axiosRef.post('/', form)).rejects.toMatchObject(rejected);
    expect(api.requests).toHaveLength(3);
    // The token was renewed all the same, once.
    api.answer = rejecting('token-1');
    await expect(http.axiosRef.post('/', 'x'.repeat(100))).resolves.toMatchObject({ status: 200 });
    expect(tokens.requests).toHaveLength(2);
  });

  test.each([
    'Bearer error="insufficient_scope"',
    'Bearer realm="a", error=insufficient_scope',
    'DPoP error="use_dpop_nonce"',
  ])('passes the 401 on if a new token would not help: %s', async (challenge) => {
    const { http, api, tokens } = await setUp();
    api.answer = json(401, {}, { 'www-authenticate': challenge });
    await expect(http.axiosRef.get('/')).rejects.toMatchObject({ response: { status: 401 } });
    expect(tokens.requests).toHaveLength(1);
  });

  it('passes the 401 on, and not the failure to renew, if no new token is available', async () => {
    const { http, api, tokens } = await setUp();
    api.answer = json(401, { detail: 'revoked' });
    await expect(http.axiosRef.get('/', withoutToken())).rejects.toMatchObject({ response: { status: 401 } });
    await http.axiosRef.get('/').catch(() => {});
    tokens.fault = json(503, {});
    await expect(http.axiosRef.get('/')).rejects.toMatchObject({
      response: { status: 401, data: { detail: 'revoked' } },
    });
  });

  it('counts again for each subscription of an rxjs retry', async () => {
    const { http, api } = await setUp();
    let failures = 2;
    api.answer = (_request, response) => response.writeHead(failures-- > 0 ? 500 : 200).end('{}');
    const response = await lastValueFrom(http.get('/').pipe(retry(2)));
    expect(response.status).toBe(200);
    expect(sentTo(api)).toEqual(Array(3).fill('Bearer token-1'));
  });

  it('can be sent again from the config of its error, with the current token', async () => {
    const { http, api, provider } = await setUp();
    api.answer = json(500, {});
    const error: unknown = await http.axiosRef.get('/').catch((error: unknown) => error);
    await provider.renewToken(await provider.getToken());
    api.answer = json(200, {});
    if (!axios.isAxiosError(error) || !error.config) throw new Error('expected an axios error');
    await http.axiosRef.request(error.config);
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });
});

describe('the token request', () => {
  it('is a form with Basic client authentication, encoded as RFC 6749 requires', async () => {
    const { provider, tokens } = await setUp({ clientId: 'a b', clientSecret: 'p+ss/wörd%:', scope: ['one', 'two'] });
    await provider.getToken();
    const [request] = tokens.requests;
    expect(request).toMatchObject({ method: 'POST', url: '/token' });
    expect(request!.headers['content-type']).toMatch(/^application\/x-www-form-urlencoded/);
    expect(Object.fromEntries(new URLSearchParams(request!.body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'one two',
    });
    const credentials = Buffer.from(request!.headers.authorization!.slice(6), 'base64').toString('utf8');
    expect(credentials).toBe('a+b:p%2Bss%2Fw%C3%B6rd%25%3A');
  });

  it('carries id and secret of raw Basic unencoded', async () => {
    const { provider, tokens } = await setUp({
      clientId: 'svc@acme',
      clientSecret: 'p+ss/wörd%21:x',
      clientAuthentication: 'client_secret_basic_raw',
    });
    await provider.getToken();
    const { authorization } = tokens.requests[0]!.headers;
    expect(Buffer.from(authorization!.slice(6), 'base64').toString('utf8')).toBe('svc@acme:p+ss/wörd%21:x');
  });

  it('carries the secret in the body if configured', async () => {
    const { provider, tokens } = await setUp({ clientAuthentication: 'client_secret_post', clientSecret: 'a&b=c+d%' });
    await provider.getToken();
    expect(tokens.requests[0]!.headers.authorization).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(tokens.requests[0]!.body))).toEqual({
      grant_type: 'client_credentials',
      client_id: 'test-client',
      client_secret: 'a&b=c+d%',
    });
  });

  it('is JSON if configured', async () => {
    const { provider, tokens } = await setUp({ tokenRequestFormat: 'json', scope: 'users' });
    await provider.getToken();
    expect(tokens.requests[0]!.headers['content-type']).toBe('application/json');
    expect(JSON.parse(tokens.requests[0]!.body)).toEqual({ grant_type: 'client_credentials', scope: 'users' });
  });

  it('reads the secret again for each attempt', async () => {
    let secret = 'first';
    const { provider, tokens } = await setUp({ clientSecret: async () => secret });
    const token = await provider.getToken();
    secret = 'second';
    await provider.renewToken(token);
    const sent = tokens.requests.map(({ headers }) =>
      Buffer.from(headers.authorization!.slice(6), 'base64').toString(),
    );
    expect(sent.map(decodeURIComponent)).toEqual(['test-client:first', 'test-client:second']);
  });

  it('is sent again at once, and only once, if the secret was rotated meanwhile', async () => {
    const secrets = ['old', 'new', 'new'];
    const { provider, tokens } = await setUp({ clientSecret: () => secrets.shift()! });
    tokens.fault = (request, ...rest) => {
      const credentials = Buffer.from(request.headers.authorization!.slice(6), 'base64').toString();
      const isNew = credentials.endsWith(':new');
      return isNew
        ? json(200, { access_token: 'fine', token_type: 'bearer', expires_in: 60 })(request, ...rest)
        : json(401, { error: 'invalid_client' })(request, ...rest);
    };
    expect((await provider.getToken()).reveal()).toBe('fine');
    expect(tokens.requests).toHaveLength(2);
  });

  it('does not use the HttpService that carries the token', async () => {
    const { http, provider, tokens } = await setUp();
    http.axiosRef.defaults.headers.common['x-application'] = 'yes';
    await provider.getToken();
    expect(tokens.requests[0]!.headers).not.toHaveProperty('x-application');
  });

  it('uses the agent in the options, also more than once on one connection', async () => {
    const tokens = await TestTokenServer.start();
    closing.push(() => tokens.close());
    const { port } = new URL(tokens.url);
    let connections = 0;
    class AgentForProxy extends Agent {
      override createConnection() {
        connections++;
        return connect(Number(port), '127.0.0.1');
      }
    }
    const agent = new AgentForProxy({ keepAlive: true });
    closing.push(async () => agent.destroy());
    const { provider } = await setUp({
      identityProvider: genericOAuth2({ tokenEndpoint: 'http://identity.localhost/token' }),
      agent,
    });
    for (let n = 0; n < 20; n++) await provider.getToken({ scope: `scope-${n}` });
    expect(tokens.requests).toHaveLength(20);
    expect(connections).toBe(1);
  });

  it('does not follow a redirect with the secret', async () => {
    const { provider, tokens, elsewhere } = await setUp();
    tokens.fault = (_request, response) => response.writeHead(307, { location: elsewhere.url }).end();
    await expect(provider.getToken()).rejects.toMatchObject({
      code: 'M2M_TOKEN_REQUEST_REJECTED',
      message: expect.stringContaining('redirect'),
    });
    expect(elsewhere.requests).toHaveLength(0);
  });

  test.each<[string, (response: Parameters<TestServer['answer']>[1]) => unknown]>([
    [
      'an endless body',
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const more = () => response.destroyed || (response.write('x'.repeat(65_536)), setImmediate(more));
        more();
      },
    ],
    ['a body longer than 64 KiB', (response) => response.end(JSON.stringify({ access_token: 'a'.repeat(70_000) }))],
    [
      'a compressed body',
      (response) =>
        response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(gzipSync('{}')),
    ],
    ['a reset', (response) => response.socket!.resetAndDestroy()],
    [
      'a body cut short',
      (response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{');
        response.socket!.end();
      },
    ],
    ['no HTTP', (response) => response.socket!.end('hello\r\n\r\n')],
    [
      'a switch of protocols',
      (response) => response.socket!.end('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
    ],
    ['an impossible status', (response) => response.socket!.end('HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n')],
  ])('survives %s', async (_name, answer) => {
    const { provider, tokens } = await setUp({ acquireTimeoutMs: 400 });
    tokens.fault = (_request, response) => answer(response);
    await expect(provider.getToken()).rejects.toBeInstanceOf(TokenUnavailableError);
    expect(tokens.requests).toHaveLength(1);
  });

  it('ends after its timeout if there is no answer', async () => {
    const clock = new ManualClock();
    const { provider, tokens } = await setUp({}, clock);
    const released = new Promise((resolve) => {
      tokens.fault = (_request, response) => response.once('close', resolve);
    });
    const call = provider.getToken().catch((error: unknown) => error);
    while (tokens.requests.length === 0) await new Promise(setImmediate);
    // Its own 10 s, after those 1.7 s after which it took the place of the first.
    await clock.advance(11_667);
    expect(await call).toMatchObject({ reason: 'wait_timeout' });
    await released;
    expect(provider.status().lastError).toMatchObject({
      reason: 'outage',
      message: expect.stringContaining('no token within 10000 ms'),
    });
  });

  it('does not let the server put the secret into an error', async () => {
    const secret = 's3cret/with+special=';
    const { provider, tokens } = await setUp({ clientSecret: secret });
    tokens.fault = (request, ...rest) => {
      const description = [secret, encodeURIComponent(secret), request.headers.authorization, request.body].join(' ');
      return json(400, { error: 'invalid_client', error_description: description })(request, ...rest);
    };
    const error: unknown = await provider.getToken().catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'M2M_CLIENT_REJECTED', oauthError: 'invalid_client' });
    const basic = tokens.requests[0]!.headers.authorization!.slice(6);
    for (const leak of [secret, encodeURIComponent(secret), basic]) expect(String(error)).not.toContain(leak);
  });
});

describe('an hour of traffic, by a manual clock', () => {
  /** Sends a call a second for an hour; tells how many failed, and what the token endpoint saw of it. */
  async function hour(fault?: TestServer['answer'], from = 0) {
    let provider: TokenProvider | undefined;
    const clock = clockFor(() => provider);
    const system = await setUp({}, clock);
    provider = system.provider;
    let failed = 0;
    for (let second = 0; second < 3600; second++) {
      if (second === from) system.tokens.fault = fault;
      provider.getToken().catch(() => failed++);
      await clock.advance(1000);
    }
    await clock.advance(10_000);
    return { failed, tokenRequests: system.tokens.requests.length, events: system.events };
  }

  it('takes 2 token requests without failures', async () => {
    expect(await hour()).toMatchObject({ failed: 0, tokenRequests: 2 });
  });

  it('takes 5 token requests with a wrong secret, and then halts them', async () => {
    const { failed, tokenRequests, events } = await hour(json(401, { error: 'invalid_client' }));
    expect({ failed, tokenRequests }).toEqual({ failed: 3600, tokenRequests: 5 });
    expect(events.at(-1)).toMatchObject({ type: 'credential.quarantined', halted: true });
  });

  it('takes a bounded number of token requests while the token endpoint is down from the start', async () => {
    const { failed, tokenRequests } = await hour(json(503, {}));
    expect(failed).toBe(3600);
    expect(tokenRequests).toBeLessThan(150);
  });

  it('fails no call if the token endpoint is down for the last quarter of an hour', async () => {
    expect((await hour(json(503, {}), 2701)).failed).toBe(0);
  });
});

describe('start mode', () => {
  it('lazy requests no token at boot', async () => {
    const { tokens } = await setUp();
    expect(tokens.requests).toHaveLength(0);
  });

  it('warm requests one, and does not wait for it', async () => {
    const { tokens, provider } = await setUp({ start: 'warm' });
    expect(provider.status().refreshing).toBe(true);
    await provider.getToken();
    expect(tokens.requests).toHaveLength(1);
  });

  it('require waits for one', async () => {
    const { provider } = await setUp({ start: 'require' });
    expect(provider.peek()?.reveal()).toBe('token-1');
  });

  it('require fails the boot at once if the client is refused', async () => {
    const tokens = await TestTokenServer.start();
    closing.push(() => tokens.close());
    tokens.fault = json(400, { error: 'invalid_client' });
    const identityProvider = genericOAuth2({ tokenEndpoint: tokens.url });
    const client = { identityProvider, clientId: 'a', clientSecret: 'b', start: 'require' as const };
    const module = await Test.createTestingModule({ imports: [IdentityM2MModule.forRoot({ client })] }).compile();
    await expect(module.init()).rejects.toMatchObject({ code: 'M2M_CLIENT_REJECTED' });
    expect(tokens.requests).toHaveLength(1);
  });

  it('require fails the boot after its limit if the token endpoint is down, with the reason', async () => {
    const tokens = await TestTokenServer.start();
    closing.push(() => tokens.close());
    tokens.fault = json(503, {});
    const identityProvider = genericOAuth2({ tokenEndpoint: tokens.url });
    const client = { identityProvider, clientId: 'a', clientSecret: 'b', start: 'require' as const };
    let provider: TokenProvider | undefined;
    const clock = clockFor(() => provider);
    const module = await Test.createTestingModule({ imports: [IdentityM2MModule.forRoot({ client })] })
      .overrideProvider(M2M_CLOCK)
      .useValue(clock)
      .compile();
    module.useLogger(false);
    provider = module.get(TokenProvider);
    const boot = module.init().catch((error: unknown) => error);
    await clock.advance(29_000);
    expect(tokens.requests.length).toBeGreaterThan(3);
    await clock.advance(1000);
    expect(await boot).toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      message: expect.stringContaining('within 30000 ms'),
      cause: { message: expect.stringContaining('HTTP 503') },
    });
  });
});

describe('discovery', () => {
  it('finds the token endpoint in the issuer’s metadata', async () => {
    const tokens = await TestTokenServer.start();
    const issuer = await TestServer.start((request, ...rest) =>
      request.url === '/.well-known/openid-configuration'
        ? json(200, { issuer: issuer.url, token_endpoint: tokens.url })(request, ...rest)
        : json(404, {})(request, ...rest),
    );
    closing.push(
      () => tokens.close(),
      () => issuer.close(),
    );
    const { provider } = await setUp({ identityProvider: genericOAuth2({ issuer: issuer.url }) });
    expect((await provider.getToken()).reveal()).toBe('token-1');
    await provider.renewToken(await provider.getToken());
    expect(issuer.requests).toHaveLength(1);
  });

  it('finds it by RFC 8414 without OpenID Connect', async () => {
    const tokens = await TestTokenServer.start();
    const issuer = await TestServer.start((request, ...rest) =>
      request.url === '/.well-known/oauth-authorization-server/tenant'
        ? json(200, { issuer: `${issuer.url}/tenant`, token_endpoint: tokens.url })(request, ...rest)
        : json(404, {})(request, ...rest),
    );
    closing.push(
      () => tokens.close(),
      () => issuer.close(),
    );
    const { provider } = await setUp({ identityProvider: genericOAuth2({ issuer: `${issuer.url}/tenant` }) });
    expect((await provider.getToken()).reveal()).toBe('token-1');
  });

  it('finds a token endpoint again that has moved', async () => {
    const [old, tokens] = [await TestTokenServer.start(), await TestTokenServer.start()];
    let endpoint = old.url;
    const issuer = await TestServer.start((...args) =>
      json(200, { issuer: issuer.url, token_endpoint: endpoint })(...args),
    );
    closing.push(
      () => tokens.close(),
      () => issuer.close(),
    );
    const clock = new ManualClock();
    const { provider } = await setUp({ identityProvider: genericOAuth2({ issuer: issuer.url }) }, clock);
    const token = await provider.getToken();
    await old.close();
    endpoint = tokens.url;
    const renewed = provider.renewToken(token);
    while (!provider.status().lastError) await new Promise(setImmediate);
    await clock.advance(1000);
    await renewed;
    expect(provider.status().lastError).toBeUndefined();
    expect(tokens.requests).toHaveLength(1);
  });

  it('keeps the token endpoint it found if that fails briefly and the metadata for longer', async () => {
    const tokens = await TestTokenServer.start();
    let isDown = false;
    const issuer = await TestServer.start((...args) =>
      isDown ? json(503, {})(...args) : json(200, { issuer: issuer.url, token_endpoint: tokens.url })(...args),
    );
    closing.push(
      () => tokens.close(),
      () => issuer.close(),
    );
    const clock = new ManualClock();
    const { provider } = await setUp({ identityProvider: genericOAuth2({ issuer: issuer.url }) }, clock);
    const token = await provider.getToken();
    isDown = true;
    tokens.fault = (_request, response) => response.socket!.destroy();
    const renewed = provider.renewToken(token);
    while (!provider.status().lastError) await new Promise(setImmediate);
    tokens.fault = undefined;
    await clock.advance(1000);
    expect((await renewed)?.fingerprint).not.toBe(token.fingerprint);
    expect(issuer.requests).toHaveLength(2);
  });

  it('respects the Retry-After of the metadata', async () => {
    const clock = new ManualClock();
    const issuer = await TestServer.start((_request, response) =>
      response.writeHead(429, { 'retry-after': '600' }).end(),
    );
    closing.push(() => issuer.close());
    const { provider } = await setUp({ identityProvider: genericOAuth2({ issuer: issuer.url }) }, clock);
    await expect(provider.getToken()).rejects.toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE' });
    const retryInMs = provider.status().lastError!.retryAt!.getTime() - clock.now().wallMs;
    expect(retryInMs).toBeGreaterThanOrEqual(600_000);
  });

  test.each<[string, object, string]>([
    ['of another issuer', { issuer: 'https://evil.example' }, 'M2M_TOKEN_REQUEST_REJECTED'],
    ['without a token endpoint', { token_endpoint: undefined }, 'M2M_TOKEN_REQUEST_REJECTED'],
    ['with a token endpoint over plain http', { token_endpoint: 'http://evil.example/' }, 'M2M_TOKEN_REQUEST_REJECTED'],
  ])('does not accept metadata %s', async (_name, wrong, code) => {
    const issuer = await TestServer.start((...args) =>
      json(200, { issuer: issuer.url, token_endpoint: `${issuer.url}/token`, ...wrong })(...args),
    );
    closing.push(() => issuer.close());
    const { provider } = await setUp({ identityProvider: genericOAuth2({ issuer: issuer.url }) });
    await expect(provider.getToken()).rejects.toMatchObject({ code });
    expect(issuer.requests.every(({ method }) => method === 'GET')).toBe(true);
  });
});

describe('shutting down', () => {
  it('keeps tokens for requests that are still being served', async () => {
    const { module, provider, tokens } = await setUp();
    let duringShutdown: string | undefined;
    module.get(Consumer).onShutdown = async () => {
      duringShutdown = (await provider.getToken()).reveal();
    };
    await module.close();
    expect(duringShutdown).toBe('token-1');
    expect(tokens.requests).toHaveLength(1);
    await expect(provider.renewToken(await provider.getToken())).resolves.toBeUndefined();
  });

  it('neither continues to refresh nor keeps the process alive', async () => {
    const clock = new ManualClock();
    const { module, provider } = await setUp({}, clock);
    await provider.getToken();
    expect(clock.pendingTimers).toBe(1);
    await module.close();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('the module', () => {
  it('uses an axios instance of its own', async () => {
    const { http } = await setUp();
    expect(http).toBeInstanceOf(HttpService);
    expect(http.axiosRef).not.toBe(axios);
    expect((axios.interceptors.request as unknown as { handlers: unknown[] }).handlers ?? []).toHaveLength(0);
  });

  it('fails with the reason if its HttpService is used without a client', async () => {
    const module = await Test.createTestingModule({
      imports: [
        IdentityM2MModule.forRoot({
          guard: { issuers: [genericOAuth2({ issuer: 'https://id.example' })], audience: 'api' },
        }),
      ],
    }).compile();
    await expect(module.get(HttpService).axiosRef.get('https://api.example')).rejects.toMatchObject({
      code: 'M2M_CONFIGURATION_INVALID',
    });
    await expect(module.get(TokenProvider).getToken()).rejects.toMatchObject({ code: 'M2M_CONFIGURATION_INVALID' });
    await module.close();
  });
});
