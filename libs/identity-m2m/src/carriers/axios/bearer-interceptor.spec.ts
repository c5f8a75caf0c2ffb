import { getEventListeners } from 'node:events';
import { Agent } from 'node:https';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it, test } from '@jest/globals';
import axios, {
  type AxiosAdapter,
  AxiosError,
  type AxiosRequestConfig,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
} from 'axios';
import { json, TestServer } from '../../../../../test/support/http-server.js';
import { FixedTokenProvider } from '../../testing/fixed-token-provider.js';
import { AccessToken, AUTHORIZATION_HEADER, TokenHeader } from '../../token/access-token.js';
import type { TokenRejection } from '../../token/token-rejection.js';
import { systemClock } from '../../foundation/clock.js';
import { carrierOf } from '../token-carrier.js';
import {
  type CallTokenOptions,
  type CarrierChoice,
  installAxiosBearerInterceptor,
  withoutToken,
  withToken,
} from './bearer-interceptor.js';
import { ClientCertificateAgent } from './client-certificate-agent.js';

const API = 'https://api.example';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** Renews its token when it is rejected, and remembers the addresses that it was asked about. */
class TestProvider extends FixedTokenProvider {
  readonly explained: string[] = [];
  readonly proofs: string[] = [];
  #renewals = 0;

  override explain(url: string) {
    this.explained.push(url);
    return super.explain(url);
  }

  override async renewToken() {
    this.#renewals += 1;
    this.replaceToken(`renewed-${this.#renewals}`);
    return this.getToken();
  }
}

/** A provider with a token that is bound to a key. */
class DpopProvider extends TestProvider {
  readonly #bound = new AccessToken('bound', 'DPoP');

  override peek() {
    return this.#bound;
  }

  override async proof(_token: AccessToken, method: string, url: string) {
    this.proofs.push(`${method} ${url}`);
    return 'a-proof';
  }
}

interface Options {
  readonly provider?: TestProvider;
  readonly header?: TokenHeader;
  readonly isTokenRejected?: TokenRejection;
  readonly own?: Partial<CarrierChoice>;
  readonly config?: AxiosRequestConfig;
  readonly choose?: (wanted: CallTokenOptions) => Promise<CarrierChoice>;
  /** How the adapter of the application answers. */
  readonly answer?: (config: InternalAxiosRequestConfig) => Partial<AxiosResponse>;
}

function setUp({
  provider = new TestProvider('a-token', { allowedOrigins: [API] }),
  header = AUTHORIZATION_HEADER,
  isTokenRejected = [401],
  own,
  config,
  choose = () => Promise.reject(new Error('unexpected')),
  answer = () => ({}),
}: Options = {}) {
  const sent: InternalAxiosRequestConfig[] = [];
  const adapter: AxiosAdapter = async (config) => {
    sent.push(config);
    const response = { data: {}, status: 200, statusText: '', headers: {}, config, ...answer(config) };
    if (config.validateStatus?.(response.status) ?? true) return response;
    throw new AxiosError('failed', undefined, config, undefined, response);
  };
  const http = axios.create({ adapter, ...config });
  const carrier = carrierOf(provider, systemClock, { maxBytes: 100, isTokenRejected }, header);
  installAxiosBearerInterceptor(http, { own: { carrier, baseUrl: undefined, httpsAgent: undefined, ...own }, choose });
  const tokens = () => sent.map(({ headers }) => headers.get(header.name));
  return { http, provider, carrier, adapter, sent, tokens };
}

describe('the address of a call', () => {
  test.each<AxiosRequestConfig>([
    { url: API },
    { url: '/users' },
    { url: 'users', baseURL: API },
    { url: '/users', baseURL: `${API}/` },
    { url: 'users', baseURL: `${API}//` },
    { url: 'users', baseURL: `${API}///` },
    { url: '///users', baseURL: API, allowAbsoluteUrls: false },
    { url: '', baseURL: `${API}/v2/` },
    { baseURL: `${API}/v2` },
    { url: '/users', baseURL: '' },
    { url: 'https://other.example/x', baseURL: API },
    { url: 'HTTPS://other.example/x', baseURL: API },
    { url: '//other.example/x', baseURL: API },
    { url: 'a+b-c.9://other.example/x', baseURL: API },
    { url: '9a://other.example/x', baseURL: API },
    { url: '/x?to=https://other.example', baseURL: API },
    { url: 'x//https://other.example', baseURL: API },
    { url: 'https://other.example/x', baseURL: API, allowAbsoluteUrls: true },
    { url: 'https://other.example/x', baseURL: API, allowAbsoluteUrls: false },
    { url: '//other.example/x', baseURL: API, allowAbsoluteUrls: false },
  ])('is checked as axios calls it: %j', async (config) => {
    const { http, provider, sent } = setUp();
    await http.request(config).catch(() => {});
    const called = axios.getUri(config);
    expect([provider.explained[0], sent[0]?.headers.has('Authorization') ?? false]).toEqual([
      called,
      called.startsWith(`${API}/`) || called === API,
    ]);
  });

  it('may be a URL object', async () => {
    const { http, sent, tokens } = setUp();
    await http.get(new URL(`${API}/a?b`) as unknown as string);
    expect([sent[0]!.url, tokens()]).toEqual([`${API}/a?b`, ['Bearer a-token']]);
  });

  it('must be allowed together with the Host header', async () => {
    const { http, tokens } = setUp();
    for (const Host of ['api.example', undefined, null, false, 'other.example', '', ['api.example'], 1] as const) {
      await http.get(API, { headers: { Host: Host as string } });
    }
    const carried = 'Bearer a-token';
    expect(tokens()).toEqual([carried, carried, carried, carried, ...Array<undefined>(4).fill(undefined)]);
  });
});

describe('a call with credentials of its own', () => {
  test.each<[string, AxiosRequestConfig]>([
    ['the header', { headers: { Authorization: 'Basic eA==' } }],
    ['the header in another spelling', { headers: { AUTHORIZATION: 'Basic eA==' } }],
    ['no header on purpose', { headers: { Authorization: false as unknown as string } }],
    ['a name and a password', { auth: { username: 'a', password: 'b' } }],
  ])('keeps them: %s', async (_name, config) => {
    const { http, provider, tokens } = setUp();
    await http.get(API, config);
    expect(tokens()[0]).not.toBe('Bearer a-token');
    expect(provider.explained).toEqual([]);
  });

  it('carries the token too if that has another header', async () => {
    const { http, sent, tokens } = setUp({ header: new TokenHeader('X-Token') });
    await http.get(API, { auth: { username: 'a', password: 'b' }, headers: { Authorization: 'Basic eA==' } });
    expect(tokens()).toEqual(['Bearer a-token']);
    expect(sent[0]!.headers.get('Authorization')).toBe('Basic eA==');
    await http.get(API, { headers: { 'x-token': 'own' } });
    expect(tokens()[1]).toBe('own');
  });
});

it('puts options for the token on a copy of the config', async () => {
  const config = Object.freeze({ params: { a: 1 } });
  const { http, sent, tokens } = setUp();
  await http.get(API, withoutToken(config));
  await http.get(API, withToken({ scope: 'a' }, config));
  await http.get(API, withToken({ scope: 'a' }));
  await http.get(API, withoutToken());
  expect(tokens()).toEqual([undefined, 'Bearer a-token', 'Bearer a-token', undefined]);
  expect(sent.map(({ params }) => params as unknown)).toEqual([{ a: 1 }, { a: 1 }, undefined, undefined]);
});

describe('a call in the name of another client', () => {
  const OTHER = 'https://other.example';

  /** A call that names another client; returns the config that was sent. */
  async function callOfOther(config: AxiosRequestConfig, own: Partial<CarrierChoice>, other: Partial<CarrierChoice>) {
    const provider = new TestProvider('other-token', { allowedOrigins: [OTHER] });
    const choice = { carrier: carrierOf(provider), baseUrl: undefined, httpsAgent: undefined, ...other };
    const defaults: AxiosRequestConfig = {
      ...(own.baseUrl !== undefined && { baseURL: own.baseUrl }),
      ...(own.httpsAgent && { httpsAgent: own.httpsAgent }),
    };
    const { http, sent, tokens } = setUp({ own, config: defaults, choose: async () => choice });
    const response = await http.request(withToken({ client: 'other' }, { url: '/users', ...config }));
    return { sent: sent[0]!, tokens: tokens(), response };
  }

  it('is chosen by client or tenant, and not by other options', async () => {
    const wanted: CallTokenOptions[] = [];
    const provider = new TestProvider('other-token', { allowedOrigins: [API] });
    const { http, tokens } = setUp({
      choose: async (options) => {
        wanted.push(options);
        return { carrier: carrierOf(provider), baseUrl: undefined, httpsAgent: undefined };
      },
    });
    const named = [{ client: 'other' }, { tenant: 'acme' }, { client: 'other', tenant: 'acme' }];
    for (const options of [...named, { scope: 'a' }, {}]) await http.get(API, withToken(options));
    await http.get(API);
    expect(wanted).toEqual(named);
    expect(tokens()).toEqual([
      ...Array<string>(3).fill('Bearer other-token'),
      ...Array<string>(3).fill('Bearer a-token'),
    ]);
  });

  it('has the base URL of that client, unless it has its own', async () => {
    const own = { baseUrl: API };
    const { sent, tokens, response } = await callOfOther({}, own, { baseUrl: OTHER });
    expect([sent.baseURL, tokens]).toEqual([OTHER, ['Bearer other-token']]);
    expect(response.config.baseURL).toBe(OTHER);
    const itsOwn = await callOfOther({ baseURL: `${OTHER}/v2` }, own, { baseUrl: OTHER });
    expect(itsOwn.sent.baseURL).toBe(`${OTHER}/v2`);
  });

  it('has the agent of that client, unless it has its own', async () => {
    const [ofOwn, ofOther, ofCall] = [new Agent(), new Agent(), new Agent()];
    const agentFor = async (config: AxiosRequestConfig, own?: Agent, other?: Agent) => {
      const call = callOfOther({ baseURL: OTHER, ...config }, { httpsAgent: own }, { httpsAgent: other });
      return (await call).sent.httpsAgent as unknown;
    };
    expect(await agentFor({}, ofOwn, ofOther)).toBe(ofOther);
    expect(await agentFor({ httpsAgent: ofCall }, ofOwn, ofOther)).toBe(ofCall);
    expect(await agentFor({}, undefined, ofOther)).toBe(ofOther);
    expect(await agentFor({}, ofOwn, undefined)).toBe(ofOwn);
  });

  it('never has the certificate of its own client', async () => {
    const certified = new ClientCertificateAgent(() => Promise.reject(new Error('not needed')));
    const { sent } = await callOfOther({ baseURL: OTHER }, { httpsAgent: certified }, {});
    expect(sent.httpsAgent).toBeUndefined();
  });

  it('leaves the config of the application as it was', async () => {
    const { http, sent } = setUp({
      config: { baseURL: API },
      own: { baseUrl: API },
      choose: async () => ({
        carrier: carrierOf(new TestProvider('other-token')),
        baseUrl: OTHER,
        httpsAgent: undefined,
      }),
    });
    const configs: InternalAxiosRequestConfig[] = [];
    http.interceptors.request.use((config) => {
      configs.push(config);
      return config;
    });
    await http.get('/users', withToken({ client: 'other' }));
    expect([configs[0]!.baseURL, sent[0]!.baseURL]).toEqual([API, OTHER]);
  });

  it('does not wait for the choice once it is cancelled', async () => {
    const controller = new AbortController();
    const { http, sent } = setUp({ choose: () => new Promise(() => {}) });
    const call = http.get(API, withToken({ tenant: 'acme' }, { signal: controller.signal }));
    await new Promise(setImmediate);
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'ERR_CANCELED' });
    expect(sent).toEqual([]);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });
});

describe('a call that is cancelled in the moment in which its client is chosen', () => {
  const plain = 'http://127.0.0.1:9';

  test.each<[string, string, AxiosRequestConfig]>([
    ['has no token', 'https://other.example', {}],
    [
      'has a proxy that could read its token',
      plain,
      { proxy: { protocol: 'http', host: 'proxy.example', port: 3128 } },
    ],
  ])('is not sent if it %s', async (_name, url, config) => {
    for (let steps = 0; steps < 8; steps++) {
      let choose!: () => void;
      const provider = new TestProvider('other-token', { allowedOrigins: [plain] });
      const choice = { carrier: carrierOf(provider), baseUrl: undefined, httpsAgent: undefined };
      const { http, sent } = setUp({ choose: () => new Promise((resolve) => (choose = () => resolve(choice))) });
      const { token, cancel } = axios.CancelToken.source();
      const call = http.get(url, withToken({ client: 'other' }, { ...config, cancelToken: token }));
      await new Promise(setImmediate);
      choose();
      for (let step = 0; step < steps; step++) await Promise.resolve();
      const sentBefore = sent.length;
      cancel();
      await call.catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_CANCELED' }));
      expect(sent).toHaveLength(sentBefore);
    }
  });
});

describe('the adapter of a call', () => {
  it('is on the config again afterwards, so that the config can be sent again', async () => {
    const { http, adapter, tokens } = setUp();
    const { config } = await http.get(API);
    expect(config.adapter).toBe(adapter);
    await http.request(config);
    expect(tokens()).toEqual(['Bearer a-token', 'Bearer a-token']);
  });

  it('is that of axios if the instance has none, and then the config has none either', async () => {
    const api = await TestServer.start(json(200, {}));
    closing.push(() => api.close());
    const { http } = setUp({ provider: new TestProvider('a-token', { allowedOrigins: [api.url] }) });
    delete http.defaults.adapter;
    const { config } = await http.get(api.url);
    expect(api.requests[0]!.headers.authorization).toBe('Bearer a-token');
    expect('adapter' in config).toBe(false);
  });

  it('is wrapped once, also if an interceptor sends the call itself', async () => {
    const { carrier, adapter } = setUp();
    const http = axios.create({ adapter });
    let nested: AxiosResponse | undefined;
    let isNested = false;
    // Added first, so it runs last.
    http.interceptors.request.use(async (config) => {
      if (isNested) return config;
      isNested = true;
      nested = await http.request(config);
      return config;
    });
    const own = { carrier, baseUrl: undefined, httpsAgent: undefined };
    installAxiosBearerInterceptor(http, { own, choose: async () => own });
    const { config } = await http.get(API);
    expect([nested?.config.adapter, config.adapter]).toEqual([adapter, adapter]);
    expect(config.headers.has('Authorization')).toBe(false);
  });
});

it('sends a call at once if its token is cached, and returns its config', async () => {
  const configs: InternalAxiosRequestConfig[] = [];
  const { http, sent } = setUp();
  const call = http.get(API);
  expect(sent).toHaveLength(1);
  await call;
  http.interceptors.request.use((config) => {
    configs.push(config);
    return config;
  });
  const response = await http.get(API);
  expect(response.config === configs[0]).toBe(true);
});

describe('a call that is rejected with 401', () => {
  const rejected = { status: 401 };

  test.each([
    ['get', 2],
    ['GET', 2],
    ['head', 2],
    ['options', 2],
    ['post', 1],
    ['put', 1],
    ['patch', 1],
    ['delete', 1],
  ])('is sent again after a redirect if it only reads: %s', async (method, times) => {
    const redirecting = setUp({
      answer: (config) => {
        config.beforeRedirect!({ headers: {}, href: `${API}/next` }, { headers: {}, statusCode: 307 }, {} as never);
        return rejected;
      },
    });
    await redirecting.http.request({ url: API, method }).catch(() => {});
    expect(redirecting.sent).toHaveLength(times);
    const direct = setUp({ answer: () => rejected });
    await direct.http.request({ url: API, method }).catch(() => {});
    expect(direct.tokens()).toEqual(['Bearer a-token', 'Bearer renewed-1']);
  });

  it('is sent again without waiting for the end of a long response, which is read whole otherwise', async () => {
    const api = await TestServer.start((request, response) => {
      const isFirst = request.headers.authorization === 'Bearer a-token';
      response.writeHead(isFirst ? 401 : 403).write(Buffer.alloc(1_100_000));
      if (!isFirst || request.url === '/ends') response.end();
    });
    closing.push(() => api.close());
    const get = (path: string, config: AxiosRequestConfig = {}) => {
      const { http } = setUp({ provider: new TestProvider('a-token', { allowedOrigins: [api.url] }) });
      delete http.defaults.adapter;
      return http.request<ArrayBuffer>({
        url: `${api.url}${path}`,
        maxRedirects: 0,
        responseType: 'arraybuffer',
        validateStatus: () => true,
        ...config,
      });
    };
    const again = await get('/');
    expect([again.status, again.data.byteLength]).toEqual([403, 1_100_000]);
    const once = await get('/ends', { method: 'post', data: Readable.from(['x']) });
    expect([once.status, once.data.byteLength]).toEqual([401, 1_100_000]);
  });

  it('discards its first response, and keeps it flowing until then', async () => {
    let body!: ReadableStreamDefaultController<Uint8Array>;
    let isCancelled = false;
    const data = new ReadableStream<Uint8Array>({
      start: (controller) => void (body = controller),
      cancel: () => void (isCancelled = true),
    });
    const provider = new TestProvider('a-token', { allowedOrigins: [API] });
    let release!: () => void;
    provider.renewToken = () => new Promise((resolve) => (release = () => resolve(new AccessToken('renewed'))));
    const answers = [{ ...rejected, data }, {}];
    const { http, sent } = setUp({ provider, answer: () => answers.shift()! });
    const call = http.get(API);
    for (let chunks = 0; chunks < 100; chunks++) {
      body.enqueue(Buffer.from('ab'));
      await new Promise(setImmediate);
      expect(body.desiredSize).toBe(1);
    }
    expect(isCancelled).toBe(false);
    release();
    expect([(await call).status, sent.length]).toEqual([200, 2]);
    await new Promise(setImmediate);
    expect(isCancelled).toBe(true);
  });

  it('is judged by the start of its body', async () => {
    const bodies: string[] = [];
    const { http } = setUp({
      answer: () => ({ ...rejected, data: 'expired' }),
      isTokenRejected: ({ body }) => bodies.push(body) < 0,
    });
    await http.get(API).catch(() => {});
    expect(bodies).toEqual(['expired']);
  });

  it('is sent again only if its body is not too long', async () => {
    for (const [bytes, times] of [
      [100, 2],
      [101, 1],
    ] as const) {
      const { http, sent } = setUp({ answer: () => rejected });
      await http.post(API, 'x'.repeat(bytes)).catch(() => {});
      expect(sent).toHaveLength(times);
    }
  });
});

it('proves the method and the address of a call whose token is bound to a key', async () => {
  const provider = new DpopProvider('unused', { allowedOrigins: [API] });
  const { http, sent, tokens } = setUp({ provider });
  await http.get(`${API}/a`);
  await http.request({ url: '/b', baseURL: API, method: 'post' });
  http.interceptors.request.use((config) => {
    delete config.method;
    return config;
  });
  await http.request({ url: `${API}/c` });
  expect(provider.proofs).toEqual([`GET ${API}/a`, `POST ${API}/b`, `GET ${API}/c`]);
  expect(tokens()).toEqual(Array(3).fill('DPoP bound'));
  expect(sent.map(({ headers }) => headers.get('DPoP'))).toEqual(Array(3).fill('a-proof'));
});

describe('a call through a proxy of the application', () => {
  const proxy = { protocol: 'http', host: 'proxy.example', port: 3128 };
  const plain = 'http://127.0.0.1:9';

  it('is sent without the token if the proxy could read it', async () => {
    const { http, sent, tokens } = setUp({ provider: new TestProvider('a-token', { allowedOrigins: [plain] }) });
    await http.get(plain, { proxy });
    expect([tokens(), sent[0]!.proxy]).toEqual([[undefined], proxy]);
    await http.get(plain);
    expect([tokens()[1], sent[1]!.proxy]).toEqual(['Bearer a-token', false]);
    await http.get(plain, { proxy: false });
    expect(tokens()[2]).toBe('Bearer a-token');
  });

  it('carries it over https', async () => {
    const { http, sent, tokens } = setUp();
    await http.get(API, { proxy });
    await http.get(API);
    expect([tokens(), sent.map(({ proxy }) => proxy)]).toEqual([Array(2).fill('Bearer a-token'), [proxy, undefined]]);
  });
});

describe('a call that fails', () => {
  /** An adapter that fails in this way. */
  const failingWith =
    (error: unknown): AxiosAdapter =>
    () =>
      Promise.reject(error);

  it('without a token explains an address that is not one', async () => {
    const { http } = setUp();
    const cause = new TypeError('Invalid URL');
    await expect(http.get('/users', { adapter: failingWith(cause) })).rejects.toMatchObject({
      code: 'M2M_CALL_ADDRESS_INVALID',
      client: 'fixed',
      cause,
      message: `Cannot send a GET call of client "fixed": its address "/users" is not an absolute URL. Give the whole address, or set http: { baseURL: 'https://…' } in the options of client "fixed".`,
    });
    http.interceptors.request.use((config) => {
      delete config.method;
      return config;
    });
    await expect(http.post('/users', '', { adapter: failingWith(cause) })).rejects.toThrow(/^Cannot send a GET call/);
  });

  test.each<[string, string, unknown]>([
    ['without a token', 'https://other.example', new Error('no')],
    ['with the token', API, new Error('no')],
    ['without an error', API, undefined],
    ['without an error or a token', 'https://other.example', undefined],
    ['with null', API, null],
    ['with text', API, 'no'],
  ])('fails with the error of its adapter: %s', async (_name, url, error) => {
    const { http } = setUp();
    const seen = await http.get(url, { adapter: failingWith(error) }).then(
      () => 'no error',
      (error: unknown) => error,
    );
    expect(seen).toBe(error);
  });

  const connectionsOf = () => {
    const socket = {};
    return { request: { socket }, agent: Object.assign(new Agent(), { sockets: { a: [socket] } }) };
  };

  it('has no connection in sight on an error of axios, and its config can be sent again', async () => {
    const { request, agent } = connectionsOf();
    const { request: ofResponse } = connectionsOf();
    const { http } = setUp({ config: { httpAgent: agent, httpsAgent: agent } });
    const adapter: AxiosAdapter = async (config) => {
      const response = { data: {}, status: 500, statusText: '', headers: {}, config, request: ofResponse };
      throw new AxiosError('no', undefined, config, request, response);
    };
    const error: unknown = await http.get(API, { adapter }).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: 'AxiosError' });
    for (const one of [request, ofResponse]) expect(Object.keys(one)).toEqual([]);
    expect(Object.keys(agent)).not.toContain('sockets');
    expect((error as AxiosError).config?.httpAgent).toBe(agent);
    expect(agent.sockets.a).toHaveLength(1);
    expect(request.socket).toEqual({});
  });

  it('keeps its connections on an error that is not one of axios, or has no config', async () => {
    const { request } = connectionsOf();
    const { http } = setUp();
    const own = Object.assign(new Error('no'), { request });
    await expect(http.get(API, { adapter: failingWith(own) })).rejects.toBe(own);
    expect(Object.keys(request)).toEqual(['socket']);
    http.interceptors.response.use(undefined, (error: unknown) => Promise.reject(error));
    const bare = new AxiosError('no');
    await expect(http.get('https://other.example', { adapter: failingWith(bare) })).rejects.toBe(bare);
  });

  it('has no connection in sight if only its response cannot be read', async () => {
    const { request } = connectionsOf();
    const { http } = setUp({ answer: () => ({ data: '{', request }) });
    const responseType = 'json';
    const transitional = { silentJSONParsing: false };
    const error: unknown = await http.get(API, { responseType, transitional }).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: 'SyntaxError' });
    expect(Object.keys(request)).toEqual([]);
  });
});

describe('a call that is cancelled in the moment in which its token arrives', () => {
  /** Its token arrives when the test says so. */
  class LateProvider extends TestProvider {
    arrive!: () => void;

    override peek() {
      return undefined as never;
    }

    override getToken() {
      return new Promise<AccessToken>((resolve) => (this.arrive = () => resolve(new AccessToken('late'))));
    }
  }

  test.each(['signal', 'cancel token'])('is not sent, or its request is ended: by a %s', async (way) => {
    const open = new Set<unknown>();
    const api = await TestServer.start((_request, response) => {
      open.add(response);
      response.on('close', () => open.delete(response));
    });
    closing.push(() => api.close());
    for (let steps = 0; steps < 16; steps++) {
      const provider = new LateProvider('unused', { allowedOrigins: [api.url] });
      const { http } = setUp({ provider });
      delete http.defaults.adapter;
      const controller = new AbortController();
      const { token, cancel } = axios.CancelToken.source();
      const call = http.get(api.url, way === 'signal' ? { signal: controller.signal } : { cancelToken: token });
      const outcome = call.catch((error: unknown) => error);
      await new Promise(setImmediate);
      provider.arrive();
      for (let step = 0; step < steps; step++) await Promise.resolve();
      controller.abort();
      cancel();
      expect(await outcome).toMatchObject({ code: 'ERR_CANCELED' });
    }
    // After those that were cancelled, so that what they have sent has arrived.
    const { http } = setUp({ provider: new TestProvider('a-token', { allowedOrigins: [api.url] }) });
    delete http.defaults.adapter;
    const last = new AbortController();
    const waiting = http.get(api.url, { signal: last.signal, params: { last: true } }).catch(() => {});
    while (!api.requests.some(({ url }) => url.includes('last'))) await new Promise(setImmediate);
    while (open.size > 1) await new Promise(setImmediate);
    last.abort();
    await waiting;
  });
});
