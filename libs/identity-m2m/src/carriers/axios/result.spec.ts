import { once } from 'node:events';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, test } from '@jest/globals';
import { AxiosError, AxiosHeaders, type AxiosResponse, type InternalAxiosRequestConfig } from 'axios';
import { json, TestServer } from '../../../../../test/support/http-server.js';
import { reachablePaths } from '../../../../../test/support/reachable-paths.js';
import { AccessToken, AUTHORIZATION_HEADER, TokenHeader } from '../../token/access-token.js';
import type { CallAuthorization } from '../outgoing-call.js';
import { AxiosResult, hideConnections, hideConnectionsOfAgents, type RedirectTrace } from './result.js';

const TOKEN = 'a-secret-token';
const PROOF = 'a-secret-proof';

const call: CallAuthorization = {
  token: new AccessToken(TOKEN),
  header: AUTHORIZATION_HEADER,
  authorization: `Bearer ${TOKEN}`,
};

const config = { headers: new AxiosHeaders(), url: '/users' } as InternalAxiosRequestConfig;

/** The config that was sent. */
const sentConfig = () => ({ ...config, headers: new AxiosHeaders({ Authorization: `Bearer ${TOKEN}` }) });

const closing: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

const sentWith = (options: Partial<CallAuthorization> = {}, trace: Partial<RedirectTrace> = {}) => ({
  config,
  call: { ...call, ...options },
  trace: { isRedirected: false, carriesToken: true, ...trace },
});

/** The result of a call that an adapter answered in this way. */
const resultOf = (response: unknown, trace: Partial<RedirectTrace> = {}) =>
  AxiosResult.of(Promise.resolve(response as AxiosResponse), sentWith({}, trace));

/** The result of a call that failed in this way. */
const failureOf = (error: unknown, options: Partial<CallAuthorization> = {}) =>
  AxiosResult.of(Promise.reject(error), sentWith(options));

const thrownBy = (result: AxiosResult): unknown => {
  try {
    return result.unwrap();
  } catch (error) {
    return { thrown: error };
  }
};

describe('the result of a call', () => {
  it('is the response, or the error', async () => {
    const response = { status: 200 };
    const error = new Error('no');
    expect(thrownBy(await resultOf(response))).toBe(response);
    expect(thrownBy(await failureOf(error))).toEqual({ thrown: error });
    expect(thrownBy(await failureOf(undefined))).toEqual({ thrown: undefined });
  });

  test.each([[undefined], [null], ['text'], [5]])('is whatever the adapter returned: %p', async (response) => {
    const result = await resultOf(response);
    expect(thrownBy(result)).toBe(response);
    expect([result.status(), { ...result.headers() }, await result.bodyStart()]).toEqual([undefined, {}, '']);
    result.discard();
  });

  it('shows whether the call was redirected', async () => {
    expect((await resultOf({})).isRedirected).toBe(false);
    expect((await resultOf({}, { isRedirected: true })).isRedirected).toBe(true);
  });
});

describe('the status of a response', () => {
  it('is that of the response, also in an error', async () => {
    expect((await resultOf({ status: 200 })).status()).toBe(200);
    expect((await failureOf({ response: { status: 401 } })).status()).toBe(401);
  });

  it.each([[undefined], [null], ['401'], [{}]])('is none if it is no number: %p', async (status) => {
    expect((await resultOf({ status })).status()).toBeUndefined();
  });

  it('is none without a response', async () => {
    for (const error of [new Error('no'), { response: null }, { response: 'no' }, null]) {
      expect((await failureOf(error)).status()).toBeUndefined();
    }
  });

  it('is none if the response came from an address that did not get the token', async () => {
    expect((await resultOf({ status: 401 }, { carriesToken: false })).status()).toBeUndefined();
  });

  const plain = new Socket();
  const encrypted = new TLSSocket(new Socket());

  test.each<[string, unknown, number, boolean]>([
    ['that of a proxy that opens no tunnel', { protocol: 'https:', socket: plain }, 400, true],
    ['that of a proxy that opens no tunnel, as 407', { protocol: 'https:', socket: plain }, 407, true],
    ['below 400, which no proxy is', { protocol: 'https:', socket: plain }, 399, false],
    ['over TLS', { protocol: 'https:', socket: encrypted }, 401, false],
    ['over plain http', { protocol: 'http:', socket: plain }, 401, false],
    ['of a request without a socket', { protocol: 'https:' }, 401, false],
    ['of a request with another socket', { protocol: 'https:', socket: {} }, 401, false],
    ['of a request without a scheme', { socket: plain }, 401, false],
    ['of a request that is none', 'https:', 401, false],
    ['of null', null, 401, false],
  ])('is none if it is %s', async (_name, request, status, isNone) => {
    expect((await resultOf({ status, request })).status()).toBe(isNone ? undefined : status);
    expect((await failureOf({ response: { status, request } })).status()).toBe(isNone ? undefined : status);
  });
});

it('has the headers of the response by their names in lower case', async () => {
  const headers = new AxiosHeaders({ 'WWW-Authenticate': 'Bearer' });
  expect({ ...(await resultOf({ headers })).headers() }).toEqual({ 'www-authenticate': 'Bearer' });
  expect({ ...(await failureOf({ response: { headers } })).headers() }).toEqual({ 'www-authenticate': 'Bearer' });
  expect({ ...(await resultOf({})).headers() }).toEqual({});
});

describe('the body of a response', () => {
  const start = 'x'.repeat(16_384);
  const long = `${start}yz`;

  test.each<[string, () => unknown, (data: unknown) => unknown]>([
    ['a Node.js stream', () => Readable.from([Buffer.from(long)]), (data) => text(data as Readable)],
    ['a web stream', () => new Blob([long]).stream(), (data) => new Response(data as ReadableStream).text()],
    ['a Blob', () => new Blob([long]), (data) => (data as Blob).text()],
    ['bytes', () => Buffer.from(long), String],
    ['text', () => long, String],
  ])('can be judged by its start, and stays whole: %s', async (_name, make, read) => {
    const response = { data: make() };
    const result = await resultOf(response);
    expect((await result.bodyStart()) === start).toBe(true);
    expect((await read(response.data)) === long).toBe(true);
  });

  it('is empty without a response', async () => {
    const result = await failureOf(new Error('no'));
    expect(await result.bodyStart()).toBe('');
    result.keepFlowing()();
    result.discard();
  });

  it('keeps flowing if it is a web stream, until it is too long', async () => {
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    let isCancelled = false;
    const webStream = () =>
      new ReadableStream<Uint8Array>({
        start: (given) => void (controller = given),
        cancel: () => void (isCancelled = true),
      });
    const response = { data: webStream() };
    const stop = (await resultOf(response)).keepFlowing();
    controller.enqueue(Buffer.from('ab'));
    stop();
    controller.close();
    expect(await new Response(response.data).text()).toBe('ab');
    (await resultOf({ data: webStream() })).keepFlowing();
    controller.enqueue(Buffer.alloc(262_144));
    await new Promise(setImmediate);
    expect(isCancelled).toBe(false);
    controller.enqueue(Buffer.alloc(1));
    await new Promise(setImmediate);
    expect(isCancelled).toBe(true);
  });

  it('is left as it is otherwise', async () => {
    const data = Readable.from(['a']);
    const response = { data };
    (await resultOf(response)).keepFlowing()();
    expect(response.data).toBe(data);
    expect(data.readableFlowing).toBeNull();
  });

  it('is discarded, in an error too', async () => {
    const [first, second] = [Readable.from(['a']), Readable.from(['a'])];
    (await resultOf({ data: first })).discard();
    (await failureOf({ response: { data: second } })).discard();
    expect([first.destroyed, second.destroyed]).toEqual([true, true]);
  });
});

describe('the token', () => {
  it('is not on the config of a response', async () => {
    const response = { config: sentConfig() };
    await resultOf(response);
    expect(response.config).toBe(config);
  });

  it('is not on the config of an error of axios, its response or its causes', async () => {
    const errorWith = (depth: number): AxiosError => {
      const response = { status: 401, config: sentConfig() } as AxiosResponse;
      const error = new AxiosError('no', undefined, sentConfig(), undefined, response);
      if (depth > 0) error.cause = errorWith(depth - 1);
      return error;
    };
    const error = errorWith(5);
    await failureOf(error);
    for (let one: AxiosError | undefined = error; one; one = one.cause as AxiosError | undefined) {
      expect([one.config, one.response?.config]).toEqual([config, config]);
      expect([one.config === config, one.response?.config === config]).toEqual([true, true]);
    }
    expect(reachablePaths(TOKEN, error)).toEqual([]);
    // One cause more than are searched.
    const deep = errorWith(6);
    await failureOf(deep);
    expect(reachablePaths(TOKEN, deep)).toHaveLength(2);
  });

  it('is not on the config of an error that is built like one of axios', async () => {
    const carrying = Object.assign(new Error('no'), { config: sentConfig() });
    await failureOf(carrying);
    expect(carrying.config).toBe(config);
  });

  test.each<[string, unknown]>([
    ['a config without the token', { headers: { Authorization: 'Basic eA==' } }],
    ['a config without headers', { url: '/users' }],
    ['no object', `Bearer ${TOKEN.length}`],
    ['headers that are none', { headers: 'none' }],
  ])('does not change other errors: %s', async (_name, own) => {
    const error = Object.assign(new Error('no'), { config: own });
    await failureOf(error);
    expect(error.config).toBe(own);
  });

  it('is no reason to search in circles', async () => {
    const error: Error = new Error('no');
    error.cause = error;
    expect(thrownBy(await failureOf(error))).toEqual({ thrown: error });
  });

  it('is not passed on with a response that an adapter has frozen', async () => {
    const response = Object.freeze({ status: 200, config: sentConfig() });
    const { thrown } = thrownBy(await resultOf(response)) as { thrown: Error };
    expect(thrown).toBeInstanceOf(TypeError);
    expect(thrown.message).toMatch(/^The response holds the access token, .* is frozen/);
  });

  const frozenResponse = () => Object.freeze({ status: 401, config: sentConfig() }) as AxiosResponse;

  test.each<[string, () => unknown]>([
    ['an error of axios', () => Object.freeze(new AxiosError('no', undefined, sentConfig()))],
    ['another error', () => Object.freeze(Object.assign(new Error('no'), { config: sentConfig() }))],
    ['its cause', () => new Error('no', { cause: Object.freeze(new AxiosError('no', undefined, sentConfig())) })],
    ['its response', () => new AxiosError('no', undefined, config, undefined, frozenResponse())],
  ])('is not passed on with an error if an adapter has frozen %s', async (_name, make) => {
    const result = await failureOf(make());
    const { thrown } = thrownBy(result) as { thrown: Error };
    expect(thrown).toBeInstanceOf(TypeError);
    expect(thrown.message).toMatch(/^The call failed, but its error holds the access token, which .* is frozen/);
    expect([reachablePaths(TOKEN, thrown), result.status()]).toEqual([[], undefined]);
  });

  const errorWith = (response: object, own?: InternalAxiosRequestConfig) =>
    new AxiosError('no', undefined, own, undefined, Object.freeze(response) as AxiosResponse);

  test.each<[string, () => Error & { response?: { status: number } }]>([
    ['an error of axios', () => Object.freeze(new AxiosError('no', undefined, config))],
    ['a response without a config', () => errorWith({ status: 401 })],
    ['a response with a config of its own', () => errorWith({ status: 401, config: { headers: {} } }, config)],
    [
      'the response of another error',
      () => Object.assign(new Error('no'), { response: Object.freeze({ status: 401 }) }),
    ],
    ['a request', () => errorWith({ status: 401, request: Object.freeze({ _header: 'GET / HTTP/1.1' }) })],
  ])('is no reason to replace an error without it, if an adapter has frozen %s', async (_name, make) => {
    const error = make();
    const result = await failureOf(error);
    expect(thrownBy(result)).toEqual({ thrown: error });
    expect(result.status()).toBe(error.response?.status);
  });
});

describe('the token on a request', () => {
  const dpop: Partial<CallAuthorization> = { authorization: `DPoP ${TOKEN}`, dpop: PROOF };

  /** A request of Node with the token and its proof, once it was sent. */
  async function sentRequest(headers: Record<string, string>): Promise<ClientRequest> {
    const api = await TestServer.start(json(200, {}));
    closing.push(() => api.close());
    const request = httpRequest(api.url, { headers, agent: false });
    const responded = once(request, 'response') as Promise<[Readable]>;
    request.end();
    const [response] = await responded;
    await text(response);
    return request;
  }

  it('is redacted once it was sent', async () => {
    const request = await sentRequest({ Authorization: `DPoP ${TOKEN}`, DPoP: PROOF, 'X-Own': 'kept' });
    expect(inspect(request, { depth: 9, showHidden: true })).toMatch(new RegExp(`${TOKEN}[^]*${PROOF}`));
    await AxiosResult.of(Promise.resolve({ request } as AxiosResponse), sentWith(dpop));
    for (const secret of [TOKEN, PROOF]) expect(reachablePaths(secret, request)).toEqual([]);
    expect(request.getHeader('authorization')).toBe('[access token]');
    expect(request.getHeader('dpop')).toBe('[DPoP proof]');
    expect(request.getHeader('x-own')).toBe('kept');
    const head = (request as unknown as { _header: string })._header;
    expect(head).toContain('\r\nAuthorization: [redacted]\r\nDPoP: [redacted]\r\nX-Own: kept\r\n');
  });

  it('is redacted on the request of an error, of its response and of its causes', async () => {
    const requests = await Promise.all(
      Array.from({ length: 3 }, () => sentRequest({ Authorization: `DPoP ${TOKEN}`, DPoP: PROOF })),
    );
    const cause = Object.assign(new Error('no'), { request: requests[0] });
    const error = Object.assign(new Error('no', { cause }), {
      request: requests[1],
      response: { request: requests[2] },
    });
    await failureOf(error, dpop);
    for (const secret of [TOKEN, PROOF]) expect(reachablePaths(secret, error)).toEqual([]);
  });

  it('is redacted in another header, and without a scheme', async () => {
    const request = await sentRequest({ 'X-Token': TOKEN, Authorization: 'Basic eA==' });
    await AxiosResult.of(
      Promise.resolve({ request } as AxiosResponse),
      sentWith({ header: new TokenHeader('X-Token', ''), authorization: TOKEN }),
    );
    expect(reachablePaths(TOKEN, request)).toEqual([]);
    expect(request.getHeader('x-token')).toBe('[access token]');
  });

  it('of a few letters is redacted without those letters elsewhere', async () => {
    const request = await sentRequest({ 'X-Token': 'GET', 'X-Own': 'GETTING GET' });
    await AxiosResult.of(
      Promise.resolve({ request } as AxiosResponse),
      sentWith({ header: new TokenHeader('X-Token', ''), authorization: 'GET' }),
    );
    const head = (request as unknown as { _header: string })._header;
    expect(head).toMatch(/^GET \/ HTTP[^]*\r\nX-Token: \[redacted\]\r\nX-Own: GETTING GET\r\n/);
  });

  it('is redacted while it waits for a connection', async () => {
    for (const body of ['', 'a body']) {
      const request = httpRequest('http://127.0.0.1:9', {
        method: 'POST',
        headers: { Authorization: `Bearer ${TOKEN}` },
        agent: false,
      });
      request.on('error', () => {});
      request.end(body);
      expect(reachablePaths(TOKEN, request)).not.toEqual([]);
      await failureOf({ request });
      expect(reachablePaths(TOKEN, request)).toEqual([]);
      await new Promise((resolve) => process.nextTick(resolve));
      expect(reachablePaths(TOKEN, request)).toEqual([]);
      request.destroy();
    }
  });

  test.each<[string, unknown]>([
    ['as text', `POST / HTTP/1.1\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`],
    ['as chunks', [{ chunk: `POST / HTTP/1.1\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n` }, { chunk: 5 }, null]],
    ['as nothing', null],
  ])('is redacted where a socket that connects keeps it: %s', async (_name, _pendingData) => {
    const request = { socket: { _pendingData } };
    await failureOf({ request });
    expect(reachablePaths(TOKEN, request)).toEqual([]);
    expect(JSON.stringify(request)).toMatch(_pendingData === null ? /null/ : /POST[^]*\[redacted\]/);
  });

  it('is redacted in the options of the next redirect, and in the requests that were redirected', async () => {
    const optionsOf = () => ({ headers: { authorization: `DPoP ${TOKEN}`, DPOP: PROOF, Host: 'api.example' } });
    const requests = {
      _options: optionsOf(),
      _currentRequest: { _options: optionsOf() },
      _redirectable: { _options: optionsOf() },
    };
    await failureOf({ request: requests }, dpop);
    const redacted = { headers: { authorization: '[access token]', DPOP: '[DPoP proof]', Host: 'api.example' } };
    expect(requests).toEqual({
      _options: redacted,
      _currentRequest: { _options: redacted },
      _redirectable: { _options: redacted },
    });
  });

  it('is redacted on a request of HTTP/2', async () => {
    const server = createHttp2Server((_message, response) => response.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    closing.push(() => (session.destroy(), server.close()));
    const request = session.request({ ':path': '/', Authorization: `DPoP ${TOKEN}`, dpop: PROOF });
    await once(request.resume(), 'end');
    expect(JSON.stringify(request.sentHeaders)).toContain(TOKEN);
    await failureOf({ request }, dpop);
    expect(Object.values(request.sentHeaders ?? {})).toEqual(
      expect.arrayContaining(['[access token]', '[DPoP proof]']),
    );
    expect(JSON.stringify(request.sentHeaders)).not.toMatch(new RegExp(`${TOKEN}|${PROOF}`));
  });

  it('is removed from a Request of the Fetch standard', async () => {
    const headers = { authorization: `DPoP ${TOKEN}`, dpop: PROOF, 'x-own': 'kept' };
    const request = new Request('https://api.example', { headers });
    await failureOf({ request }, dpop);
    expect([...request.headers]).toEqual([['x-own', 'kept']]);
    const other = new Request('https://api.example', { headers: { 'x-token': TOKEN } });
    await failureOf({ request: other }, { header: new TokenHeader('X-Token', ''), authorization: TOKEN });
    expect([...other.headers]).toEqual([]);
  });

  test.each([[undefined], [null], ['GET /'], [5], [{}], [{ _header: null, _options: 'none', sentHeaders: 1 }]])(
    'is no reason to change a request that is none: %p',
    async (request) => {
      const before = structuredClone(request);
      const error = { request };
      expect(thrownBy(await failureOf(error))).toEqual({ thrown: error });
      expect(request).toEqual(before);
    },
  );
});

describe('the connections of an error', () => {
  const members = { socket: {}, client: {}, agent: {}, agents: {} };
  const shown = (holder: object) => Object.keys(holder);

  it('are hidden on the request, its response, its options and its redirects, and work', () => {
    const holder = () => ({ ...members, path: '/users' });
    const single = () => ({ ...holder(), res: holder(), _options: holder() });
    const request = { ...single(), _currentRequest: single(), _redirectable: single() };
    hideConnections(request);
    for (const one of [request, request._currentRequest, request._redirectable]) {
      for (const each of [one, one.res, one._options]) {
        expect(shown(each).filter((name) => name in members)).toEqual([]);
        expect(each.path).toBe('/users');
        expect(each.socket).toBe(members.socket);
      }
    }
  });

  it('can be replaced, removed and shown again', () => {
    const request: { socket?: object } = { socket: { first: true } };
    hideConnections(request);
    request.socket = { second: true };
    expect(request.socket).toEqual({ second: true });
    hideConnections(request);
    expect(shown(request)).toEqual([]);
    Object.defineProperty(request, 'socket', { enumerable: true });
    expect(shown(request)).toEqual(['socket']);
    delete request.socket;
    expect('socket' in request).toBe(false);
  });

  it('are hidden under the symbol of newer versions of Node.js too', () => {
    const [kSocket, other] = [Symbol('kSocket'), Symbol('kOther')];
    const request = { [kSocket]: {}, [other]: {} };
    hideConnections(request);
    const isShown = (key: symbol) => Object.getOwnPropertyDescriptor(request, key)?.enumerable;
    expect([isShown(kSocket), isShown(other)]).toEqual([false, true]);
  });

  it('are left alone if they are no objects, or computed', () => {
    let reads = 0;
    const request = {
      socket: null,
      client: 'none',
      get agent() {
        reads += 1;
        return {};
      },
    };
    hideConnections(request);
    expect([shown(request), reads]).toEqual([['socket', 'client', 'agent'], 0]);
    for (const none of [undefined, null, 'text', 5]) hideConnections(none);
  });

  it('are hidden on a real request', async () => {
    const api = await TestServer.start(json(200, {}));
    closing.push(() => api.close());
    const request = httpRequest(api.url, { agent: false });
    const responded = once(request, 'response') as Promise<[Readable]>;
    request.end();
    await text((await responded)[0]);
    expect(inspect(request)).toContain('Socket');
    hideConnections(request);
    expect(inspect(request)).not.toContain('Socket {');
    expect(request.socket).toBeInstanceOf(Socket);
  });

  it('are hidden on the agents of a config', () => {
    const agent = () => ({
      sockets: { a: [] },
      freeSockets: { a: [] },
      requests: { a: [] },
      maxSockets: 5,
      socket: {},
    });
    const [httpAgent, httpsAgent] = [agent(), agent()];
    hideConnectionsOfAgents({ ...config, httpAgent, httpsAgent });
    expect([httpAgent, httpsAgent].map(shown)).toEqual([
      ['maxSockets', 'socket'],
      ['maxSockets', 'socket'],
    ]);
    expect(httpAgent.freeSockets).toEqual({ a: [] });
    hideConnectionsOfAgents(config);
    hideConnectionsOfAgents({ ...config, httpAgent: null, httpsAgent: 'none' });
  });
});
