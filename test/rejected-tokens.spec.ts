import { type AddressInfo, createServer } from 'node:net';
import { once } from 'node:events';
import { Agent as HttpAgent, createServer as createHttpServer, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller } from '@nestjs/common';
import {
  ClientProxyFactory,
  Ctx,
  MessagePattern,
  type MicroserviceOptions,
  RpcException,
  type TcpContext,
  Transport,
} from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import type { AxiosAdapter } from 'axios';
import {
  bearerFetch,
  CallAddressError,
  IdentityM2MConfigurationError,
  type ResourceServerResponse,
} from 'nestjs-identity-m2m';
import { attachToken } from 'nestjs-identity-m2m/microservices';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import { HttpsProxyAgent } from 'https-proxy-agent';
import { concat, lastValueFrom, of, throwError, toArray } from 'rxjs';
import { Agent, FormData as UndiciFormData, interceptors, request } from 'undici';
import { json } from './support/http-server.js';
import {
  type Call,
  CARRIERS,
  closeAll,
  closeLater,
  outboundApplication,
  type OutboundApplication,
  rejecting,
  sentTo,
} from './support/outbound-applications.js';
import { RawServer } from './support/raw-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

afterEach(closeAll);

/** What is done with a rejected token, and with the call that carried it. */
describe.each(CARRIERS)('a token that is rejected, by %s', (name, make) => {
  it('out-F1: is renewed although the call cannot be sent again, so that the next call has a valid one', async () => {
    const system = await outboundApplication();
    await system.provider.getToken();
    system.api.answer = rejecting('token-1');
    const call = make(system);
    const statuses = [];
    for (let at = 0; at < 5; at++) {
      statuses.push((await call(`${system.api.url}/x`, { method: 'POST', body: Readable.from(['abc']) })).status);
    }
    expect(statuses).toEqual([401, 200, 200, 200, 200]);
    expect(system.api.requests.map(({ body }) => body)).toEqual(Array(5).fill('abc'));
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('out-F1: is renewed if the body is too long, or if no body may be sent again', async () => {
    for (const [maxReplayBytes, body] of [
      [3, 'abcd'],
      [0, undefined],
    ] as const) {
      const system = await outboundApplication({ maxReplayBytes });
      system.api.answer = rejecting('token-1');
      const call = make(system);
      const statuses = [];
      for (let at = 0; at < 3; at++) {
        statuses.push((await call(system.api.url, body ? { method: 'POST', body } : {})).status);
      }
      expect(statuses).toEqual([401, 200, 200]);
      expect(system.tokens.requests).toHaveLength(2);
    }
  });

  it('out-F1: is renewed at most once in ten seconds for calls that cannot be sent again, then less often', async () => {
    const clock: ManualClock = new ManualClock(undefined, () => new Promise(setImmediate));
    const system = await outboundApplication({}, clock);
    system.api.answer = json(401, {});
    const call = make(system);
    const renewals = [];
    for (let second = 0; second < 80; second++) {
      const before = system.tokens.requests.length;
      await call(system.api.url, { method: 'POST', body: Readable.from(['abc']) });
      if (second > 0 && system.tokens.requests.length > before) renewals.push(second);
      await clock.advance(1000);
    }
    // 10 s after the one at once had they helped, which they did not: 20 s, then 40 s.
    expect(renewals).toEqual([20, 60]);
    expect(system.tokens.requests).toHaveLength(4);
  });

  it('out-F1: is renewed despite a reset connection, within the time that a call may wait', async () => {
    const clock = new ManualClock();
    const system = await outboundApplication({}, clock);
    await system.provider.getToken();
    system.api.answer = rejecting('token-1');
    system.tokens.fault = (_request, response) => {
      system.tokens.fault = undefined;
      response.socket!.resetAndDestroy();
    };
    const failed = new Promise<void>((resolve) =>
      system.provider.events.subscribe(({ type }) => type === 'token.refresh_failed' && resolve()),
    );
    const answer = make(system)(system.api.url);
    await failed;
    await clock.advance(1000);
    expect((await answer).status).toBe(200);
    expect(sentTo(system.api)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(system.tokens.requests).toHaveLength(3);
  });

  it('out-F1: is renewed once for 50 concurrent calls that cannot be sent again', async () => {
    const system = await outboundApplication();
    await system.provider.getToken();
    system.api.answer = rejecting('token-1');
    const call = make(system);
    const post = () => call(system.api.url, { method: 'POST', body: Readable.from(['abc']) });
    const answers = await Promise.all(Array.from({ length: 50 }, post));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]));
    expect((await post()).status).toBe(200);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('stops the wait of a call that cannot be sent again when the caller cancels', async () => {
    const system = await outboundApplication();
    await system.provider.getToken();
    system.api.answer = json(401, {});
    let isAsked!: () => void;
    const asked = new Promise<void>((resolve) => (isAsked = resolve));
    system.tokens.fault = () => isAsked();
    const aborting = new AbortController();
    const answer = make(system)(system.api.url, {
      method: 'POST',
      body: Readable.from(['abc']),
      signal: aborting.signal,
    }).then(
      ({ status }) => status,
      (error: unknown) => (error as Error).name,
    );
    await asked;
    aborting.abort();
    // axios has the whole answer by then.
    expect(await answer).toMatch(name === 'HttpService' ? /401|CanceledError/ : /AbortError/);
  });

  it('is not sent again with a call whose connection breaks, even a reused one', async () => {
    const api = await RawServer.start();
    closeLater(() => api.close());
    const used = new WeakSet<object>();
    api.answer = (socket) => {
      if (used.has(socket)) return socket.destroy();
      used.add(socket);
      return socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    };
    const httpAgent = new HttpAgent({ keepAlive: true });
    closeLater(() => httpAgent.destroy());
    const system = await outboundApplication({ allowedOrigins: [api.url], http: { httpAgent } });
    const call = make(system, { connections: 1 });
    expect((await call(api.url)).status).toBe(200);
    // A connection is free for the next call once its last answer has been dealt with.
    await new Promise((resolve) => setTimeout(resolve, 10));
    await expect(call(api.url, { method: 'POST', body: 'abc' })).rejects.toThrow(/failed|hang up|closed/);
    expect([api.requests.length, api.connections]).toEqual([2, 1]);
    expect(system.tokens.requests).toHaveLength(1);
  });

  it('out-F7: is replaced by the previous one if the API’s clock is behind, so that no call fails', async () => {
    const { system, call, clock, issuedAt } = await behind(make, 1500);
    const statuses: number[] = [];
    for (let at = 0; at < 160; at++) {
      statuses.push((await call(system.api.url, { method: 'POST', body: 'abc' })).status);
      await clock.advance(100);
    }
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(issuedAt.size).toBeGreaterThan(2);
    // By schedule alone: nothing was minted because of a 401.
    expect(system.tokens.requests.length).toBeLessThanOrEqual(6);
    const told = system.events.filter(({ type }) => type === 'call.clock_behind');
    expect(told).toHaveLength(system.events.filter(({ type }) => type === 'token.refreshed').length);
    expect(told[0]).toMatchObject({ client: 'default', origin: system.api.url });
    expect(system.events.filter(({ type }) => type === 'call.replayed')).toHaveLength(told.length);
  });

  it('out-F7: is replaced for up to five seconds, and fails one call if calls cannot be sent again', async () => {
    const { system, call, clock } = await behind(make, 4500);
    const statuses: number[] = [];
    for (let at = 0; at < 70; at++) {
      statuses.push((await call(system.api.url, { method: 'POST', body: Readable.from(['abc']) })).status);
      await clock.advance(100);
    }
    // Tried at once, after 2 s and after 4 s, and accepted from 5 s on.
    expect(statuses.filter((status) => status === 401)).toHaveLength(3);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('out-F7: is not replaced by one that was rejected itself, and then the next call has another one', async () => {
    const { system, call, clock } = await behind(make, 0);
    await clock.advance(7300);
    await system.provider.getToken();
    system.api.answer = rejecting('token-1', 'token-2');
    expect((await call(system.api.url)).status).toBe(401);
    expect(sentTo(system.api).slice(-2)).toEqual(['Bearer token-2', 'Bearer token-1']);
    await until(() => system.provider.peek()?.reveal() === 'token-3');
    expect((await call(system.api.url)).status).toBe(200);
    expect(sentTo(system.api).slice(-1)).toEqual(['Bearer token-3']);
  });

  it('out-F7: is not replaced by one that this or another API has rejected before', async () => {
    const { system, call, clock } = await behind(make, 0);
    system.api.answer = json(401, {});
    // The first renewal brings token-2; the brake lets no other one through.
    await call(system.api.url);
    expect((await call(system.api.url)).status).toBe(401);
    expect(system.provider.peek()?.reveal()).toBe('token-2');
    await clock.advance(7300);
    expect((await system.provider.getToken()).reveal()).toBe('token-3');
    const before = system.api.requests.length;
    await call(system.api.url);
    expect(sentTo(system.api).slice(before)).not.toContain('Bearer token-2');
  });

  it('call-3: is not renewed for the 401 of an origin that it was not sent to', async () => {
    const system = await outboundApplication({ http: { maxRedirects: 5 } });
    system.api.answer = (_request, response) =>
      response.writeHead(307, { location: `${system.elsewhere.url}/b` }).end('moved');
    system.elsewhere.answer = json(401, { who: 'a stranger' }, { 'www-authenticate': 'Bearer error="invalid_token"' });
    const call = name.startsWith('undici') ? redirecting(system) : make(system);
    const answer = await call(`${system.api.url}/a`, { method: 'POST', body: 'abc' });
    expect(answer).toEqual({ status: 401, body: '{"who":"a stranger"}' });
    expect(sentTo(system.api)).toEqual(['Bearer token-1']);
    expect(sentTo(system.elsewhere)).toEqual([undefined]);
    expect(system.tokens.requests).toHaveLength(1);
    // Nor for one on the way back to a bound place, which the token has not come along to.
    if (name.startsWith('undici')) return;
    system.api.answer = ({ url }, response) =>
      url === '/back'
        ? response.writeHead(401).end()
        : response.writeHead(307, { location: system.elsewhere.url }).end();
    system.elsewhere.answer = (_request, response) =>
      response.writeHead(307, { location: `${system.api.url}/back` }).end();
    expect((await call(`${system.api.url}/a`)).status).toBe(401);
    expect(sentTo(system.api).slice(1)).toEqual(['Bearer token-1', undefined]);
    expect(system.tokens.requests).toHaveLength(1);
  });

  it('call-3: is renewed for the 401 of an allowed origin after a redirect', async () => {
    const system = await outboundApplication(({ api, elsewhere }) => ({
      http: { maxRedirects: 5 },
      allowedOrigins: [api, elsewhere],
    }));
    system.api.answer = (_request, response) =>
      response.writeHead(307, { location: `${system.elsewhere.url}/b` }).end();
    system.elsewhere.answer = rejecting('token-1');
    const call = name.startsWith('undici') ? redirecting(system) : make(system);
    expect((await call(`${system.api.url}/a`)).status).toBe(200);
    expect(sentTo(system.elsewhere)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('call-3: does not repeat a POST that one origin has executed and another answers with 401', async () => {
    const system = await outboundApplication({ http: { maxRedirects: 5 } });
    system.api.answer = (request, response, message) =>
      request.method === 'POST'
        ? response.writeHead(303, { location: '/done' }).end()
        : rejecting('token-1')(request, response, message);
    const call = name.startsWith('undici') ? redirecting(system) : make(system);
    const { status } = await call(`${system.api.url}/orders`, { method: 'POST', body: 'one' });
    // axios follows by itself, so that nothing but the whole call could be sent again.
    expect(status).toBe(name === 'HttpService' ? 401 : 200);
    expect(system.api.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('call-3: is not renewed for 401s to calls without it: origin not allowed, or authorization of their own', async () => {
    const system = await outboundApplication();
    await system.provider.getToken();
    system.api.answer = system.elsewhere.answer = json(401, {});
    const call = make(system);
    await call(system.elsewhere.url);
    await call(system.api.url, { headers: { authorization: 'Basic eA==' } });
    await call(system.api.url, { headers: { authorization: 'Bearer token-1' } });
    expect(system.tokens.requests).toHaveLength(1);
  });

  it('out-F8: is detected by a predicate on the answer', async () => {
    const seen: ResourceServerResponse[] = [];
    const system = await outboundApplication({
      isTokenRejected: (answer) => {
        seen.push(answer);
        return answer.body.includes('InvalidSessionId');
      },
    });
    const fault = { exceptionCode: 'InvalidSessionId', exceptionMessage: 'Invalid session id' };
    system.api.answer = (request, ...others) =>
      request.headers.authorization === 'Bearer token-1'
        ? json(400, fault, { 'X-Own': 'yes' })(request, ...others)
        : json(200, { ok: true })(request, ...others);
    const call = make(system);
    const body = 'a,b,c';
    expect(await call(system.api.url, { method: 'POST', body })).toEqual({ status: 200, body: '{"ok":true}' });
    expect(sentTo(system.api)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(seen).toEqual([
      { status: 400, headers: expect.objectContaining({ 'x-own': 'yes' }), body: JSON.stringify(fault) },
    ]);
    // Another 400 is passed on as it is, and so is a 401: the predicate takes the place of the statuses.
    for (const status of [400, 401, 500]) {
      system.api.answer = json(status, { exceptionCode: 'Other' });
      expect(await call(system.api.url)).toEqual({ status, body: '{"exceptionCode":"Other"}' });
    }
    expect(system.tokens.requests).toHaveLength(2);
    expect(seen).toHaveLength(4);
  });

  it('out-F8: is detected by a predicate also if the call cannot be sent again', async () => {
    const system = await outboundApplication({ isTokenRejected: ({ body }) => body.includes('InvalidSessionId') });
    system.api.answer = (request, ...others) =>
      json(request.headers.authorization === 'Bearer token-1' ? 400 : 200, 'InvalidSessionId')(request, ...others);
    const post = () => make(system)(system.api.url, { method: 'POST', body: Readable.from(['abc']) });
    expect(await post()).toEqual({ status: 400, body: '"InvalidSessionId"' });
    expect((await post()).status).toBe(200);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it.each([
    ['long', 'x'.repeat(300_000)],
    ['empty', ''],
    ['compressed or not text', '\u0000\u001f\u008b'],
  ])('out-F8: leaves an answer complete after a predicate has read it: %s', async (_name, body) => {
    const system = await outboundApplication({ isTokenRejected: ({ body }) => body.length > 16_384 });
    system.api.answer = (_request, response) => response.writeHead(400).end(body);
    const answer = await make(system)(system.api.url);
    expect(answer.status).toBe(400);
    expect(answer.body === body).toBe(true);
    expect(system.tokens.requests).toHaveLength(1);
  });

  it.each([
    [
      'throws',
      (): boolean => {
        throw new TypeError('token-1');
      },
      'threw a TypeError',
    ],
    ['returns a promise', async () => true, 'returned a promise'],
    ['returns a promise that rejects', async () => Promise.reject(new Error('no')), 'returned a promise'],
    ['returns neither true nor false', () => 1, 'returned neither true nor false'],
  ])('out-F8: is not rejected if the predicate %s, which is logged once', async (_how, predicate, problem) => {
    const isTokenRejected = predicate as () => boolean;
    const system = await outboundApplication({ isTokenRejected });
    system.api.answer = json(401, { a: 1 });
    const call = make(system);
    for (let at = 0; at < 3; at++) expect(await call(system.api.url)).toEqual({ status: 401, body: '{"a":1}' });
    expect(system.tokens.requests).toHaveLength(1);
    const failed = system.events.filter(({ type }) => type === 'option.failed');
    expect(failed).toEqual([{ type: 'option.failed', client: 'default', option: 'isTokenRejected', problem }]);
  });

  it('out-F8: never counts as rejected if the response names a missing scope', async () => {
    const system = await outboundApplication({ isTokenRejected: () => true });
    system.api.answer = json(403, {}, { 'www-authenticate': 'Bearer error="insufficient_scope"' });
    await make(system)(system.api.url);
    expect(system.tokens.requests).toHaveLength(1);
  });
});

/**
 * A client with tokens of 12 s and a first one that every receiver takes, and an API whose clock is behind: tokens that
 * are younger than so many milliseconds are not valid yet.
 */
async function behind(make: (typeof CARRIERS)[number][1], behindMs: number) {
  const clock: ManualClock = new ManualClock(undefined, async () => {
    do await new Promise(setImmediate);
    while (system.provider.status().refreshing);
  });
  const system: OutboundApplication = await outboundApplication({}, clock);
  const issuedAt = new Map<string, number>();
  system.tokens.fault = (...args) => {
    const access_token = `token-${issuedAt.size + 1}`;
    issuedAt.set(`Bearer ${access_token}`, clock.now().monotonicMs);
    json(200, { access_token, token_type: 'Bearer', expires_in: 12 })(...args);
  };
  system.api.answer = (request, ...others) => {
    const ageMs = clock.now().monotonicMs - (issuedAt.get(request.headers.authorization!) ?? Infinity);
    const challenge = { 'www-authenticate': 'Bearer error="invalid_token"' };
    return ageMs < behindMs ? json(401, {}, challenge)(request, ...others) : json(200, {})(request, ...others);
  };
  await system.provider.getToken();
  await clock.advance(behindMs);
  return { system, call: make(system), clock, issuedAt };
}

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise(setImmediate);
};

/** A call by undici that follows redirects. */
function redirecting({ provider }: OutboundApplication): Call {
  const agent = new Agent();
  closeLater(() => agent.destroy());
  const dispatcher = agent.compose(bearerInterceptor(provider), interceptors.redirect({ maxRedirections: 5 }));
  return async (url, options) => {
    const { statusCode, body } = await request(url, { dispatcher, ...options });
    return { status: statusCode, body: await body.text() };
  };
}

describe('a token that is rejected', () => {
  it.each([
    [
      'FormData with axios',
      ({ http }: OutboundApplication) => {
        const form = new FormData();
        form.append('a', 'b');
        return http.axiosRef.post('/x', form, { validateStatus: () => true });
      },
    ],
    [
      'FormData with fetch',
      ({ provider, api }: OutboundApplication) => {
        const form = new FormData();
        form.append('a', 'b');
        return bearerFetch(provider)(api.url, { method: 'POST', body: form });
      },
    ],
    [
      'an iterable with fetch',
      ({ provider, api }: OutboundApplication) => {
        const body = Readable.from(['abc']) as unknown as NonNullable<RequestInit['body']>;
        return bearerFetch(provider)(api.url, { method: 'POST', body, duplex: 'half' });
      },
    ],
    [
      'the body of a Request with fetch',
      ({ provider, api }: OutboundApplication) =>
        bearerFetch(provider)(new Request(api.url, { method: 'POST', body: 'abc' })),
    ],
    [
      'FormData with undici',
      async ({ provider, api }: OutboundApplication) => {
        const form = new UndiciFormData();
        form.append('a', 'b');
        const agent = new Agent();
        closeLater(() => agent.destroy());
        const dispatcher = agent.compose(bearerInterceptor(provider));
        const { statusCode, body } = await request(api.url, { method: 'POST', body: form, dispatcher });
        await body.dump();
        return { status: statusCode };
      },
    ],
  ])('out-F2: is renewed if the body is used up: %s', async (_name, post) => {
    const system = await outboundApplication(({ api }) => ({ http: { baseURL: api } }));
    await system.provider.getToken();
    system.api.answer = rejecting('token-1');
    const statuses = [];
    for (let at = 0; at < 5; at++) statuses.push((await post(system)).status);
    expect(statuses).toEqual([401, 200, 200, 200, 200]);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it.each([
    ['a stream', { responseType: 'stream' }, (data: unknown) => text(data as Readable)],
    [
      'a web stream',
      { responseType: 'stream', adapter: 'fetch' },
      (data: unknown) => new Response(data as ReadableStream).text(),
    ],
    ['bytes', { responseType: 'arraybuffer' }, (data: unknown) => Buffer.from(data as Buffer).toString()],
    ['a Blob', { responseType: 'blob', adapter: 'fetch' }, (data: unknown) => (data as Blob).text()],
    ['parsed', {}, (data: unknown) => JSON.stringify(data)],
  ] as const)('out-F8: is detected by a predicate if axios returns the body as %s', async (_name, config, read) => {
    const { http, api, tokens } = await outboundApplication({
      isTokenRejected: ({ body }) => body.includes('InvalidSessionId'),
    });
    const fault = { code: 'InvalidSessionId', detail: 'x'.repeat(200_000) };
    api.answer = (request, ...others) =>
      json(request.headers.authorization === 'Bearer token-1' ? 400 : 200, fault)(request, ...others);
    const answer = await http.axiosRef.get<unknown>(api.url, { ...config, validateStatus: () => true });
    expect(answer.status).toBe(200);
    expect(tokens.requests).toHaveLength(2);
    // One that is passed on is whole.
    api.answer = json(400, { ...fault, code: 'Other' });
    const other = await http.axiosRef.get<unknown>(api.url, { ...config, validateStatus: () => true });
    expect(other.status).toBe(400);
    expect((await read(other.data)) === JSON.stringify({ ...fault, code: 'Other' })).toBe(true);
    expect(tokens.requests).toHaveLength(2);
  });

  it('out-F8: is checked without a long wait for a slow body, which is passed on whole', async () => {
    const system = await outboundApplication({ isTokenRejected: ({ body }) => body.includes('never') });
    const slow: ServerResponse[] = [];
    system.api.answer = (_request, response) => {
      response.writeHead(400).write('first ');
      slow.push(response);
    };
    const agent = new Agent();
    closeLater(() => agent.destroy());
    const dispatcher = agent.compose(bearerInterceptor(system.provider));
    const { url } = system.api;
    const bodies: (() => Promise<string>)[] = await Promise.all([
      system.http.axiosRef.get<Readable>(url, { responseType: 'stream', validateStatus: () => true }).then(
        ({ data }) =>
          () =>
            text(data),
      ),
      bearerFetch(system.provider)(url).then((response) => () => response.text()),
      request(url, { dispatcher }).then(
        ({ body }) =>
          () =>
            body.text(),
      ),
    ]);
    for (const response of slow) response.end('second');
    expect(await Promise.all(bodies.map((read) => read()))).toEqual(Array(3).fill('first second'));
  });

  it.each([
    ['its own', (port: number) => ({ proxy: { protocol: 'http', host: '127.0.0.1', port } })],
    [
      'an agent',
      (port: number) => ({ proxy: false as const, httpsAgent: new HttpsProxyAgent(`http://127.0.0.1:${port}`) }),
    ],
  ])('call-3: is not renewed for the 401 of a proxy that opens no tunnel: %s', async (_name, config) => {
    const tunnels: string[] = [];
    const proxy = createHttpServer().on('connect', ({ url }, socket) => {
      tunnels.push(String(url));
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    closeLater(() => proxy.close());
    const { http, tokens } = await outboundApplication({ allowedOrigins: ['https://api.example.test'] });
    const options = { ...config((proxy.address() as AddressInfo).port), validateStatus: () => true };
    const outcome = await http.axiosRef.post<unknown>('https://api.example.test/x', 'abc', options).then(
      ({ status }) => status,
      (error: unknown) => (error as Error).name,
    );
    expect([outcome, tunnels]).toEqual([expect.anything(), ['api.example.test:443']]);
    expect(tokens.requests).toHaveLength(1);
  });

  it('is renewed after a refused upgrade', async () => {
    const { provider, api, tokens } = await outboundApplication();
    await provider.getToken();
    api.answer = json(401, {});
    const agent = new Agent();
    closeLater(() => agent.destroy());
    const dispatcher = agent.compose(bearerInterceptor(provider));
    const upgrade = dispatcher.upgrade({ origin: api.url, path: '/', protocol: 'x' } as never);
    await expect(upgrade).rejects.toThrow(/upgrade/i);
    await provider.getToken();
    expect(tokens.requests).toHaveLength(2);
  });
});

@Controller()
class Receiver {
  static readonly received: (string | undefined)[] = [];

  @MessagePattern('act')
  act(@Ctx() context: TcpContext) {
    if (authorizationOf(context) === 'Bearer token-1') throw new RpcException({ code: 'UNAUTHENTICATED' });
    return 'done';
  }

  /** With a member of the name that gRPC has its metadata under. */
  @MessagePattern('act oddly')
  actOddly(@Ctx() context: TcpContext) {
    const metadata = { get: 'no function' };
    if (authorizationOf(context) === 'Bearer token-1') throw new RpcException({ code: 'UNAUTHENTICATED', metadata });
    return 'done';
  }

  /** Takes the token at first, and refuses it in the middle of its answers. */
  @MessagePattern('watch')
  watch(@Ctx() context: TcpContext) {
    const refused = () => new RpcException({ code: 'UNAUTHENTICATED', error: 'invalid_token' });
    return authorizationOf(context) === 'Bearer token-1' ? concat(of(1, 2), throwError(refused)) : of(1, 2, 3);
  }

  /** As an API behind the receiver answers. */
  @MessagePattern('pass on')
  passOn(@Ctx() context: TcpContext) {
    if (authorizationOf(context) === 'Bearer token-1') throw new RpcException({ fault: 'InvalidSessionId' });
    return 'done';
  }
}

function authorizationOf(context: TcpContext): string | undefined {
  const authorization = context.getMetadata()?.authorization;
  Receiver.received.push(authorization);
  return authorization;
}

describe('a token that a receiver of messages refuses', () => {
  const connect = async (
    options: Parameters<typeof outboundApplication>[0] = {},
    attachOptions: Parameters<typeof attachToken>[2] = {},
  ) => {
    Receiver.received.length = 0;
    const port = await freePort();
    const module = await Test.createTestingModule({ controllers: [Receiver] }).compile();
    const transport = { transport: Transport.TCP, options: { host: '127.0.0.1', port } } as const;
    const server = module.createNestMicroservice<MicroserviceOptions>({ ...transport, logger: false });
    await server.listen();
    const system = await outboundApplication(options);
    const client = attachToken(ClientProxyFactory.create(transport), system.provider, attachOptions);
    closeLater(() => client.close());
    closeLater(() => server.close());
    const send = (pattern: string) =>
      lastValueFrom(client.send<unknown>(pattern, {}).pipe(toArray())).then(
        (answers) => answers,
        (error: unknown) => error,
      );
    return { ...system, client, send };
  };

  it('out-F5: is renewed although calls are not sent again', async () => {
    const { send, tokens } = await connect({}, { replay: false });
    expect(await send('act')).toMatchObject({ code: 'UNAUTHENTICATED' });
    for (let at = 0; at < 3; at++) expect(await send('act')).toEqual(['done']);
    expect(Receiver.received).toEqual(['Bearer token-1', 'Bearer token-2', 'Bearer token-2', 'Bearer token-2']);
    expect(tokens.requests).toHaveLength(2);
  });

  it('out-F5: is renewed whatever else the error has on it', async () => {
    const { send, tokens } = await connect();
    expect(await send('act oddly')).toEqual(['done']);
    expect(tokens.requests).toHaveLength(2);
  });

  it('out-F5: is renewed although the caller already has some of the answers', async () => {
    const { send, client, provider, tokens } = await connect();
    const heard: unknown[] = [];
    const error = await new Promise<unknown>((error) => {
      client.send<unknown>('watch', {}).subscribe({ next: (answer) => heard.push(answer), error });
    });
    expect(heard).toEqual([1, 2]);
    expect(error).toMatchObject({ code: 'UNAUTHENTICATED' });
    while (provider.status().refreshing) await new Promise(setImmediate);
    expect(await send('watch')).toEqual([1, 2, 3]);
    expect(Receiver.received).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(tokens.requests).toHaveLength(2);
  });

  it('out-F8: is detected by a predicate on the error', async () => {
    const seen: ResourceServerResponse[] = [];
    const { send, tokens } = await connect({
      isTokenRejected: (answer) => seen.push(answer) > 0 && answer.body.includes('InvalidSessionId'),
    });
    expect(await send('pass on')).toEqual(['done']);
    expect(seen).toEqual([{ status: 500, headers: {}, body: '{"fault":"InvalidSessionId"}' }]);
    expect(Receiver.received).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(tokens.requests).toHaveLength(2);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

describe('a call with an invalid URL', () => {
  it.each([
    ['relative', '/users?token=secret', /address "\/users" is not an absolute URL/],
    ['relative, without a slash', 'users/1', /address "users\/1" is not an absolute URL/],
    ['empty', '', /its address is empty/],
    ['of another protocol', 'htp://api.example/x', /begins with "htp:"\. Use an https URL/],
    ['with a space in the host', 'https://api example/x', /"https:\/\/api example\/x" is not a URL/],
    ['with a name and a password', 'https://user:pass word@a b/x', /"https:\/\/…@a b\/x" is not a URL/],
  ])('call-6: fails with an error of the library, which names the remedy: %s', async (name, url, message) => {
    const { http, provider, tokens } = await outboundApplication();
    const errors = await Promise.all([
      http.axiosRef.get(url).catch((error: unknown) => error),
      lastValueFrom(http.post(url, 'x')).catch((error: unknown) => error),
      bearerFetch(provider)(url).catch((error: unknown) => error),
    ]);
    for (const [at, error] of (errors as CallAddressError[]).entries()) {
      expect(error).toBeInstanceOf(CallAddressError);
      expect(error).toMatchObject({ code: 'M2M_CALL_ADDRESS_INVALID', client: 'default', cause: expect.anything() });
      expect(error.message).toMatch(
        new RegExp(`^Cannot send a ${at === 1 ? 'POST' : 'GET'} call of client "default": `),
      );
      expect(error.message).toMatch(message);
      expect(error.message).not.toMatch(/secret|pass/);
      const advice = at === 2 ? 'fetch knows no base URL' : "set http: { baseURL: 'https://…' }";
      if (/relative|empty/.test(name)) expect(error.message).toContain(advice);
    }
    expect(tokens.requests).toHaveLength(0);
  });

  it('call-6: is distinguished from one that fails for another reason, and from one that an adapter accepts', async () => {
    const { http, provider, elsewhere } = await outboundApplication();
    elsewhere.answer = json(404, {});
    await expect(http.axiosRef.get(elsewhere.url)).rejects.toMatchObject({ name: 'AxiosError', status: 404 });
    const { port } = new URL(elsewhere.url);
    await elsewhere.close();
    await expect(bearerFetch(provider)(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ name: 'TypeError' });
    const adapter: AxiosAdapter = async (config) => ({ ...PLAIN, config, data: `answer to ${config.url}` });
    expect((await http.axiosRef.get<string>('/users', { adapter })).data).toBe('answer to /users');
    // axios itself takes data URLs.
    expect((await http.axiosRef.get<string>('data:,hello', { responseType: 'text' })).data).toBe('hello');
  });

  it('call-6: fails in undici too if its origin is missing or wrong', async () => {
    const { provider } = await outboundApplication();
    const agent = new Agent();
    closeLater(() => agent.destroy());
    const dispatcher = agent.compose(bearerInterceptor(provider));
    const get = (origin?: string) =>
      dispatcher.request({ path: '/users', method: 'GET', ...(origin !== undefined && { origin }) });
    await expect(get()).rejects.toBeInstanceOf(IdentityM2MConfigurationError);
    for (const origin of ['htp://api.example', 'api.example', '', 'https://a b']) {
      await expect(get(origin)).rejects.toMatchObject({
        code: 'M2M_CALL_ADDRESS_INVALID',
        message: expect.stringMatching(/^Cannot send a GET call of client "default": its origin /),
      });
    }
    for (const origin of ['api.example', 'htp://api.example']) {
      expect(() => bearerInterceptor(provider, { origin })).toThrow(IdentityM2MConfigurationError);
    }
  });
});

const PLAIN = { status: 200, statusText: 'OK', headers: {} };
