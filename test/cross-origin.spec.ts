import { Agent as HttpsAgent } from 'node:https';
import type { RequestListener } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Test } from '@nestjs/testing';
import type { AxiosRequestConfig } from 'axios';
import {
  bearerFetch,
  type BearerFetchOptions,
  genericOAuth2,
  type ClientOptions,
  IdentityM2MModule,
  type OutboundEvent,
  TokenProvider,
} from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import {
  Agent,
  type Dispatcher,
  EnvHttpProxyAgent,
  fetch as undiciFetch,
  interceptors,
  ProxyAgent,
  request,
} from 'undici';
import { json } from './support/http-server.js';
import { selfSignedCertificate } from './support/certificates.js';
import { RecordingServer } from './support/recording-server.js';
import { TestTokenServer } from './support/token-server.js';

// Evidence, from the servers' side of the sockets, that the token and its proof reach no place they are not bound to.

const TOKEN = 'planted-token-7f3a9c';

interface Hop {
  readonly status: number;
  /** Where the redirect leads; the path of the next hop is added to it. */
  readonly to: string;
}

/** The path that makes a server redirect by the first hop, and the next server by the next. */
const pathOf = (hops: readonly Hop[]) => `/hop/${Buffer.from(JSON.stringify(hops)).toString('base64url')}`;

/** Redirects as its path says, and ends the journey where nothing is left to do. */
const guide: RequestListener = ({ url = '' }, response) => {
  const [, encoded = ''] = /\/hop\/([\w-]+)/.exec(url) ?? [];
  const [next, ...rest] = encoded ? (JSON.parse(Buffer.from(encoded, 'base64url').toString()) as Hop[]) : [];
  if (next) response.writeHead(next.status, { location: `${next.to}${pathOf(rest)}` }).end();
  else response.end('{"arrived":true}');
};

/** Servers by what the token has to do with them. */
let servers: Record<'bound' | 'boundTls' | 'other' | 'otherTls' | 'proxy', RecordingServer> & { v6?: RecordingServer };
let ca: string;

beforeAll(async () => {
  const tls = await selfSignedCertificate('localhost', { hosts: ['localhost', '127.0.0.1', '::1'] });
  ca = tls.cert;
  servers = {
    bound: await RecordingServer.start(guide),
    boundTls: await RecordingServer.start(guide, { tls }),
    other: await RecordingServer.start(guide),
    otherTls: await RecordingServer.start(guide, { tls }),
    proxy: await RecordingServer.start((_request, response) => response.writeHead(502).end()),
  };
  servers.proxy.openTunnels();
  // A machine without IPv6 has no place [::1] that a token could be led to.
  const v6 = await RecordingServer.start(guide, { host: '::1' }).catch(() => undefined);
  if (v6) servers.v6 = v6;
});

afterAll(async () => {
  await Promise.all(Object.values(servers).map((server) => server.close()));
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const name of PROXY_VARIABLES) delete process.env[name];
  await Promise.all(closing.splice(0).map((close) => close()));
});
beforeEach(() => {
  for (const server of Object.values(servers)) server.forget();
});

const PROXY_VARIABLES = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'no_proxy', 'NO_PROXY'];

/** An application whose client has the planted token, bound to two of the servers. */
async function setUp(options: Partial<ClientOptions> = {}) {
  const tokens = await TestTokenServer.start();
  const tokenType = options.dpop ? 'DPoP' : 'Bearer';
  tokens.fault = json(200, { access_token: TOKEN, token_type: tokenType, expires_in: 3600 });
  const module = await Test.createTestingModule({
    imports: [
      IdentityM2MModule.forRoot({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: tokens.url }),
          clientId: 'test-client',
          clientSecret: 'test-secret',
          allowedOrigins: [servers.bound.url, servers.boundTls.url],
          ...options,
          http: { httpsAgent: new HttpsAgent({ ca }), maxRedirects: 5, ...options.http },
        },
      }),
    ],
  }).compile();
  module.useLogger(false);
  await module.init();
  closing.push(
    () => module.close(),
    () => tokens.close(),
  );
  const provider = module.get(TokenProvider);
  const events: OutboundEvent[] = [];
  provider.events.subscribe((event) => events.push(event));
  await provider.getToken();
  return { http: module.get(HttpService), provider, events };
}

type System = Awaited<ReturnType<typeof setUp>>;
type Get = (url: string, options?: { method: 'GET' | 'POST'; body?: string }) => Promise<unknown>;

function agent(): Agent {
  const made = new Agent({ connect: { ca } });
  closing.push(() => made.destroy());
  return made;
}

const redirect = () => interceptors.redirect({ maxRedirections: 5 });
const requestWith =
  (dispatcher: Dispatcher): Get =>
  async (url, options) =>
    (await request(url, { dispatcher, ...options })).body.dump();

/** Every way to make a call that follows redirects. */
const CARRIERS: [string, (system: System) => Get][] = [
  [
    'HttpService',
    ({ http }) =>
      (url, { body, ...options } = { method: 'GET' }) =>
        http.axiosRef.request({ url, data: body, ...options }),
  ],
  [
    'HttpService on Node’s fetch',
    ({ http }) =>
      (url, { body, ...options } = { method: 'GET' }) =>
        http.axiosRef.request({ url, data: body, adapter: 'fetch', ...options }),
  ],
  [
    'bearerFetch',
    ({ provider }) => {
      const dispatcher = agent();
      // Node's own, but for the certificate that the servers show.
      const fetch = ((input: string, init: object) => undiciFetch(input, { ...init, dispatcher })) as unknown;
      return bearerFetch(provider, { fetch: fetch as NonNullable<BearerFetchOptions['fetch']> });
    },
  ],
  ['bearerFetch on Node’s fetch', ({ provider }) => bearerFetch(provider)],
  [
    'undici, redirects behind the bearer',
    ({ provider }) => requestWith(agent().compose(bearerInterceptor(provider), redirect())),
  ],
  [
    'undici, redirects before the bearer',
    ({ provider }) => requestWith(agent().compose(redirect(), bearerInterceptor(provider))),
  ],
  [
    'undici, redirects and retries behind the bearer',
    ({ provider }) =>
      requestWith(
        agent().compose(bearerInterceptor(provider), interceptors.retry({ minTimeout: 1, maxRetries: 1 }), redirect()),
      ),
  ],
  [
    'undici’s fetch',
    ({ provider }) => {
      const dispatcher = agent().compose(bearerInterceptor(provider));
      return (url, options) => undiciFetch(url, { dispatcher, ...options });
    },
  ],
];

type Place = (all: typeof servers) => string;
const bound: Place = (all) => all.bound.url;
const boundTls: Place = (all) => all.boundTls.url;
const other: Place = (all) => all.other.url;
const otherTls: Place = (all) => all.otherTls.url;
const home: Place = () => '';

/** Ways by which the redirects of a call with a token are left to the caller. */
const NOT_FOLLOWING = new Set(['undici, redirects before the bearer', 'HttpService on Node’s fetch']);

/** Journeys: where each starts, and where its redirects lead. */
const JOURNEYS: [string, Place, Place[]][] = [
  ['to another port', bound, [other]],
  ['to another name of the same machine', bound, [(all) => `http://localhost:${all.bound.port}`]],
  ['to the same machine by IPv6', bound, [(all) => all.v6?.url ?? all.other.url]],
  ['from https to http elsewhere', boundTls, [other]],
  ['from https to http at the same port', boundTls, [(all) => all.boundTls.url.replace('https:', 'http:')]],
  ['from http to https elsewhere', bound, [otherTls]],
  ['from http to https in allowed origins', bound, [boundTls]],
  ['on the same server', bound, [home, home]],
  ['by an address without a scheme', bound, [(all) => all.other.url.replace('http:', '')]],
  ['by an address with backslashes', bound, [(all) => all.other.url.replace('http://', 'http:\\\\')]],
  ['by an address with a tab in it', bound, [(all) => all.other.url.replace('http://', 'http:/\t/')]],
  ['with a password in the address', bound, [(all) => all.bound.url.replace('//', '//user:password@')]],
  ['with the bound host as user', bound, [(all) => all.other.url.replace('//', `//127.0.0.1:${all.bound.port}@`)]],
  ['there and back again', bound, [other, bound]],
  ['there, there, and back again', bound, [otherTls, other, boundTls]],
  ['from a place that is not bound', other, [bound]],
];

const needsTls = ([, start, places]: (typeof JOURNEYS)[number]) =>
  [start, ...places].some((place) => place === boundTls || place === otherTls);

/** What the servers have of the token. */
function evidence() {
  const leaks: string[] = [];
  for (const [name, server] of Object.entries(servers)) {
    const isBound = name === 'bound' || name === 'boundTls';
    if (!isBound && server.received.includes(TOKEN)) leaks.push(`${name} was sent the token`);
    if (!isBound && /\bdpop:/i.test(server.received)) leaks.push(`${name} was sent a proof`);
  }
  return leaks;
}

/** Requests that carried the token to a name or by a scheme that it is not bound to. */
const wronglyAddressed = (provider: TokenProvider) =>
  Object.values(servers)
    .flatMap(({ requests }) => requests)
    .filter(({ headers }) => headers.authorization !== undefined || headers.dpop !== undefined)
    .filter(({ url }) => !provider.explain(url).isAllowed);

describe.each(CARRIERS)('a redirected call by %s', (name, make) => {
  // Node's own fetch cannot be told to trust the servers' certificate.
  const cases = name.includes('Node') ? JOURNEYS.filter((journey) => !needsTls(journey)) : JOURNEYS;

  test.each(cases)('does not take the token to an origin that is not allowed: %s', async (_name, start, places) => {
    const system = await setUp();
    const call = make(system);
    for (const status of [301, 302, 303, 307, 308]) {
      const hops = places.map((place) => ({ status, to: place(servers) }));
      for (const method of ['GET', 'POST'] as const) {
        await call(`${start(servers)}${pathOf(hops)}`, method === 'POST' ? { method, body: 'b' } : { method }).catch(
          () => {},
        );
      }
    }
    expect(evidence()).toEqual([]);
    expect(wronglyAddressed(system.provider)).toEqual([]);
    // The journeys were made: each first request came, with the token where it belongs in bound.
    const first = Object.values(servers).find(({ url }) => url === start(servers))!;
    expect(first.requests.length).toBeGreaterThanOrEqual(10);
    const isBound = system.provider.explain(start(servers)).isAllowed;
    expect(first.requests[0]!.headers.authorization).toBe(isBound ? `Bearer ${TOKEN}` : undefined);
  });

  it('does not take the DPoP proof to an origin that is not allowed', async () => {
    const system = await setUp({ dpop: true });
    const call = make(system);
    for (const [, start, places] of cases) {
      const hops = places.map((place) => ({ status: 307, to: place(servers) }));
      await call(`${start(servers)}${pathOf(hops)}`).catch(() => {});
    }
    expect(evidence()).toEqual([]);
    expect(wronglyAddressed(system.provider)).toEqual([]);
    expect(servers.bound.requests[0]!.headers).toMatchObject({
      authorization: `DPoP ${TOKEN}`,
      dpop: expect.stringMatching(/^ey/),
    });
  });

  it('does not take the token to another path of the same server, if only a path is allowed', async () => {
    const system = await setUp({ allowedOrigins: [`${servers.bound.url}/v2`] });
    const call = make(system);
    for (const path of ['', '/v20', '/v2/../admin', '/v2/%2e%2e/admin', '/v2/..%2fadmin', '/v2/x']) {
      const hops = [{ status: 302, to: `${servers.bound.url}${path}` }];
      await call(`${servers.bound.url}/v2${pathOf(hops)}`).catch(() => {});
    }
    expect(wronglyAddressed(system.provider)).toEqual([]);
    expect(servers.bound.requests.filter(({ headers }) => headers.authorization).length).toBeGreaterThanOrEqual(6);
    expect(servers.bound.requests.some(({ headers }) => !headers.authorization)).toBe(!NOT_FOLLOWING.has(name));
  });

  it('keeps the token across allowed origins', async () => {
    const system = await setUp();
    const hops = [
      { status: 307, to: '' },
      { status: 307, to: servers.bound.url },
    ];
    await make(system)(`${servers.bound.url}${pathOf(hops)}`).catch(() => {});
    const carried = servers.bound.requests.map(({ headers }) => headers.authorization);
    // What would follow redirects unseen by us is kept from it.
    const count = NOT_FOLLOWING.has(name) ? 1 : 3;
    expect(carried).toEqual(Array(count).fill(`Bearer ${TOKEN}`));
  });
});

describe('a call by address', () => {
  it('is checked by its URL and not by the base URL', async () => {
    const { http } = await setUp({ http: { baseURL: servers.bound.url } });
    await http.axiosRef.get('/relative');
    await http.axiosRef.get(`${servers.other.url}/absolute`);
    await http.axiosRef.get(`${servers.other.url.replace('http:', '')}/absolute`).catch(() => {});
    expect(servers.bound.received).toContain(TOKEN);
    expect(evidence()).toEqual([]);
  });

  test.each(CARRIERS)('carries the token exactly if explain() allows it, by %s', async (name, make) => {
    const system = await setUp({ allowedOrigins: [`${servers.bound.url}/v2`, servers.boundTls.url] });
    const call = make(system);
    const urls = [
      `${servers.bound.url}/v2/x`,
      `${servers.bound.url}/v2x`,
      `${servers.bound.url}/v2/%2Fx`,
      `http://localhost:${servers.bound.port}/v2/x`,
      `${servers.other.url}/v2`,
      ...(name.includes('Node') ? [] : [`${servers.boundTls.url}/`, `${servers.otherTls.url}/`]),
    ];
    for (const url of urls) {
      for (const server of Object.values(servers)) server.forget();
      await call(url);
      const [received] = Object.values(servers).flatMap(({ requests }) => requests);
      expect([url, received?.headers.authorization !== undefined]).toEqual([
        url,
        system.provider.explain(url).isAllowed,
      ]);
    }
  });

  it('carries no token on a path that undici sends unchanged and a server may interpret differently', async () => {
    const { provider } = await setUp({ allowedOrigins: [`${servers.bound.url}/v2`] });
    const dispatcher = agent().compose(bearerInterceptor(provider));
    const origin = servers.bound.url;
    const get = (path: string) => dispatcher.request({ origin, path, method: 'GET' }).then(({ body }) => body.dump());
    for (const path of ['/admin/../v2/x', '/v2/../admin', '/v2/%2e%2e/admin', '/v2\\..\\admin', '//other.example/v2']) {
      await get(path);
    }
    await get(`${origin}/v2/as-a-whole-address`);
    expect(servers.bound.requests).toHaveLength(6);
    expect(servers.bound.received).not.toContain(TOKEN);
    await get('/v2/x');
    expect(servers.bound.received).toContain(TOKEN);
  });
});

describe('a call through a proxy', () => {
  const proxyOptions = () => ({ host: '127.0.0.1', port: servers.proxy.port, protocol: 'http' });
  const throughAxios =
    (config: AxiosRequestConfig) =>
    ({ http }: System) =>
    (url: string) =>
      http.axiosRef.get(url, config);
  const through =
    (make: () => Dispatcher) =>
    ({ provider }: System): Get => {
      const dispatcher = make();
      closing.push(() => dispatcher.destroy());
      return requestWith(dispatcher.compose(bearerInterceptor(provider), redirect()));
    };
  const proxyAgent = () => new ProxyAgent({ uri: servers.proxy.url, requestTls: { ca } });
  const envProxyAgent = () => new EnvHttpProxyAgent({ requestTls: { ca } });

  test.each<[string, (system: System) => Get, boolean]>([
    ['the proxy option of axios', (system) => throughAxios({ proxy: proxyOptions() })(system), false],
    ['the environment, by axios', throughAxios({}), true],
    ['a ProxyAgent', through(proxyAgent), false],
    ['an EnvHttpProxyAgent', through(envProxyAgent), true],
    [
      'bearerFetch and a ProxyAgent',
      ({ provider }) => {
        const dispatcher = proxyAgent();
        closing.push(() => dispatcher.destroy());
        const fetch = ((input: string, init: object) => undiciFetch(input, { ...init, dispatcher })) as unknown;
        return bearerFetch(provider, { fetch: fetch as NonNullable<BearerFetchOptions['fetch']> });
      },
      false,
    ],
  ])('reveals an https call only to its server: %s', async (_name, make, byEnvironment) => {
    if (byEnvironment) process.env.https_proxy = servers.proxy.url;
    const system = await setUp();
    await make(system)(`${servers.boundTls.url}${pathOf([{ status: 307, to: servers.otherTls.url }])}`);
    expect(servers.proxy.received).toContain(`CONNECT 127.0.0.1:${servers.boundTls.port}`);
    expect(servers.proxy.received).toContain(`CONNECT 127.0.0.1:${servers.otherTls.port}`);
    expect(servers.boundTls.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${TOKEN}`]);
    expect(servers.otherTls.requests).toHaveLength(1);
    expect(evidence()).toEqual([]);
  });

  it('for plain http ignores a proxy of the environment, with axios', async () => {
    process.env.http_proxy = servers.proxy.url;
    const { http } = await setUp();
    await http.axiosRef.get(servers.bound.url);
    expect(servers.bound.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${TOKEN}`]);
    expect(servers.proxy.received).toBe('');
    // Calls without a token go as ever.
    await http.axiosRef.get(servers.other.url).catch(() => {});
    expect(servers.proxy.received).toContain(servers.other.url);
    expect(evidence()).toEqual([]);
  });

  it('for plain http by a proxy of the application carries no token, and emits an event', async () => {
    const { http, events } = await setUp();
    await http.axiosRef.get(servers.bound.url, { proxy: proxyOptions() }).catch(() => {});
    expect(servers.proxy.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(events.at(-1)).toMatchObject({ type: 'call.refused_origin', origin: servers.proxy.url });
    expect(evidence()).toEqual([]);
  });

  it('for plain http is checked by the address that axios uses for the proxy', async () => {
    const { http } = await setUp();
    const { hostname, port } = new URL(servers.bound.url);
    const forms = [new URL(servers.proxy.url), { ...proxyOptions(), host: hostname, hostname: 'localhost' }];
    for (const proxy of forms) await http.axiosRef.get(servers.bound.url, { proxy: proxy as never }).catch(() => {});
    // Bound by its address, and reached by its name.
    const asBound = { protocol: 'http', host: hostname, hostname: 'localhost', port: Number(port) };
    await http.axiosRef.get(servers.bound.url, { proxy: asBound as never }).catch(() => {});
    const sent = [...servers.proxy.requests, ...servers.bound.requests];
    expect(sent.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined, undefined]);
  });

  it('for plain http carries the token if the proxy is an allowed origin too', async () => {
    const { http } = await setUp({ allowedOrigins: [servers.bound.url, servers.proxy.url] });
    await http.axiosRef.get(servers.bound.url, { proxy: proxyOptions() }).catch(() => {});
    expect(servers.proxy.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${TOKEN}`]);
  });

  it('that redirects from https to plain http drops the token', async () => {
    process.env.http_proxy = servers.proxy.url;
    const { http } = await setUp();
    const path = pathOf([{ status: 302, to: servers.bound.url }]);
    await http.axiosRef.get(`${servers.boundTls.url}${path}`).catch(() => {});
    expect(servers.boundTls.received).toContain(TOKEN);
    expect(servers.proxy.requests).toHaveLength(1);
    expect(evidence()).toEqual([]);
  });

  it('opens the tunnel of undici’s proxy agent without the token, for plain http too', async () => {
    const system = await setUp();
    await through(proxyAgent)(system)(servers.bound.url);
    const [connect = '', ...rest] = servers.proxy.received.split('\r\n\r\n');
    expect(connect).toMatch(/^CONNECT 127\.0\.0\.1:/);
    expect(connect).not.toContain(TOKEN);
    // Plain http can be read by whoever passes it on: that is what allowing plain http means.
    expect(rest.join('')).toContain(TOKEN);
  });
});
