import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, jest, test } from '@jest/globals';
import { type AxiosAdapter, AxiosHeaders, type InternalAxiosRequestConfig } from 'axios';
import { type Answer, TestServer } from '../../../../../test/support/http-server.js';
import { selfSignedCertificate } from '../../../../../test/support/certificates.js';
import { AccessToken, AUTHORIZATION_HEADER, TokenHeader } from '../../token/access-token.js';
import type { CallAuthorization } from '../outgoing-call.js';
import { proxyChoice, type CallToSend, sendWith } from './sent-request.js';

const LONGEST_MS = 2 ** 31 - 1;

const authorization: CallAuthorization = {
  token: new AccessToken('a-token'),
  header: AUTHORIZATION_HEADER,
  authorization: 'Bearer a-token',
};

const allowed =
  (...urls: string[]) =>
  (url: string) =>
    urls.some((one) => url.startsWith(one));

type Config = Partial<InternalAxiosRequestConfig>;

/** Sends a call by an adapter of the application, and returns what the adapter got. */
async function sent(
  config: Config = {},
  {
    call = authorization,
    adapter,
    ...options
  }: Partial<CallToSend> & { call?: CallAuthorization; adapter?: AxiosAdapter } = {},
) {
  const got: InternalAxiosRequestConfig[] = [];
  const given = { headers: new AxiosHeaders(), ...config };
  const send: AxiosAdapter = async (config) => {
    got.push(config);
    return adapter ? adapter(config) : { data: {}, status: 200, statusText: 'OK', headers: {}, config };
  };
  const result = await sendWith(call, {
    config: given,
    send,
    isAllowed: allowed('https://api.example'),
    isDirect: false,
    mayBeRepeated: () => false,
    ...options,
  });
  return { config: got[0]!, given, result };
}

describe('a call with the token', () => {
  it('is a copy, so that the token is not on the application’s config', async () => {
    const headers = new AxiosHeaders({ 'x-a': '1' });
    const mark = Symbol('mark');
    const { config, given, result } = await sent({ headers, url: '/users', [mark]: 'kept' } as Config);
    expect(config.headers.toJSON()).toEqual({ 'x-a': '1', Authorization: 'Bearer a-token' });
    expect(config.headers).toBeInstanceOf(AxiosHeaders);
    expect(config).toMatchObject({ url: '/users', [mark]: 'kept' });
    expect(given.headers).toBe(headers);
    expect(headers.toJSON()).toEqual({ 'x-a': '1' });
    expect(Object.keys(given).toSorted()).toEqual(['headers', 'url']);
    expect(result.unwrap().config).toBe(given);
  });

  it('carries the proof too if there is one, and the token in its own header', async () => {
    const header = new TokenHeader('X-Token');
    const { config } = await sent({}, { call: { ...authorization, header, dpop: 'a-proof' } });
    expect(config.headers.toJSON()).toEqual({ 'X-Token': 'Bearer a-token', DPoP: 'a-proof' });
    const { config: without } = await sent();
    expect(Object.keys(without.headers)).toEqual(['Authorization']);
  });

  it('ignores proxies of the environment only if it must', async () => {
    expect((await sent({}, { isDirect: true })).config.proxy).toBe(false);
    expect((await sent()).config).not.toHaveProperty('proxy');
    const proxy = { host: 'proxy.example', port: 3128 };
    expect((await sent({ proxy })).config.proxy).toBe(proxy);
  });

  test.each([
    [undefined, undefined],
    [0, 0],
    [1000, 1000],
    [LONGEST_MS, LONGEST_MS],
    [LONGEST_MS + 1, LONGEST_MS],
    [Infinity, LONGEST_MS],
  ])('has a timeout that a timer can have: %s -> %s', async (timeout, expected) => {
    const { config, given } = await sent({ ...(timeout !== undefined && { timeout }) });
    expect([config.timeout, given.timeout]).toEqual([expected, timeout]);
  });

  it('leaves redirects to the caller with the fetch adapter, unless they are errors', async () => {
    expect((await sent()).config.fetchOptions).toEqual({ redirect: 'manual' });
    const options = { redirect: 'follow', keepalive: true };
    expect((await sent({ fetchOptions: options })).config.fetchOptions).toEqual({
      redirect: 'manual',
      keepalive: true,
    });
    expect(options.redirect).toBe('follow');
    expect((await sent({ fetchOptions: { redirect: 'error' } })).config.fetchOptions).toEqual({ redirect: 'error' });
  });

  it('keeps the application’s own handling of redirects if it follows none', async () => {
    const beforeRedirect = () => {};
    expect((await sent({ maxRedirects: 0 })).config).not.toHaveProperty('beforeRedirect');
    expect((await sent({ maxRedirects: 0, beforeRedirect })).config.beforeRedirect).toBe(beforeRedirect);
    expect((await sent({ beforeRedirect })).config.beforeRedirect).not.toBe(beforeRedirect);
  });
});

describe('a redirect of a call with the token', () => {
  /** Follows redirects, and returns the headers of each request and the status that the carrier gets. */
  async function follow(urls: string[], config: Config = {}, options: Parameters<typeof sent>[1] = {}) {
    const seen: Record<string, unknown>[] = [];
    const { result } = await sent(config, {
      ...options,
      adapter: async (config) => {
        let headers: Record<string, unknown> = { ...config.headers.toJSON() };
        for (const href of urls) {
          // As an HTTP library may spell them.
          headers = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
          config.beforeRedirect!({ headers, href }, { headers: {}, statusCode: 302 }, {} as never);
          seen.push({ ...headers });
        }
        return { data: {}, status: 401, statusText: '', headers: {}, config };
      },
    });
    return { seen, status: result.status(), isRedirected: result.isRedirected };
  }

  const https = ['https://api.example/a', 'https://other.example/b'] as const;

  it('takes the token along to an allowed address', async () => {
    expect(await follow([https[0]])).toEqual({
      seen: [{ Authorization: 'Bearer a-token' }],
      status: 401,
      isRedirected: true,
    });
    expect(await follow([])).toEqual({ seen: [], status: 401, isRedirected: false });
  });

  it('leaves it off from the first address on that is not allowed', async () => {
    const { seen, status } = await follow([https[0], https[1], https[0]]);
    expect(seen).toEqual([{ Authorization: 'Bearer a-token' }, {}, {}]);
    expect(status).toBeUndefined();
  });

  it('keeps other headers, also an Authorization next to a token in another header', async () => {
    const header = new TokenHeader('X-Token');
    const headers = new AxiosHeaders({ Accept: '*/*', Authorization: 'Basic eA==' });
    const call = { ...authorization, header };
    const { seen } = await follow([https[0], https[1]], { headers }, { call });
    expect(seen).toEqual([
      { ACCEPT: '*/*', AUTHORIZATION: 'Basic eA==', 'X-Token': 'Bearer a-token' },
      { ACCEPT: '*/*', AUTHORIZATION: 'Basic eA==' },
    ]);
  });

  it('does not take a token along that needs a proof for each address', async () => {
    const { seen, status } = await follow([https[0]], {}, { call: { ...authorization, dpop: 'a-proof' } });
    expect([seen, status]).toEqual([[{}], undefined]);
  });

  it('does not take it to plain http through a proxy that could read it', async () => {
    const http = 'http://api.example/a';
    const isAllowed = allowed('http://api.example', 'https://api.example');
    const carried = async (config: Config, isDirect = false) =>
      (await follow([http], config, { isAllowed, isDirect })).status === 401;
    expect(await carried({})).toBe(false);
    expect(await carried({ proxy: { host: 'proxy.example', port: 3128 } })).toBe(false);
    expect(await carried({ proxy: { host: 'api.example', port: 80 } })).toBe(true);
    expect(await carried({ proxy: false })).toBe(true);
    expect(await carried({}, true)).toBe(true);
  });

  it('calls the application’s own handler afterwards', async () => {
    const seen: unknown[] = [];
    const beforeRedirect: NonNullable<InternalAxiosRequestConfig['beforeRedirect']> = (options, ...details) => {
      seen.push({ ...(options.headers as object) }, ...details);
      options.headers['x-own'] = 'yes';
    };
    const { seen: sentHeaders } = await follow([https[0]], { beforeRedirect });
    expect(seen).toEqual([{ Authorization: 'Bearer a-token' }, { headers: {}, statusCode: 302 }, {}]);
    expect(sentHeaders).toEqual([{ Authorization: 'Bearer a-token', 'x-own': 'yes' }]);
  });
});

describe('the use of proxies', () => {
  type Proxy = InternalAxiosRequestConfig['proxy'];
  const proxyAt = 'http://10.0.0.1:3128/';
  const isAllowed = allowed(proxyAt, 'https://10.0.0.1:3128/', 'http://[::1]:3128/');
  const proxy = (options: object) => ({ port: 3128, ...options }) as Proxy;

  test.each<[string, Proxy, string, ReturnType<typeof proxyChoice>]>([
    ['none, by the application', false, 'http://api.example', 'as it is'],
    ['none, for https', false, 'https://api.example', 'as it is'],
    ['that of the environment, for https', undefined, 'https://api.example', 'as it is'],
    ['that of the environment, for HTTPS', undefined, 'HTTPS://api.example', 'as it is'],
    ['one of the application, for https', proxy({ host: 'other.example' }), 'https://api.example', 'as it is'],
    ['that of the environment, for plain http', undefined, 'http://api.example', 'direct'],
    ['that of the environment, for plain http to a tricky path', undefined, 'http://a/?x=https://b', 'direct'],
    ['an allowed one', proxy({ host: '10.0.0.1' }), 'http://api.example', 'as it is'],
    ['one that is not allowed', proxy({ host: '10.0.0.2' }), 'http://api.example', 'refused'],
    ['another port', proxy({ host: '10.0.0.1', port: 3129 }), 'http://api.example', 'refused'],
    ['a protocol', proxy({ host: '10.0.0.1', protocol: 'https' }), 'http://api.example', 'as it is'],
    ['a protocol with a colon', proxy({ host: '10.0.0.1', protocol: 'https:' }), 'http://api.example', 'as it is'],
    ['another protocol', proxy({ host: '10.0.0.1', protocol: 'socks' }), 'http://api.example', 'refused'],
    ['a name that comes first', proxy({ host: '10.0.0.1', hostname: '10.0.0.2' }), 'http://api.example', 'refused'],
    ['a name alone', proxy({ hostname: '10.0.0.1' }), 'http://api.example', 'as it is'],
    ['an IPv6 address', proxy({ host: '::1' }), 'http://api.example', 'as it is'],
    ['an IPv6 address in brackets', proxy({ host: '[::1]' }), 'http://api.example', 'as it is'],
    ['another IPv6 address', proxy({ host: '::2' }), 'http://api.example', 'refused'],
  ])('of %s', (_name, proxy, url, choice) => {
    expect(proxyChoice({ proxy }, url, isAllowed)).toBe(choice);
  });

  test.each([
    ['0.30.2', 'direct'],
    ['1.9.20', 'direct'],
    ['1.16.0', 'direct'],
    ['1.16.1-beta.1', 'as it is'],
    ['2.0.0', 'as it is'],
  ])('of the environment for https depends on axios: %s opens a tunnel or not', async (version, choice) => {
    jest.resetModules();
    const { default: axios } = await import('axios');
    const { VERSION } = axios;
    Object.assign(axios, { VERSION: version });
    const { proxyChoice } = await import('./sent-request.js');
    expect(proxyChoice({}, 'https://api.example', () => false)).toBe(choice);
    expect(proxyChoice({}, 'http://api.example', () => false)).toBe('direct');
    Object.assign(axios, { VERSION });
  });
});

describe('the limit on the body of a response after which the call may be sent again', () => {
  const closing: (() => Promise<unknown>)[] = [];
  beforeEach(
    () => void jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask', 'setInterval', 'Date'] }),
  );
  afterEach(async () => {
    jest.useRealTimers();
    await Promise.all(closing.splice(0).map((close) => close()));
  });

  const own = { request: httpRequest } as never;

  test.each<[string, Config]>([
    ['a transport of the application', { transport: own, maxRedirects: 0 }],
    ['redirects', { maxRedirects: 5 }],
    ['redirects by default', {}],
    ['a timeout', { maxRedirects: 0, timeout: 1000 }],
    ['a stream', { maxRedirects: 0, responseType: 'stream' }],
  ])('does not apply with %s', async (_name, config) => {
    expect((await sent(config)).config.transport).toBe(config.transport);
  });

  /** A call by the transport; resolves once the whole response is over. */
  async function call(answer: Answer, mayBeRepeated: CallToSend['mayBeRepeated'], tls?: { key: string; cert: string }) {
    const server = await TestServer.start(answer, tls);
    closing.push(() => server.close());
    const { config } = await sent({ maxRedirects: 0, timeout: 0, responseType: 'json' }, { mayBeRepeated });
    const transport = config.transport as {
      request: (
        options: RequestOptions,
        onResponse: (response: IncomingMessage) => void,
      ) => ReturnType<typeof httpRequest>;
    };
    const { hostname, port, protocol } = new URL(server.url);
    const read = { bytes: 0, hasEnded: false };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { hostname, port, protocol, agent: false as const, rejectUnauthorized: false };
      transport
        .request(options, (response) => {
          response.on('data', (chunk: Buffer) => (read.bytes += chunk.length));
          response.on('end', () => (read.hasEnded = true));
          response.on('error', () => {});
          resolve(response);
        })
        .on('error', reject)
        .end();
    });
    return { response, read, closed: once(response, 'close') };
  }

  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise(setImmediate);
  };

  it('is 1 MiB', async () => {
    let writeMore!: () => void;
    const { response, read, closed } = await call(
      (_request, response) => {
        response.writeHead(401).write(Buffer.alloc(1_048_576));
        writeMore = () => void response.write('x');
      },
      (status) => status === 401,
    );
    await until(() => read.bytes === 1_048_576);
    expect(response.destroyed).toBe(false);
    writeMore();
    await closed;
    expect(read).toEqual({ bytes: 1_048_577, hasEnded: false });
    expect(jest.getTimerCount()).toBe(0);
  });

  const endless: Answer = (_request, response) => response.writeHead(401).write('x');

  it('is two seconds', async () => {
    const { response, closed } = await call(endless, () => true);
    jest.advanceTimersByTime(1999);
    expect(response.destroyed).toBe(false);
    jest.advanceTimersByTime(1);
    expect(response.destroyed).toBe(true);
    await closed;
  });

  it('does not apply to other responses', async () => {
    const { read, closed } = await call(
      (_request, response) => response.writeHead(403).end(Buffer.alloc(1_100_000)),
      (status) => status === 401,
    );
    expect(jest.getTimerCount()).toBe(0);
    await closed;
    expect(read).toEqual({ bytes: 1_100_000, hasEnded: true });
  });

  it('applies to https as well', async () => {
    const tls = await selfSignedCertificate('127.0.0.1', { hosts: ['127.0.0.1'] });
    const { closed } = await call(endless, () => true, tls);
    expect(jest.getTimerCount()).toBe(1);
    jest.advanceTimersByTime(2000);
    await closed;
  });
});
