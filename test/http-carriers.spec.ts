import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, test } from '@jest/globals';
import type { HttpService } from '@nestjs/axios';
import { decodeJwt } from 'jose';
import {
  type AccessTokenStatus,
  authorizationFor,
  bearerFetch,
  type BearerFetchOptions,
  type OriginDecision,
  type OutboundEvent,
  TokenProvider,
  TokenUnavailableError,
  EventStream,
  AccessToken,
} from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import { Agent, type Dispatcher, fetch as undiciFetch, interceptors, request } from 'undici';
// From inside: it stands in where a module has no client.
import { UnconfiguredTokenProvider } from '../libs/identity-m2m/src/clients/unconfigured-client.js';
import { selfSignedCertificate } from './support/certificates.js';
import { type Answer, json, type TestServer } from './support/http-server.js';
import {
  CARRIERS,
  closeAll,
  closeLater,
  outboundApplication as setUp,
  rejecting,
  sentTo,
} from './support/outbound-applications.js';
import { RawServer } from './support/raw-server.js';
import { reachablePaths } from './support/reachable-paths.js';
import type { TestTokenServer } from './support/token-server.js';
import { UNDICI_VERSIONS } from './support/undici-versions.js';

afterEach(closeAll);

/** Holds the token endpoint's next answers until the test lets go. */
function holdTokens(tokens: TestTokenServer): () => void {
  let release!: () => void;
  const held = new Promise<void>((resolve) => (release = resolve));
  tokens.fault = async (...args) => {
    await held;
    return json(200, { access_token: 'late', token_type: 'bearer', expires_in: 60 })(...args);
  };
  return release;
}

/** Errors of Node's own are of another realm than those of the test. */
const nameOf = (error: unknown) => (error as Error).name as string | undefined;

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise(setImmediate);
};

describe.each(CARRIERS)('a call by %s', (name, make) => {
  /** `fetch` takes Node's streams as well, as what can be iterated over. */
  const makeWithNodeStream: typeof make = (system) =>
    name === 'bearerFetch'
      ? async (url, options) => {
          const init = { duplex: 'half', ...options } as unknown as RequestInit;
          const response = await bearerFetch(system.provider)(url, init);
          return { status: response.status, body: await response.text() };
        }
      : make(system);

  it('carries the token to allowed origins, and nowhere else', async () => {
    const system = await setUp();
    const call = make(system);
    expect(await call(`${system.api.url}/users?a=b`)).toEqual({ status: 200, body: '{"ok":true}' });
    await call(`${system.api.url}/users`, { method: 'POST', body: 'text', headers: { 'x-own': 'yes' } });
    await call(system.elsewhere.url);
    expect(sentTo(system.api)).toEqual(['Bearer token-1', 'Bearer token-1']);
    expect(system.api.requests[1]).toMatchObject({ method: 'POST', body: 'text', headers: { 'x-own': 'yes' } });
    expect(sentTo(system.elsewhere)).toEqual([undefined]);
    expect(system.events.map(({ type }) => type)).toEqual(['token.acquired', 'call.refused_origin']);
    expect(system.events.at(-1)).toMatchObject({ origin: system.elsewhere.url, reason: 'origin_not_allowed' });
  });

  it('is not sent if there is no token', async () => {
    const system = await setUp({ acquireTimeoutMs: 400 });
    system.tokens.fault = json(503, {});
    const error: unknown = await make(system)(system.api.url).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TokenUnavailableError);
    expect(system.api.requests).toHaveLength(0);
  });

  it('keeps the caller’s own authorization', async () => {
    const system = await setUp();
    const call = make(system);
    await call(system.api.url, { headers: { Authorization: 'Bearer of-the-caller' } });
    await call(system.api.url, { headers: { authorization: 'Basic eA==' } });
    expect(sentTo(system.api)).toEqual(['Bearer of-the-caller', 'Basic eA==']);
    expect(system.tokens.requests).toHaveLength(0);
  });

  it('carries no token with a Host header of another origin', async () => {
    const system = await setUp();
    const call = make(system);
    const { host } = new URL(system.api.url);
    for (const wrong of ['evil.example', `user@${host}`, `${host}/x`]) {
      await call(system.api.url, { headers: { Host: wrong } }).catch(() => {});
    }
    expect(sentTo(system.api).every((header) => header === undefined)).toBe(true);
    await call(system.api.url, { headers: { Host: host } });
    expect(sentTo(system.api).at(-1)).toBe('Bearer token-1');
  });

  it('shares one token request with 300 other first calls', async () => {
    const system = await setUp();
    const call = make(system);
    const answers = await Promise.all(Array.from({ length: 300 }, () => call(system.api.url)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(system.tokens.requests).toHaveLength(1);
  });

  it('is sent once more with a new token after a 401, and emits an event', async () => {
    const system = await setUp();
    system.api.answer = rejecting('token-1');
    const answer = await make(system)(system.api.url, { method: 'POST', body: Buffer.from('{"name":"jane"}') });
    expect(answer).toEqual({ status: 200, body: '{"ok":true}' });
    expect(sentTo(system.api)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(system.api.requests.map(({ body }) => body)).toEqual(Array(2).fill('{"name":"jane"}'));
    expect(system.events.map(({ type }) => type)).toEqual(['token.acquired', 'token.refreshed', 'call.replayed']);
    expect(system.events.at(-1)).toMatchObject({ client: 'default', origin: system.api.url });
  });

  it('is sent once more at most', async () => {
    const system = await setUp();
    system.api.answer = json(401, { detail: 'revoked' });
    const call = make(system);
    expect(await call(system.api.url)).toEqual({ status: 401, body: '{"detail":"revoked"}' });
    for (let again = 0; again < 20; again++) await call(system.api.url);
    expect(sentTo(system.api).slice(0, 2)).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(system.api.requests).toHaveLength(22);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('causes one token request for 500 calls in flight when the token is revoked', async () => {
    const system = await setUp();
    const call = make(system);
    await call(system.api.url);
    system.api.answer = rejecting('token-1');
    const answers = await Promise.all(Array.from({ length: 500 }, () => call(system.api.url)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('is sent once more after a 403 if configured, except for insufficient_scope', async () => {
    const refusing =
      (challenge: string): Answer =>
      (request, response) => {
        const isRefused = request.headers.authorization === 'Bearer token-1';
        response.writeHead(isRefused ? 403 : 200, { 'www-authenticate': challenge }).end(isRefused ? 'no' : 'yes');
      };
    const invalid = 'Bearer error="invalid_token"';
    const asked = await setUp({ isTokenRejected: [401, 403] });
    asked.api.answer = refusing('Bearer error="insufficient_scope"');
    expect(await make(asked)(asked.api.url)).toEqual({ status: 403, body: 'no' });
    asked.api.answer = refusing(invalid);
    expect(await make(asked)(asked.api.url)).toEqual({ status: 200, body: 'yes' });
    const usual = await setUp();
    usual.api.answer = refusing(invalid);
    expect(await make(usual)(usual.api.url)).toEqual({ status: 403, body: 'no' });
    expect([asked, usual].map(({ tokens }) => tokens.requests.length)).toEqual([2, 1]);
  });

  it.each([
    ['never ends', (response: Parameters<Answer>[1]) => void endless(response)],
    ['is never sent', (response: Parameters<Answer>[1]) => void response.write('{')],
  ])('is sent once more after a 401 whose body %s', async (_how, answer) => {
    const system = await setUp();
    let isClosed = false;
    system.api.answer = (request, response) => {
      const isRejected = request.headers.authorization === 'Bearer token-1';
      response.writeHead(isRejected ? 401 : 200);
      if (!isRejected) return void response.end('{}');
      response.on('close', () => (isClosed = true));
      answer(response);
    };
    expect(await make(system, { connections: 1 })(system.api.url)).toEqual({ status: 200, body: '{}' });
    await until(() => isClosed);
  });

  it('gets the 401, with its body, if its own body is a stream or too long', async () => {
    const system = await setUp({ maxReplayBytes: 100 });
    system.api.answer = rejecting('token-1', 'token-2');
    const call = make(system);
    const rejected = { status: 401, body: '{"ok":false}' };
    expect(await call(system.api.url, { method: 'POST', body: Readable.from(['x']) })).toEqual(rejected);
    expect(await call(system.api.url, { method: 'POST', body: 'x'.repeat(101) })).toEqual(rejected);
    expect(system.api.requests.map(({ body }) => body.length)).toEqual([1, 101]);
    // The first of them has the token renewed all the same.
    expect((await system.provider.getToken()).reveal()).toBe('token-2');
    system.api.answer = rejecting('token-1');
    expect(await call(system.api.url, { method: 'POST', body: 'x'.repeat(100) })).toMatchObject({ status: 200 });
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('gets the 401 if a new token would not help, or is unavailable', async () => {
    const system = await setUp();
    const call = make(system);
    system.api.answer = json(401, {}, { 'www-authenticate': 'Bearer error="insufficient_scope"' });
    expect(await call(system.api.url)).toMatchObject({ status: 401 });
    expect(system.tokens.requests).toHaveLength(1);
    system.api.answer = json(401, { detail: 'revoked' });
    system.tokens.fault = json(400, { error: 'invalid_scope' });
    expect(await call(system.api.url)).toEqual({ status: 401, body: '{"detail":"revoked"}' });
    expect(system.api.requests).toHaveLength(2);
  });

  it('ends at once when it is cancelled while it waits for a token', async () => {
    const system = await setUp();
    const release = holdTokens(system.tokens);
    const aborting = new AbortController();
    const call = make(system);
    const aborted = call(system.api.url, { signal: aborting.signal }).catch((error: unknown) => error);
    const other = call(system.api.url);
    await until(() => system.tokens.requests.length > 0);
    aborting.abort();
    expect(nameOf(await aborted)).toMatch(/^(?:AbortError|CanceledError)$/);
    expect(system.api.requests).toHaveLength(0);
    release();
    await other;
    expect(sentTo(system.api)).toEqual(['Bearer late']);
  });

  it('ends at once when it is cancelled while its token is renewed', async () => {
    const system = await setUp();
    const call = make(system);
    await call(system.api.url);
    system.api.answer = rejecting('token-1');
    const release = holdTokens(system.tokens);
    const aborting = new AbortController();
    const aborted = call(system.api.url, { signal: aborting.signal }).catch((error: unknown) => error);
    await until(() => system.tokens.requests.length > 1);
    aborting.abort();
    expect(nameOf(await aborted)).toMatch(/^(?:AbortError|CanceledError)$/);
    release();
    await sleep(20);
    expect(system.api.requests).toHaveLength(2);
  });

  it('leaves no request behind when it is cancelled while its DPoP proof is created', async () => {
    const system = await setUp({ dpop: true });
    system.tokens.fault = json(200, { access_token: 'bound', token_type: 'DPoP', expires_in: 3600 });
    await system.provider.getToken();
    let open = 0;
    system.api.answer = (_request, response) => {
      open += 1;
      response.on('close', () => (open -= 1));
    };
    const call = make(system);
    for (let steps = 0; steps < 30; steps++) {
      const aborting = new AbortController();
      const aborted = call(system.api.url, { signal: aborting.signal }).catch((error: unknown) => error);
      for (let step = 0; step < steps; step++) await Promise.resolve();
      aborting.abort();
      expect(nameOf(await aborted)).toMatch(/^(?:AbortError|CanceledError)$/);
    }
    // One after those that were cancelled, so that what they have sent has arrived.
    void call(system.api.url).catch(() => {});
    await until(() => system.api.requests.length > 0);
    await until(() => open === 1);
  });

  it.each([
    ['with an error', (body: PassThrough) => body.destroy(new Error('the file is gone')), /the file is gone/],
    ['without one', (body: PassThrough) => body.destroy(), /premature close/i],
  ])('fails, and nothing else does, if its body breaks %s while it waits for a token', async (_how, ruin, message) => {
    const system = await setUp();
    const release = holdTokens(system.tokens);
    const call = makeWithNodeStream(system);
    const body = new PassThrough();
    const waiting = call(system.api.url, { method: 'POST', body });
    await until(() => system.tokens.requests.length > 0);
    ruin(body);
    await expect(waiting).rejects.toThrow(message);
    await expect(call(system.api.url, { method: 'POST', body })).rejects.toThrow(message);
    release();
    await system.provider.getToken();
    expect(system.api.requests).toHaveLength(0);
  });

  it('has a new proof for each attempt if the token is bound to a key', async () => {
    const system = await setUp({ dpop: true });
    system.tokens.fault = json(200, { access_token: 'bound', token_type: 'DPoP', expires_in: 3600 });
    system.api.answer = (request, response) => {
      const { nonce } = decodeJwt(request.headers.dpop!);
      const headers = nonce === 'n-1' ? {} : { 'dpop-nonce': 'n-1', 'www-authenticate': 'DPoP error="use_dpop_nonce"' };
      response.writeHead(nonce === 'n-1' ? 200 : 401, headers).end('{}');
    };
    const call = make(system);
    expect(await call(`${system.api.url}/a?b`, { method: 'POST', body: 'x' })).toEqual({ status: 200, body: '{}' });
    expect(await call(`${system.api.url}/c`)).toMatchObject({ status: 200 });
    expect(sentTo(system.api)).toEqual(Array(3).fill('DPoP bound'));
    const proofs = system.api.requests.map(({ headers }) => decodeJwt(headers.dpop!));
    expect(proofs.map(({ htm, htu, nonce }) => [htm, htu, nonce])).toEqual([
      ['POST', `${system.api.url}/a`, undefined],
      ['POST', `${system.api.url}/a`, 'n-1'],
      ['GET', `${system.api.url}/c`, 'n-1'],
    ]);
    expect(new Set(proofs.map(({ jti }) => jti)).size).toBe(3);
    expect(system.tokens.requests).toHaveLength(1);
  });

  it('leaves the token on nothing that the caller receives', async () => {
    const system = await setUp();
    const token = (await system.provider.getToken()).reveal();
    const seen: unknown[] = [];
    const call = make(system);
    system.api.answer = (_request, response) => response.socket!.resetAndDestroy();
    seen.push(await call(system.api.url).catch((error: unknown) => error));
    system.api.answer = (_request, response) => response.socket!.end('HTTP/1.1 200 OK\r\nbad header\r\n\r\n');
    seen.push(await call(system.api.url).catch((error: unknown) => error));
    expect(sentTo(system.api)).toEqual(Array(2).fill(`Bearer ${token}`));
    expect(seen.map(nameOf)).not.toContain(undefined);
    expect(seen.flatMap((error) => reachablePaths(token, error))).toEqual([]);
  });

  it('fails with a clear error if there is no client', async () => {
    const provider = new UnconfiguredTokenProvider();
    const { api } = await setUp();
    if (name === 'HttpService') return;
    const system = { provider, http: undefined as unknown as HttpService };
    await expect(make(system)(api.url)).rejects.toMatchObject({ code: 'M2M_CONFIGURATION_INVALID' });
    expect(api.requests).toHaveLength(0);
  });
});

describe('all carriers of one client', () => {
  it('share what they learn about a receiver', async () => {
    const system = await setUp();
    system.api.answer = json(401, {});
    for (const [, make] of CARRIERS) expect(await make(system)(system.api.url)).toMatchObject({ status: 401 });
    // The first one forced a renewal; the brake that set holds for the others.
    expect(system.tokens.requests).toHaveLength(2);
    expect(system.api.requests).toHaveLength(CARRIERS.length + 1);
  });

  it('share one renewal for calls of each kind in flight', async () => {
    const system = await setUp();
    const calls = CARRIERS.map(([, make]) => make(system));
    await Promise.all(calls.map((call) => call(system.api.url)));
    system.api.answer = rejecting('token-1');
    const answers = await Promise.all(Array.from({ length: 60 }, (_, at) => calls[at % calls.length]!(system.api.url)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(system.tokens.requests).toHaveLength(2);
  });

  it('emit the same events', async () => {
    const told = [];
    for (const [, make] of CARRIERS) {
      const system = await setUp();
      system.api.answer = rejecting('token-1');
      const call = make(system);
      await call(system.api.url);
      await call(system.elsewhere.url);
      const place = (event: OutboundEvent) =>
        'origin' in event ? (event.origin === system.api.url ? 'api' : 'elsewhere') : undefined;
      told.push(system.events.map((event) => [event.type, event.client, place(event)]));
    }
    for (const others of told) expect(others).toEqual(told[0]);
    expect(told[0]).toContainEqual(['call.refused_origin', 'default', 'elsewhere']);
  });

  it('work with a custom provider', async () => {
    const { api } = await setUp();
    class OwnProvider extends TokenProvider {
      readonly clientName = 'own';
      readonly events = new EventStream<OutboundEvent>();
      current = new AccessToken('own-1');
      explain(url: string): OriginDecision {
        const isAllowed = url.startsWith(api.url);
        return { isAllowed, reason: isAllowed ? 'allowed' : 'origin_not_allowed' };
      }
      peek(): AccessToken {
        return this.current;
      }
      async getToken(): Promise<AccessToken> {
        return this.current;
      }
      async renewToken(): Promise<AccessToken> {
        return (this.current = new AccessToken('own-2'));
      }
      status(): AccessTokenStatus {
        return { freshness: 'fresh', refreshing: false, dormant: false };
      }
    }
    const failing = () => {
      throw new Error('no');
    };
    for (const [name, make] of CARRIERS) {
      if (name === 'HttpService') continue;
      api.requests.length = 0;
      api.answer = rejecting('own-1');
      const call = make({ provider: new OwnProvider(), http: undefined as unknown as HttpService });
      expect(await call(api.url)).toMatchObject({ status: 200 });
      expect(sentTo(api)).toEqual(['Bearer own-1', 'Bearer own-2']);
      for (const renewToken of [() => undefined, failing]) {
        const provider = Object.assign(new OwnProvider(), { renewToken: renewToken as never });
        const callWithMock = make({ provider, http: undefined as unknown as HttpService });
        expect(await callWithMock(api.url)).toMatchObject({ status: 401 });
      }
    }
  });

  it('carry the configured token', async () => {
    const system = await setUp();
    const token = { scope: 'reports.read' };
    await bearerFetch(system.provider, { token })(system.api.url);
    const agent = new Agent();
    closeLater(() => agent.destroy());
    const dispatcher = agent.compose(bearerInterceptor(system.provider, { token }));
    await request(system.api.url, { dispatcher });
    await bearerFetch(system.provider)(system.api.url);
    expect(sentTo(system.api)).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-2']);
    expect(system.tokens.requests.map(({ body }) => new URLSearchParams(body).get('scope'))).toEqual([
      'reports.read',
      null,
    ]);
  });
});

/** In the manner of node-fetch: its responses have streams of Node, and make another by `clone`. */
const fetchOfNodeStreams = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
  const response = await fetch(input, { ...init, duplex: 'half' });
  const { status, headers, redirected } = response;
  const source = Readable.fromWeb(response.body as never);
  const branch = () => source.pipe(new PassThrough());
  const whole = { status, headers, redirected, bodyUsed: false, body: branch(), clone: () => ({ body: branch() }) };
  return whole as unknown as Response;
};

describe('bearerFetch', () => {
  it('accepts what fetch accepts: strings, URLs, requests, and init with precedence', async () => {
    const { provider, api } = await setUp();
    const fetch = bearerFetch(provider);
    await fetch(new URL('/url', api.url));
    await fetch(new Request(`${api.url}/request`, { method: 'PUT', body: 'of the request', headers: { 'x-a': '1' } }));
    await fetch(new Request(`${api.url}/init`, { method: 'PUT', body: 'of the request', headers: { 'x-a': '1' } }), {
      method: 'PATCH',
      body: 'of init',
      headers: [['x-b', '2']],
    });
    expect(
      api.requests.map(({ method, url, body, headers }) => [method, url, body, headers['x-a'], headers['x-b']]),
    ).toEqual([
      ['GET', '/url', '', undefined, undefined],
      ['PUT', '/request', 'of the request', '1', undefined],
      ['PATCH', '/init', 'of init', undefined, '2'],
    ]);
    expect(api.requests[1]!.headers['content-length']).toBe('14');
    expect(sentTo(api)).toEqual(Array(3).fill('Bearer token-1'));
  });

  it('leaves the caller’s Request and init without the token', async () => {
    const { provider, api } = await setUp();
    const token = (await provider.getToken()).reveal();
    const own = new Request(api.url, { headers: { 'x-a': '1' } });
    const init = { headers: { 'x-b': '2' } };
    const response = await bearerFetch(provider)(own, init);
    expect([...own.headers]).toEqual([['x-a', '1']]);
    expect(init).toEqual({ headers: { 'x-b': '2' } });
    expect(response.url).toBe(`${api.url}/`);
    expect(reachablePaths(token, [own, init, response])).toEqual([]);
  });

  it('does not send the body of a Request twice, and sends a Request without one only once more', async () => {
    const used = await setUp();
    used.api.answer = rejecting('token-1', 'token-2');
    const post = new Request(used.api.url, { method: 'POST', body: 'x' });
    expect((await bearerFetch(used.provider)(post)).status).toBe(401);
    expect(sentTo(used.api)).toEqual(['Bearer token-1']);
    const empty = await setUp();
    empty.api.answer = rejecting('token-1', 'token-2');
    expect((await bearerFetch(empty.provider)(new Request(empty.api.url))).status).toBe(401);
    expect(sentTo(empty.api)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  test.each<[string, () => NonNullable<RequestInit['body']>]>([
    ['text', () => 'a=b'],
    ['URLSearchParams', () => new URLSearchParams({ a: 'b' })],
    ['a Blob', () => new Blob(['a=b'])],
    ['bytes', () => new TextEncoder().encode('a=b')],
  ])('sends a body again that is %s', async (_name, body) => {
    const { provider, api } = await setUp();
    api.answer = rejecting('token-1');
    expect((await bearerFetch(provider)(api.url, { method: 'POST', body: body() })).status).toBe(200);
    expect(api.requests.map(({ body }) => body)).toEqual(['a=b', 'a=b']);
  });

  it('returns a body while it is still arriving, and aborts it when the caller does', async () => {
    const { provider, api } = await setUp();
    let isClosed = false;
    api.answer = (_request, response) => {
      response.on('close', () => (isClosed = true));
      response.write('first');
    };
    const aborting = new AbortController();
    const response = await bearerFetch(provider)(api.url, { signal: aborting.signal });
    const reader = response.body!.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('first');
    aborting.abort();
    await expect(reader.read()).rejects.toMatchObject({ name: 'AbortError' });
    await until(() => isClosed);
  });

  it('follows redirects within allowed origins with the token, as fetch would', async () => {
    const { provider, api } = await setUp();
    const statuses: Record<string, number> = { '/301': 301, '/302': 302, '/303': 303, '/307': 307, '/308': 308 };
    api.answer = (request, response) => {
      const status = statuses[request.url];
      if (status) response.writeHead(status, { location: '/end' }).end('redirected');
      else response.end('end');
    };
    const fetch = bearerFetch(provider);
    const seen = [];
    for (const path of Object.keys(statuses)) {
      api.requests.length = 0;
      const init = { method: 'POST', body: 'b', headers: { 'content-type': 'text/x' } };
      const response = await fetch(`${api.url}${path}#here`, init);
      expect([response.redirected, response.url, await response.text()]).toEqual([true, `${api.url}/end`, 'end']);
      const { method, body, headers } = api.requests[1]!;
      seen.push([path, method, body, headers['content-type'], headers.authorization]);
    }
    expect(seen).toEqual([
      ['/301', 'GET', '', undefined, 'Bearer token-1'],
      ['/302', 'GET', '', undefined, 'Bearer token-1'],
      ['/303', 'GET', '', undefined, 'Bearer token-1'],
      ['/307', 'POST', 'b', 'text/x', 'Bearer token-1'],
      ['/308', 'POST', 'b', 'text/x', 'Bearer token-1'],
    ]);
  });

  it('leaves redirects to the caller on request', async () => {
    const { provider, api } = await setUp();
    api.answer = (_request, response) => response.writeHead(302, { location: '/end' }).end();
    const fetch = bearerFetch(provider);
    expect((await fetch(api.url, { redirect: 'manual' })).status).toBe(302);
    expect((await fetch(new Request(api.url, { redirect: 'manual' }))).status).toBe(302);
    await expect(fetch(api.url, { redirect: 'error' })).rejects.toMatchObject({ name: 'TypeError' });
    expect(api.requests).toHaveLength(3);
  });

  test.each([
    ['in circles', '/', undefined, /more than 20 redirects/],
    ['to an invalid URL', 'http://[', undefined, /an invalid URL/],
    ['away from HTTP', 'file:///etc/passwd', undefined, /neither http nor https/],
    ['with a stream', '/end', () => new Blob(['x']).stream(), /can be sent only once/],
  ])('fails as fetch does if a redirect leads %s', async (_name, location, body, reason) => {
    const { provider, api } = await setUp();
    api.answer = (_request, response) => response.writeHead(307, { location }).end();
    const init: RequestInit = body ? { method: 'POST', body: body(), duplex: 'half' } : {};
    const error: unknown = await bearerFetch(provider)(api.url, init).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(TypeError);
    expect((error as TypeError).message).toBe('fetch failed');
    expect(String((error as TypeError).cause)).toMatch(reason);
  });

  it.each<[string, Parameters<typeof setUp>[0]]>([
    ['by its status', {}],
    ['by a predicate', { isTokenRejected: ({ status, body }) => status === 401 && body.includes('"ok":false') }],
  ])('out-G3: works with a fetch whose bodies are Node.js streams, like node-fetch: %s', async (_name, options) => {
    const { provider, api, elsewhere } = await setUp(options);
    api.answer = (...args) => {
      const [{ url }, response] = args;
      if (url === '/away') response.writeHead(302, { location: elsewhere.url }).end('this way');
      else rejecting('token-1')(...args);
    };
    const fetch = bearerFetch(provider, { fetch: fetchOfNodeStreams });
    const bodyOf = async (call: Promise<Response>) => text((await call).body as unknown as Readable);
    const stream = Readable.toWeb(Readable.from([Buffer.from('a')])) as ReadableStream;
    expect(await bodyOf(fetch(api.url, { method: 'POST', body: stream }))).toBe('{"ok":false}');
    expect(await bodyOf(fetch(api.url))).toBe('{"ok":true}');
    expect(await bodyOf(fetch(`${api.url}/away`))).toBe('{"ok":true}');
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2', 'Bearer token-2']);
    expect(sentTo(elsewhere)).toEqual([undefined]);
  });

  it('sends a call as it was passed, even if the URL, the options or the body change while it waits', async () => {
    const { provider, api, elsewhere } = await setUp();
    api.answer = rejecting('token-1');
    const fetch = bearerFetch(provider);
    const url = new URL(`${api.url}/a?page=1`);
    const form = new FormData();
    form.set('a', '1');
    for (const body of [new URLSearchParams({ a: '1' }), form]) {
      const init: RequestInit = { method: 'POST', body };
      url.href = `${api.url}/a?page=1`;
      const call = fetch(url, init);
      url.href = `${elsewhere.url}/b`;
      init.method = 'PUT';
      body.set('a', '2');
      await call;
    }
    expect(api.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(Array(3).fill('POST /a?page=1'));
    expect(api.requests.slice(0, 2).map(({ body }) => body)).toEqual(['a=1', 'a=1']);
    expect(api.requests[2]!.body).toMatch(/name="a"\r\n\r\n1\r\n/);
    expect(elsewhere.requests).toEqual([]);
  });

  it('works with another fetch', async () => {
    const { provider, api } = await setUp();
    const fetch = bearerFetch(provider, { fetch: undiciFetch as unknown as BearerFetchOptions['fetch'] });
    api.answer = rejecting('token-1');
    expect((await fetch(api.url, { method: 'POST', body: 'x' })).status).toBe(200);
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });
});

describe.each(UNDICI_VERSIONS)('bearerInterceptor on %s', (version, undici) => {
  const { Agent, fetch: undiciFetch, interceptors, MockAgent, Pool, request } = undici;
  const { Dispatcher1Wrapper } = undici as unknown as { Dispatcher1Wrapper: new (inner: Dispatcher) => Dispatcher };

  /** An agent whose calls carry the token. */
  const bearerAgent = (provider: TokenProvider, ...others: Dispatcher.DispatcherComposeInterceptor[]) => {
    const agent = new Agent();
    closeLater(() => agent.destroy());
    return agent.compose(bearerInterceptor(provider), ...others);
  };

  it('works for request, stream, pipeline, fetch and upgrade', async () => {
    const { provider, api } = await setUp();
    api.answer = rejecting('token-1');
    const dispatcher = bearerAgent(provider);
    const origin = api.url;
    expect((await dispatcher.request({ origin, path: '/', method: 'GET' })).statusCode).toBe(200);
    const written = new PassThrough();
    await dispatcher.stream({ origin, path: '/', method: 'GET' }, ({ statusCode }) => {
      expect(statusCode).toBe(200);
      return written;
    });
    expect(await text(written)).toBe('{"ok":true}');
    const piped = dispatcher.pipeline({ origin, path: '/', method: 'POST' }, ({ body }) => body);
    piped.end('through');
    expect(await text(piped)).toBe('{"ok":true}');
    expect(await (await undiciFetch(origin, { dispatcher })).text()).toBe('{"ok":true}');
    // Node's own fetch brings handlers of its own version of undici, which version 8 takes by a dispatcher around its
    // own.
    const wrapped = version === 'undici 8' ? new Dispatcher1Wrapper(dispatcher) : dispatcher;
    expect(await (await fetch(origin, { dispatcher: wrapped } as object)).text()).toBe('{"ok":true}');
    expect(sentTo(api)).toEqual(['Bearer token-1', ...Array<string>(5).fill('Bearer token-2')]);
    expect(api.requests.at(-3)).toMatchObject({ method: 'POST', body: 'through' });
  });

  it.each([[true], [false]])('upgrades a connection with the token (cached: %s)', async (isThere) => {
    const { provider, api } = await setUp();
    if (isThere) await provider.getToken();
    const seen = api.onUpgrade();
    const { socket } = await bearerAgent(provider).upgrade({ origin: api.url, path: '/', protocol: 'x' } as never);
    socket.destroy();
    expect(seen).toEqual(['Bearer token-1']);
  });

  it('accepts headers in each form, and does not change the caller’s', async () => {
    const { provider, api } = await setUp();
    await provider.getToken();
    const dispatcher = bearerAgent(provider);
    const forms = [
      Object.freeze({ 'x-a': '1' }),
      Object.freeze(['x-a', '1']),
      new Headers({ 'x-a': '1' }),
      new Map([['x-a', '1']]),
      Object.freeze({ 'x-a': '1', authorization: undefined }),
    ] as Dispatcher.DispatchOptions['headers'][];
    for (const headers of [...forms, undefined]) {
      const options = Object.freeze({ origin: api.url, path: '/', method: 'GET' as const, headers });
      await dispatcher.request(options).then(({ body }) => body.dump());
    }
    expect(sentTo(api)).toEqual(Array(6).fill('Bearer token-1'));
    expect(api.requests.map(({ headers }) => headers['x-a'])).toEqual(['1', '1', '1', '1', '1', undefined]);
    expect([...(forms[2] as Headers)]).toEqual([['x-a', '1']]);
    api.requests.length = 0;
    const own = [{ AUTHORIZATION: 'own' }, ['Authorization', 'own'], new Headers({ authorization: 'own' })];
    for (const headers of own) await request(api.url, { dispatcher, headers });
    expect(sentTo(api)).toEqual(['own', 'own', 'own']);
  });

  it('sends a call as it was passed, even if its options change while it waits', async () => {
    const { provider, api, elsewhere } = await setUp();
    api.answer = rejecting('token-1');
    const dispatcher = bearerAgent(provider);
    const headers = { 'x-a': '1' };
    const options = { origin: api.url, path: '/a', method: 'GET' as const, headers };
    const call = dispatcher.request(options);
    Object.assign(options, { origin: elsewhere.url, path: '/b', headers: {} });
    headers['x-a'] = '2';
    await (await call).body.dump();
    const seen = [...api.requests, ...elsewhere.requests].map(({ url, headers }) => [
      url,
      headers['x-a'],
      headers.authorization,
    ]);
    expect(seen).toEqual([
      ['/a', '1', 'Bearer token-1'],
      ['/a', '1', 'Bearer token-2'],
    ]);
  });

  it('call-2: accepts headers that can only be read once, with and without the token', async () => {
    const { provider, api, elsewhere } = await setUp();
    api.answer = rejecting('token-1');
    const dispatcher = bearerAgent(provider);
    for (const { url } of [api, elsewhere]) {
      const headers = new Map([['x-a', '1']]).entries() as unknown as Dispatcher.DispatchOptions['headers'];
      await dispatcher.request({ origin: url, path: '/', method: 'GET', headers }).then(({ body }) => body.dump());
    }
    const seen = [...api.requests, ...elsewhere.requests].map(({ headers }) => [headers.authorization, headers['x-a']]);
    expect(seen).toEqual([
      ['Bearer token-1', '1'],
      ['Bearer token-2', '1'],
      [undefined, '1'],
    ]);
  });

  it('does not wait if the token is cached', async () => {
    const { provider, api } = await setUp();
    await provider.getToken();
    const dispatched: unknown[] = [];
    const inner: Dispatcher.Dispatch = (options) => dispatched.push(options.headers) > 0;
    const handler = { onRequestStart() {}, onResponseError() {} };
    bearerInterceptor(provider)(inner)({ origin: api.url, path: '/', method: 'GET' }, handler);
    expect(dispatched).toEqual([{ authorization: 'Bearer token-1' }]);
  });

  it('works with handlers of the newer form', async () => {
    const { provider, api } = await setUp();
    api.answer = rejecting('token-1');
    const seen: unknown[] = [];
    await new Promise<void>((resolve, reject) => {
      bearerAgent(provider).dispatch(
        { origin: api.url, path: '/', method: 'GET' },
        {
          onRequestStart: (controller) => seen.push(['start', controller.aborted]),
          onResponseStart: (controller, status, headers) => {
            seen.push([status, headers['content-type'], controller.rawHeaders !== null]);
            controller.pause();
            setTimeout(() => controller.resume(), 5);
          },
          onResponseData: (_controller, chunk) => seen.push(chunk.toString()),
          onResponseEnd: () => resolve(),
          onResponseError: (_controller, error) => reject(error),
        },
      );
    });
    expect(seen.filter((entry) => !(Array.isArray(entry) && entry[0] === 'start'))).toEqual([
      [200, 'application/json', true],
      '{"ok":true}',
    ]);
  });

  it('lets the reader of a long body set the pace', async () => {
    const { provider, api } = await setUp();
    let written = 0;
    api.answer = async (_request, response) => {
      response.writeHead(200);
      for (let chunk = 0; chunk < 400 && !response.destroyed; chunk++) {
        written += 65_536;
        if (!response.write(Buffer.alloc(65_536))) await once(response, 'drain');
      }
      response.end();
    };
    const { body } = await request(api.url, { dispatcher: bearerAgent(provider) });
    await sleep(100);
    expect(written).toBeLessThan(20_000_000);
    let read = 0;
    body.pipe(new Writable({ write: (chunk: Buffer, _encoding, next) => ((read += chunk.length), next()) }));
    await once(body, 'end');
    expect(read).toBe(400 * 65_536);
  });

  it('ends the call when the caller does, in the middle of the body', async () => {
    const { provider, api } = await setUp();
    let isClosed = false;
    api.answer = (_request, response) => {
      response.on('close', () => (isClosed = true));
      response.write('first');
    };
    for (const isThere of [false, true]) {
      isClosed = false;
      const aborting = new AbortController();
      const { body } = await request(api.url, { dispatcher: bearerAgent(provider), signal: aborting.signal });
      expect(provider.peek() !== undefined || isThere).toBe(true);
      aborting.abort();
      await expect(body.text()).rejects.toMatchObject({ name: 'AbortError' });
      await until(() => isClosed);
    }
  });

  it.each([
    ['a body that never ends', (response: Parameters<Answer>[1]) => void endless(response)],
    ['a long body', (response: Parameters<Answer>[1]) => void response.end(Buffer.alloc(300_000))],
    ['no body', (response: Parameters<Answer>[1]) => void response.end()],
  ])('handles a 401 that has %s', async (_name, answer) => {
    const { provider, api } = await setUp();
    api.answer = (request, response) => {
      const isRejected = request.headers.authorization !== 'Bearer token-2';
      response.writeHead(isRejected ? 401 : 200);
      if (isRejected) answer(response);
      else response.end('{}');
    };
    const agent = new Agent({ connections: 1 });
    closeLater(() => agent.destroy());
    const dispatcher = agent.compose(bearerInterceptor(provider));
    expect((await request(api.url, { dispatcher })).statusCode).toBe(200);
  });

  it('call-2: is a version that the library supports', async () => {
    const { provider, api } = await setUp();
    const { peerDependencies } = JSON.parse(
      readFileSync(new URL('../libs/identity-m2m/package.json', import.meta.url), 'utf8'),
    ) as { peerDependencies: Record<string, string> };
    expect(peerDependencies.undici).toBe('^7.0.0 || ^8.0.0');
    api.answer = rejecting('token-1');
    const { statusCode, headers, body, trailers } = await request(api.url, { dispatcher: bearerAgent(provider) });
    expect([statusCode, headers['content-type'], await body.json()]).toEqual([200, 'application/json', { ok: true }]);
    expect(trailers).toEqual({});
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  it.each([
    ['no length', 'HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n'],
    ['length 0', 'HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'],
    ['HTTP/1.0', 'HTTP/1.0 401 Unauthorized\r\n\r\n'],
    ['a body', 'HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\nno'],
    ['a long body', `HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n${'x'.repeat(200_000)}`],
  ])('call-1: sends a call again after a 401 that ends its connection, with %s', async (_name, refusal) => {
    const api = await RawServer.start();
    closeLater(() => api.close());
    const { provider, tokens } = await setUp({ allowedOrigins: [api.url] });
    await provider.getToken();
    // The connection ends while the answer waits for the new token.
    tokens.fault = async (...args) => {
      await sleep(20);
      json(200, { access_token: 'late', token_type: 'Bearer', expires_in: 60 })(...args);
    };
    api.answer = (socket, received) =>
      socket.end(received.includes('Bearer late') ? 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok' : refusal);
    const { statusCode, body } = await request(api.url, { dispatcher: bearerAgent(provider) });
    expect([statusCode, await body.text()]).toEqual([200, 'ok']);
    // And one that cannot be sent again is passed on as it came.
    api.answer = (socket) => socket.end(refusal);
    const posted = await request(api.url, {
      dispatcher: bearerAgent(provider),
      method: 'POST',
      body: Readable.from(['abc']),
    });
    expect(posted.statusCode).toBe(401);
    expect((await posted.body.text()) === (refusal.split('\r\n\r\n')[1] ?? '')).toBe(true);
  });

  it('call-1: cuts off a longer response while the token is renewed, with an error if there is no new one', async () => {
    const { provider, api, tokens } = await setUp();
    await provider.getToken();
    let isAsked!: () => void;
    const asked = new Promise<void>((resolve) => (isAsked = resolve));
    tokens.fault = async (...args) => {
      await asked;
      json(400, { error: 'invalid_scope' })(...args);
    };
    api.answer = (_request, response) => {
      response.on('close', isAsked);
      response.writeHead(401).end(Buffer.alloc(1_000_000));
    };
    const { statusCode, body } = await request(api.url, { dispatcher: bearerAgent(provider) });
    expect(statusCode).toBe(401);
    await expect(body.text()).rejects.toThrow(/more than 262144 bytes came with a response that may reject/);
  });

  it('call-2: puts the token on calls over HTTP/2, and reports progress to handlers', async () => {
    const tls = await selfSignedCertificate('localhost', { hosts: ['localhost', '127.0.0.1'] });
    const server = createSecureServer({ key: tls.key, cert: tls.cert }, (message, response) => {
      seen.push(`${message.httpVersion} ${message.headers.authorization}`);
      response.writeHead(message.headers.authorization === 'Bearer token-1' ? 401 : 200).end('over HTTP/2');
    });
    const seen: string[] = [];
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closeLater(() => server.close());
    const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { provider } = await setUp({ allowedOrigins: [origin] });
    const agent = new Agent({ allowH2: true, connect: { ca: tls.cert } });
    closeLater(() => agent.destroy());
    const dispatcher = agent.compose(bearerInterceptor(provider));
    const { statusCode, body } = await request(origin, { dispatcher, method: 'POST', body: 'abc' });
    expect([statusCode, await body.text()]).toEqual([200, 'over HTTP/2']);
    expect(seen).toEqual(['2.0 Bearer token-1', '2.0 Bearer token-2']);
    const progress: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const handler = {
        onRequestStart() {},
        onBodySent: () => progress.push('body sent'),
        onRequestSent: () => progress.push('request sent'),
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd: () => resolve(),
        onResponseError: (_controller: unknown, error: Error) => reject(error),
      };
      dispatcher.dispatch({ origin, path: '/', method: 'POST', body: 'abc' }, handler);
    });
    // Version 7 tells handlers of this form nothing of it.
    expect(progress).toEqual(version === 'undici 8' ? ['body sent', 'request sent'] : []);
  });

  it('lets a slow reader set the pace of a kept response', async () => {
    const { provider, api } = await setUp({ maxReplayBytes: 0 });
    const total = 200_000;
    api.answer = (_request, response) => response.writeHead(401).end('x'.repeat(total));
    const { statusCode, body } = await request(api.url, { dispatcher: bearerAgent(provider) });
    expect(statusCode).toBe(401);
    let read = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      read += chunk.length;
      await new Promise(setImmediate);
    }
    expect(read).toBe(total);
  });

  it('passes nothing of a kept response to a paused handler before it resumes', async () => {
    const { provider, api } = await setUp({ maxReplayBytes: 0 });
    api.answer = (_request, response) => {
      response.writeHead(401).write('first');
      setTimeout(() => response.end('second'), 5);
    };
    const seen: string[] = [];
    let isPaused = false;
    const note = (what: string) => seen.push(isPaused ? `${what} while paused` : what);
    await new Promise<void>((resolve, reject) => {
      const pause = (controller: Dispatcher.DispatchController) => {
        isPaused = true;
        controller.pause();
        setTimeout(() => {
          isPaused = false;
          controller.resume();
        }, 20);
      };
      bearerAgent(provider).dispatch(
        { origin: api.url, path: '/', method: 'GET' },
        {
          onRequestStart() {},
          onResponseStart(controller, status) {
            note(String(status));
            pause(controller);
          },
          onResponseData(controller, chunk) {
            note(chunk.toString());
            pause(controller);
          },
          onResponseEnd() {
            seen.push('end');
            resolve();
          },
          onResponseError: (_controller, error) => reject(error),
        },
      );
    });
    expect(seen).toEqual(['401', 'first', 'second', 'end']);
  });

  it('can be ended by a handler at each moment', async () => {
    const { provider, api, tokens } = await setUp();
    await provider.getToken();
    api.answer = rejecting('token-1');
    const release = holdTokens(tokens);
    let controller!: Dispatcher.DispatchController;
    const error = new Promise<Error>((resolve) => {
      bearerAgent(provider).dispatch(
        { origin: api.url, path: '/', method: 'GET' },
        {
          onRequestStart: (given) => void (controller = given),
          onResponseStart() {},
          onResponseData() {},
          onResponseEnd() {},
          onResponseError: (_controller, error) => resolve(error),
        },
      );
    });
    // While the token is renewed, there is no request to be aborted.
    await until(() => tokens.requests.length > 1);
    const reason = new Error('no longer wanted');
    controller.abort(reason);
    expect(await error).toBe(reason);
    expect([controller.aborted, controller.reason]).toEqual([true, reason]);
    release();
    await provider.getToken();
    expect(api.requests).toHaveLength(1);
  });

  it('holds a 401 to HEAD, which has no body to pause', async () => {
    const { provider, api } = await setUp();
    api.answer = rejecting('token-1', 'token-2');
    const dispatcher = bearerAgent(provider);
    expect((await request(api.url, { dispatcher, method: 'HEAD' })).statusCode).toBe(401);
    api.answer = rejecting('token-2');
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  it('works with a mock agent, which cannot pause', async () => {
    const { provider } = await setUp({ allowedOrigins: ['https://api.example'] });
    const mock = new MockAgent();
    mock.disableNetConnect();
    closeLater(() => mock.close());
    const sent: unknown[] = [];
    const reply =
      (status: number) =>
      ({ headers }: { headers: unknown }) => {
        sent.push((headers as Record<string, string>).authorization);
        return { statusCode: status, data: `answer ${status}` };
      };
    const api = mock.get('https://api.example');
    const dispatcher = mock.compose(bearerInterceptor(provider));
    const get = async () => {
      const { statusCode, body } = await request('https://api.example/', { dispatcher });
      return [statusCode, await body.text()];
    };
    api.intercept({ path: '/' }).reply(reply(401) as never);
    api.intercept({ path: '/' }).reply(reply(200) as never);
    expect(await get()).toEqual([200, 'answer 200']);
    api.intercept({ path: '/' }).reply(reply(401) as never);
    expect(await get()).toEqual([401, 'answer 401']);
    expect(sent).toEqual(['Bearer token-1', 'Bearer token-2', 'Bearer token-2']);
  });

  it.each([
    ['behind it', (bearer: Dispatcher.DispatcherComposeInterceptor, retry: typeof bearer) => [bearer, retry]],
    ['before it', (bearer: Dispatcher.DispatcherComposeInterceptor, retry: typeof bearer) => [retry, bearer]],
  ])('works with a retry interceptor %s', async (_name, order) => {
    const { provider, api } = await setUp();
    await provider.getToken();
    let failures = 2;
    api.answer = (request, response) => {
      if (failures-- > 0) response.writeHead(503, { 'retry-after': '0' }).end('busy');
      else rejecting('token-1')(request, response, undefined as never);
    };
    const agent = new Agent();
    closeLater(() => agent.destroy());
    const retry = interceptors.retry({ minTimeout: 1, maxTimeout: 5 });
    const dispatcher = agent.compose(...order(bearerInterceptor(provider), retry));
    const { statusCode, body } = await request(api.url, { dispatcher, headers: { 'x-a': '1' } });
    expect([statusCode, await body.text()]).toEqual([200, '{"ok":true}']);
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-1', 'Bearer token-2']);
  });

  it('is not retried without a token', async () => {
    const { provider, api, tokens } = await setUp({ acquireTimeoutMs: 400 });
    tokens.fault = json(503, {});
    const dispatcher = bearerAgent(provider, interceptors.retry({ minTimeout: 1 }));
    await expect(request(api.url, { dispatcher })).rejects.toBeInstanceOf(TokenUnavailableError);
    expect(api.requests).toHaveLength(0);
  });

  it('needs the origin of a pool, and uses it', async () => {
    const { provider, api, elsewhere } = await setUp();
    const pools = [new Pool(api.url), new Pool(elsewhere.url)] as const;
    for (const pool of pools) closeLater(() => pool.destroy());
    const untold = pools[0].compose(bearerInterceptor(provider));
    const first = untold.request({ path: '/', method: 'GET' });
    if (version === 'undici 8') {
      // It tells interceptors where a pool goes.
      await first.then(({ body }) => body.dump());
      expect(sentTo(api).splice(0)).toEqual(['Bearer token-1']);
      api.requests.length = 0;
      const elsewhere = pools[1].compose(bearerInterceptor(provider));
      await request(api.url, { dispatcher: elsewhere }).then(({ body }) => body.dump());
    } else {
      await expect(first).rejects.toMatchObject({
        code: 'M2M_CONFIGURATION_INVALID',
        message: expect.stringContaining('origin of the Client or Pool'),
      });
    }
    const told = pools[0].compose(bearerInterceptor(provider, { origin: api.url }));
    await told.request({ path: '/', method: 'GET' }).then(({ body }) => body.dump());
    await request(api.url, { dispatcher: told }).then(({ body }) => body.dump());
    expect(sentTo(api)).toEqual(['Bearer token-1', 'Bearer token-1']);
    // A pool connects to its own origin, whatever a call says.
    const other = pools[1].compose(bearerInterceptor(provider, { origin: elsewhere.url }));
    await request(api.url, { dispatcher: other }).then(({ body }) => body.dump());
    await other.request({ path: '/', method: 'GET' }).then(({ body }) => body.dump());
    expect(new Set(sentTo(elsewhere))).toEqual(new Set([undefined]));
  });

  it('passes network errors through unchanged', async () => {
    const { provider, api } = await setUp();
    api.answer = (_request, response) => response.socket!.resetAndDestroy();
    const dispatcher = bearerAgent(provider);
    for (let at = 0; at < 2; at++) {
      await expect(request(api.url, { dispatcher })).rejects.toMatchObject({
        code: expect.stringMatching(/ECONNRESET|UND_ERR_SOCKET/),
      });
    }
  });
});

async function endless(response: Parameters<Answer>[1]): Promise<void> {
  while (!response.destroyed) {
    response.write(Buffer.alloc(16_384));
    await sleep(1);
  }
}

describe.each(CARRIERS)('tokenHeader, by %s', (name, carrierOf) => {
  const bare = { tokenHeader: { name: 'X-Access-Token', scheme: '' } };
  const seen = ({ requests }: TestServer) =>
    requests.map(({ headers }) => [headers['x-access-token'], headers.authorization]);

  it('out-F11: puts the token into another header, and without a scheme', async () => {
    const application = await setUp(bare);
    const call = carrierOf(application);
    await call(`${application.api.url}/a`);
    await call(`${application.api.url}/b`, { method: 'POST', body: 'x' });
    await call(`${application.elsewhere.url}/a`);
    expect(seen(application.api)).toEqual([
      ['token-1', undefined],
      ['token-1', undefined],
    ]);
    expect(seen(application.elsewhere)).toEqual([[undefined, undefined]]);
  });

  it('out-F11: keeps the default header if only the scheme is set, and the default scheme if only the header is', async () => {
    const scheme = await setUp({ tokenHeader: { scheme: 'Token' } });
    await carrierOf(scheme)(scheme.api.url);
    expect(sentTo(scheme.api)).toEqual(['Token token-1']);
    const header = await setUp({ tokenHeader: { name: 'X-Access-Token' } });
    await carrierOf(header)(header.api.url);
    expect(seen(header.api)).toEqual([['Bearer token-1', undefined]]);
  });

  it('out-F11: keeps such a header of the caller, and an Authorization next to it', async () => {
    const { api, ...application } = await setUp(bare);
    const call = carrierOf(application);
    await call(api.url, { headers: { 'x-access-token': 'own' } });
    await call(api.url, { headers: { Authorization: 'Basic own' } });
    expect(seen(api)).toEqual([
      ['own', undefined],
      ['token-1', 'Basic own'],
    ]);
  });

  it('out-F11: renews a token that is rejected there', async () => {
    const { api, ...application } = await setUp(bare);
    api.answer = ({ headers }, response) => {
      response.writeHead(headers['x-access-token'] === 'token-1' ? 401 : 200).end();
    };
    expect(await carrierOf(application)(api.url)).toMatchObject({ status: 200 });
    expect(seen(api).map(([token]) => token)).toEqual(['token-1', 'token-2']);
  });

  it('out-F11: has the token on no error', async () => {
    const { api, tokens, ...application } = await setUp(bare);
    const token = 'a-token-that-is-found-wherever-it-is';
    tokens.fault = json(200, { access_token: token, token_type: 'Bearer', expires_in: 3600 });
    api.answer = (_request, response) => response.destroy();
    const error: unknown = await carrierOf(application)(api.url, { headers: { 'x-own': 'kept' } }).catch(
      (error: unknown) => error,
    );
    expect(api.requests[0]!.headers['x-access-token']).toBe(token);
    expect(nameOf(error)).toMatch(/Error$/);
    expect(reachablePaths(token, error)).toEqual([]);
    expect(name === 'HttpService' ? inspect(error) : 'kept').toContain('kept');
  });
});

describe('tokenHeader on a call that is redirected', () => {
  async function redirecting() {
    const application = await setUp({ tokenHeader: { name: 'X-Access-Token', scheme: '' } });
    const { api, elsewhere } = application;
    api.answer = ({ url }, response) => {
      const location = { '/away': `${elsewhere.url}/`, '/on': '/there' }[url];
      response.writeHead(location === undefined ? 200 : 302, location === undefined ? {} : { location }).end();
    };
    const tokensAt = (server: TestServer) => server.requests.map(({ headers }) => headers['x-access-token']);
    return { ...application, tokensAt };
  }

  const followers: [string, (application: Awaited<ReturnType<typeof redirecting>>) => (url: string) => unknown][] = [
    [
      'HttpService',
      ({ http }) =>
        (url) =>
          http.axiosRef.get(url, { maxRedirects: 3 }),
    ],
    ['bearerFetch', ({ provider }) => bearerFetch(provider)],
    [
      'undici',
      ({ provider }) => {
        const agent = new Agent();
        closeLater(() => agent.destroy());
        const redirect = interceptors.redirect({ maxRedirections: 3 });
        const dispatcher = agent.compose(bearerInterceptor(provider), redirect);
        return async (url) => (await request(url, { dispatcher })).body.dump();
      },
    ],
  ];

  test.each(followers)('out-F11: follows a redirect to an allowed origin only: %s', async (_name, followerOf) => {
    const application = await redirecting();
    const { api, elsewhere, tokensAt } = application;
    const follow = followerOf(application);
    await follow(`${api.url}/on`);
    await follow(`${api.url}/away`);
    expect(tokensAt(api)).toEqual(['token-1', 'token-1', 'token-1']);
    expect(tokensAt(elsewhere)).toEqual([undefined]);
  });
});

test.each<[string, object, RegExp]>([
  ['a reserved name', { tokenHeader: { name: 'Content-Length' } }, /client\.tokenHeader\.name: expected the name of/],
  ['the name of the proof', { tokenHeader: { name: 'DPoP' } }, /client\.tokenHeader\.name: /],
  ['a name that is none', { tokenHeader: { name: 'X Token' } }, /client\.tokenHeader\.name: /],
  ['a name with a line break', { tokenHeader: { name: 'X\r\nY' } }, /client\.tokenHeader\.name: /],
  [
    'a scheme with a space',
    { tokenHeader: { scheme: 'Token token=' } },
    /client\.tokenHeader\.scheme: expected a scheme/,
  ],
  ['another member', { tokenHeader: { prefix: 'x' } }, /client\.tokenHeader: unknown option "prefix"/],
  [
    'a scheme beside dpop',
    { tokenHeader: { scheme: 'Token' }, dpop: true },
    /scheme: expected nothing, because tokens/,
  ],
])('out-F11: the boot fails for %s', async (_name, options, words) => {
  await expect(setUp(options)).rejects.toThrow(words);
});

it('out-F11: applies its scheme to authorizationFor', async () => {
  const { provider, api } = await setUp({ tokenHeader: { name: 'X-Access-Token', scheme: '' } });
  expect(await authorizationFor(provider, api.url)).toBe('token-1');
});
