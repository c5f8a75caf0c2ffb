import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import { type AxiosAdapter, AxiosError, type AxiosResponse } from 'axios';
import { setupCache } from 'axios-cache-interceptor';
import MockAdapter from 'axios-mock-adapter';
import axiosRetry from 'axios-retry';
import {
  bearerFetch,
  genericOAuth2,
  type ClientOptions,
  IdentityM2MModule,
  TokenProvider,
  withToken,
} from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import { firstValueFrom, lastValueFrom, of } from 'rxjs';
import { json } from './support/http-server.js';
import { closeAll, closeLater, outboundApplication, rejecting, sentTo } from './support/outbound-applications.js';
import { reachablePaths } from './support/reachable-paths.js';
import { UNDICI_VERSIONS } from './support/undici-versions.js';

// What tests of applications put in the place of the network, and what applications put in front of it.

afterEach(closeAll);

const API = 'https://api.example';
const bound = { allowedOrigins: [API] };

/** Its types are for the CommonJS declarations of axios. */
const mocked = ({ axiosRef }: HttpService) => new MockAdapter(axiosRef as never);

describe('axios-mock-adapter', () => {
  it('out-G1: answers calls that carry the token', async () => {
    const { http, tokens } = await outboundApplication(bound);
    mocked(http).onGet(`${API}/m`).reply(200, { ok: 1 });
    expect((await firstValueFrom(http.get<unknown>(`${API}/m`))).data).toEqual({ ok: 1 });
    expect((await http.axiosRef.get<unknown>(`${API}/m`)).data).toEqual({ ok: 1 });
    expect(tokens.requests).toHaveLength(1);
  });

  it('out-G1: answers calls to a base URL, to a relative URL without one, and to an origin that is not allowed', async () => {
    const { http } = await outboundApplication({ ...bound, http: { baseURL: API } });
    const mock = mocked(http);
    mock.onGet('/m').reply(({ headers }) => [200, String(headers?.Authorization)]);
    mock.onGet('https://other.example/m').reply(({ headers }) => [200, String(headers?.Authorization)]);
    expect((await http.axiosRef.get<unknown>('/m')).data).toBe('Bearer token-1');
    expect((await http.axiosRef.get<unknown>('https://other.example/m')).data).toBe('undefined');
    const { http: without } = await outboundApplication(bound);
    mocked(without).onGet('/m').reply(200, 'relative');
    expect((await without.axiosRef.get<unknown>('/m')).data).toBe('relative');
  });

  it('out-G1: fails a call to a relative URL as configured, and not because of the URL', async () => {
    const { http, provider } = await outboundApplication(bound);
    const mock = mocked(http);
    mock.onGet('/down').reply(500, { down: true }).onGet('/gone').networkError().onGet('/slow').timeout();
    const failure = (url: string) => http.axiosRef.get(url).catch((error: unknown) => error);
    expect(await failure('/down')).toMatchObject({
      response: { status: 500, data: { down: true } },
    });
    expect(await failure('/gone')).toMatchObject({ name: 'Error', message: 'Network Error' });
    expect(await failure('/slow')).toMatchObject({ name: 'Error', code: 'ECONNABORTED' });
    expect(await failure('/none')).toMatchObject({ response: { status: 404 } });
    const fetch = bearerFetch(provider, { fetch: () => Promise.reject(new TypeError('down')) });
    await expect(fetch('/down')).rejects.toThrow(/^down$/);
  });

  it('out-G1: rejects a token as an API does', async () => {
    const { http, tokens } = await outboundApplication(bound);
    const mock = mocked(http);
    mock.onPost(`${API}/m`).replyOnce(401, { detail: 'expired' }).onPost(`${API}/m`).reply(200, { ok: 1 });
    expect((await http.axiosRef.post<unknown>(`${API}/m`, { a: 1 })).data).toEqual({ ok: 1 });
    expect(mock.history.post.map(({ headers }) => headers?.Authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ]);
    mock.reset();
    mock
      .onGet(`${API}/m`)
      .reply(401, { detail: 'expired' }, { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' });
    await expect(http.axiosRef.get(`${API}/m`)).rejects.toMatchObject({
      isAxiosError: true,
      response: { status: 401, data: { detail: 'expired' } },
    });
    expect(tokens.requests).toHaveLength(2);
  });

  it('out-G1: fails calls as the network does, and passes them through', async () => {
    const { http, api } = await outboundApplication();
    const mock = mocked(http);
    mock.onGet(`${api.url}/down`).networkError().onGet(`${api.url}/slow`).timeout();
    mock.onGet(`${api.url}/real`).passThrough();
    await expect(http.axiosRef.get(`${api.url}/down`)).rejects.toMatchObject({ message: 'Network Error' });
    await expect(http.axiosRef.get(`${api.url}/slow`)).rejects.toMatchObject({ code: 'ECONNABORTED' });
    await expect(http.axiosRef.get(`${api.url}/unknown`)).rejects.toMatchObject({ response: { status: 404 } });
    expect((await http.axiosRef.get<unknown>(`${api.url}/real`)).data).toEqual({ ok: true });
    expect(sentTo(api)).toEqual(['Bearer token-1']);
  });
});

/** What an adapter of the application's own may make of a call, of which axios' own would make less or more. */
const ANSWERS: [string, () => unknown][] = [
  ['nothing but data', () => ({ data: 'ok' })],
  ['no header fields', () => ({ status: 200, data: 'ok' })],
  ['header fields that are null', () => ({ status: 200, data: 'ok', headers: null, config: null, request: null })],
  ['a Map of header fields', () => ({ status: 200, data: 'ok', headers: new Map([['x-a', '1']]) })],
  ['the header fields of fetch', () => ({ status: 200, data: 'ok', headers: new Headers({ 'x-a': '1' }) })],
  ['a status that is a string', () => ({ status: '200', data: 'ok', headers: {} })],
  ['a response without a prototype', () => Object.assign(Object.create(null) as object, { status: 200, data: 'ok' })],
];

/** Refusals in the forms that adapters, and mocks of them, give these. */
const REFUSALS: [string, () => unknown][] = [
  ['an answer without header fields', () => ({ status: 401, data: 'no' })],
  [
    'an answer with a record of header fields',
    () => ({ status: 401, data: 'no', headers: { 'WWW-Authenticate': 'Bearer' } }),
  ],
  [
    'an error of axios',
    () => new AxiosError('no', 'ERR_BAD_REQUEST', undefined, {}, { status: 401, data: 'no' } as AxiosResponse),
  ],
  ['an object that has a response', () => Object.assign(new Error('no'), { response: { status: 401, data: 'no' } })],
  ['a plain object that has a response', () => ({ response: { status: 401 } })],
];

describe('an adapter of the application', () => {
  it.each(ANSWERS)('out-G1: may answer a call that carries the token with %s', async (_name, answer) => {
    const { http } = await outboundApplication(bound);
    const adapter: AxiosAdapter = async () => answer() as AxiosResponse;
    expect((await http.axiosRef.get<unknown>(`${API}/m`, { adapter })).data).toBe('ok');
  });

  it.each(REFUSALS)('out-G1: may refuse a token by %s', async (_name, refusal) => {
    const { http, tokens } = await outboundApplication(bound);
    const seen: unknown[] = [];
    const adapter: AxiosAdapter = async ({ headers }) => {
      seen.push(headers.Authorization);
      const made = headers.Authorization === 'Bearer token-1' ? refusal() : { status: 200, data: 'ok' };
      if (made instanceof Error || 'response' in (made as object)) throw made;
      return made as AxiosResponse;
    };
    expect((await http.axiosRef.get<unknown>(`${API}/m`, { adapter })).data).toBe('ok');
    expect(seen).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(tokens.requests).toHaveLength(2);
  });

  it.each([
    ['a string', 'down'],
    ['nothing', undefined],
    ['null', null],
  ])('out-G1: may fail a call with %s', async (_name, thrown) => {
    const { http } = await outboundApplication(bound);
    const adapter: AxiosAdapter = () => Promise.reject(thrown);
    const outcome = http.axiosRef.get(`${API}/m`, { adapter }).then(
      () => 'answered',
      (error: unknown) => ({ error }),
    );
    expect(await outcome).toEqual({ error: thrown });
  });
});

/** Errors of an adapter that works upon another one, or is made by hand. */
const FAILURES: [string, (config: object) => object][] = [
  ['an error that has the config', (config) => Object.assign(new Error('down'), { config })],
  ['a plain object that has the config', (config) => ({ message: 'down', config })],
  [
    'an error whose cause is one of axios',
    (config) => new Error('down', { cause: new AxiosError('down', 'E', config as never) }),
  ],
  [
    'an error of axios that is made of another',
    (config) => AxiosError.from(Object.assign(new Error('down'), { config }), 'E'),
  ],
];

describe('an error of an adapter', () => {
  it.each(FAILURES)('out-G1: has no token on it: %s', async (_name, failing) => {
    const { http } = await outboundApplication(bound);
    const own = { mine: true };
    const adapter: AxiosAdapter = (config) => Promise.reject(Object.assign(failing(config), { own: { config: own } }));
    const error: unknown = await http.axiosRef.get(`${API}/m`, { adapter }).catch((error: unknown) => error);
    expect(error).toMatchObject({ message: 'down', own: { config: own } });
    expect(reachablePaths('token-1', error)).toEqual([]);
  });
});

describe('mocks of HttpService', () => {
  it('out-G1: replace its methods and those of its instance', async () => {
    const { http, tokens } = await outboundApplication(bound);
    const answer = { status: 200, statusText: '', headers: {}, config: {} as AxiosResponse['config'] };
    const ofInstance = jest.spyOn(http.axiosRef, 'get').mockResolvedValue({ ...answer, data: 'of the instance' });
    expect((await lastValueFrom(http.get<string>('/x'))).data).toBe('of the instance');
    ofInstance.mockRestore();
    jest.spyOn(http, 'get').mockReturnValue(of({ ...answer, data: 'of the service' }) as never);
    expect((await lastValueFrom(http.get<string>('/x'))).data).toBe('of the service');
    expect(tokens.requests).toHaveLength(0);
  });
});

describe('a mock of the network', () => {
  const GRANT = { access_token: 'of-the-mock', token_type: 'Bearer', expires_in: 3600 };

  /** An application whose token endpoint and API are nowhere. */
  async function nowhere(options: Partial<ClientOptions> = {}) {
    const client = {
      identityProvider: genericOAuth2({ tokenEndpoint: 'https://id.example.test/token' }),
      clientId: 'test-client',
      clientSecret: 'test-secret',
      allowedOrigins: ['https://api.example.test'],
      ...options,
    };
    const module = await Test.createTestingModule({ imports: [IdentityM2MModule.forRoot({ client })] }).compile();
    await module.init();
    closeLater(() => module.close());
    return { http: module.get(HttpService), provider: module.get(TokenProvider) };
  }

  it('out-G3: answers calls and token requests by nock', async () => {
    const { default: nock } = await import('nock');
    nock.disableNetConnect();
    try {
      const seen: unknown[] = [];
      nock('https://id.example.test').post('/token').reply(200, GRANT);
      nock('https://id.example.test')
        .post('/token')
        .reply(200, { ...GRANT, access_token: 'renewed' });
      const api = nock('https://api.example.test').matchHeader('authorization', (value) => seen.push(value) > 0);
      api.get('/users').reply(401, { detail: 'expired' });
      api.get('/users').times(3).reply(200, { ok: 1 });
      api.post('/users', { name: 'jane' }).reply(201, { id: 1 });
      const { http, provider } = await nowhere();
      const url = 'https://api.example.test/users';
      expect((await firstValueFrom(http.get<unknown>(url))).data).toEqual({ ok: 1 });
      expect((await http.axiosRef.post<unknown>(url, { name: 'jane' })).data).toEqual({ id: 1 });
      expect((await http.axiosRef.get<unknown>(url, { maxRedirects: 5 })).data).toEqual({ ok: 1 });
      expect(await (await bearerFetch(provider)(url)).json()).toEqual({ ok: 1 });
      expect(new Set(seen)).toEqual(new Set(['Bearer of-the-mock', 'Bearer renewed']));
      expect(nock.isDone()).toBe(true);
    } finally {
      nock.cleanAll();
      nock.enableNetConnect();
      nock.restore();
    }
  });

  it('out-G3: answers calls and token requests by msw', async () => {
    const { setupServer } = await import('msw/node');
    const { http: handle, HttpResponse } = await import('msw');
    let granted = 0;
    const seen: (string | null)[] = [];
    const server = setupServer(
      handle.post('https://id.example.test/token', () =>
        HttpResponse.json({ ...GRANT, access_token: `of-the-mock-${++granted}` }),
      ),
      handle.get('https://api.example.test/users', ({ request }) => {
        const authorization = request.headers.get('authorization');
        seen.push(authorization);
        return authorization === 'Bearer of-the-mock-1'
          ? HttpResponse.json({ detail: 'expired' }, { status: 401 })
          : HttpResponse.json({ ok: 1 });
      }),
    );
    server.listen({ onUnhandledRequest: 'error' });
    try {
      const { http, provider } = await nowhere();
      const url = 'https://api.example.test/users';
      expect((await firstValueFrom(http.get<unknown>(url))).data).toEqual({ ok: 1 });
      expect((await http.axiosRef.get<unknown>(url, { adapter: 'fetch' })).data).toEqual({ ok: 1 });
      expect(await (await bearerFetch(provider)(url)).json()).toEqual({ ok: 1 });
      expect(seen).toEqual(['Bearer of-the-mock-1', ...Array<string>(3).fill('Bearer of-the-mock-2')]);
    } finally {
      server.close();
    }
  });
});

describe('axios-retry', () => {
  it('out-G1: repeats calls with the current token, and a rejected one is still sent again once', async () => {
    const { http, api, tokens } = await outboundApplication();
    axiosRetry(http.axiosRef, { retries: 3, retryDelay: () => 1 });
    let failures = 2;
    api.answer = (...args) => (failures-- > 0 ? json(503, {}) : rejecting('token-1'))(...args);
    expect((await http.axiosRef.get<unknown>(api.url)).data).toEqual({ ok: true });
    expect(sentTo(api)).toEqual([...Array<string>(3).fill('Bearer token-1'), 'Bearer token-2']);
    expect(tokens.requests).toHaveLength(2);
  });
});

describe('a cache in front of a carrier', () => {
  const answering = async () => {
    const system = await outboundApplication(({ api }) => ({ http: { baseURL: api } }));
    system.api.answer = (request, ...others) =>
      json(200, { token: request.headers.authorization }, { 'cache-control': 'max-age=60' })(request, ...others);
    return system;
  };

  it('out-G5: has one answer for all tokens, unless its key contains the token', async () => {
    const { http, api } = await answering();
    setupCache(http.axiosRef);
    const get = async (scope: string) => (await http.axiosRef.get<unknown>('/me', withToken({ scope }))).data;
    expect(await get('tenant-a')).toEqual({ token: 'Bearer token-1' });
    // This is what the documentation warns of.
    expect(await get('tenant-b')).toEqual({ token: 'Bearer token-1' });
    expect(api.requests).toHaveLength(1);
  });

  it('out-G5: has an answer for each token if calls with other tokens have an id, as documented', async () => {
    const { http, api } = await answering();
    const cached = setupCache(http.axiosRef);
    const get = async (scope: string) =>
      (await cached.get<unknown>('/me', { ...withToken({ scope }), id: `/me of ${scope}` })).data;
    for (let again = 0; again < 2; again++) {
      expect(await get('tenant-a')).toEqual({ token: 'Bearer token-1' });
      expect(await get('tenant-b')).toEqual({ token: 'Bearer token-2' });
      expect((await cached.get<unknown>('/me')).data).toEqual({ token: 'Bearer token-3' });
    }
    expect(api.requests).toHaveLength(3);
  });

  it('out-G5: is bypassed by an option of the call, as documented', async () => {
    const { http, api } = await answering();
    const cached = setupCache(http.axiosRef);
    const get = (scope: string) => cached.get<unknown>('/me', { ...withToken({ scope }), cache: false });
    expect((await get('tenant-a')).data).toEqual({ token: 'Bearer token-1' });
    expect((await get('tenant-b')).data).toEqual({ token: 'Bearer token-2' });
    expect(api.requests).toHaveLength(2);
  });

  it.each(UNDICI_VERSIONS)('out-G5: sees the token if it runs after the carrier, as documented: %s', async (...of) => {
    const [, { Agent, interceptors, request }] = of;
    const { provider, api } = await answering();
    const agent = new Agent();
    closeLater(() => agent.destroy());
    const get = async (scope: string) => {
      const dispatcher = agent.compose(cache, bearerInterceptor(provider, { token: { scope } }));
      return (await request(`${api.url}/me`, { dispatcher })).body.json();
    };
    const cache = interceptors.cache();
    for (let again = 0; again < 2; again++) {
      expect(await get('tenant-a')).toEqual({ token: 'Bearer token-1' });
      expect(await get('tenant-b')).toEqual({ token: 'Bearer token-2' });
    }
    // Answers to calls with an authorization are kept only where they say that they may be shared.
    expect(api.requests).toHaveLength(4);
  });
});
