import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it, test } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Injectable, Module } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  bearerFetch,
  type CallTokenOptions,
  genericOAuth2,
  type ClientOptions,
  IdentityM2MConfigurationError,
  IdentityM2MModule,
  InjectM2MHttp,
  InjectTokenProvider,
  M2MClientRegistry,
  type OutboundEvent,
  m2mHttpToken,
  TokenParametersError,
  TokenProvider,
  tokenProviderToken,
  withToken,
} from 'nestjs-identity-m2m';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import { lastValueFrom } from 'rxjs';
import { Agent, request as undiciRequest } from 'undici';
import { startApplication, type TestApplication } from './support/application.js';
import type { FetchingApplicationOptions } from './support/child/fetching-application.js';
import { CertificateAuthority } from './support/certificates.js';
import { type Answer, json, type ReceivedRequest, TestServer } from './support/http-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

const agent = new Agent();
afterAll(() => agent.destroy());

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** What a token was asked for with: who asked, and every member of the body. */
interface Asked {
  readonly clientId: string;
  readonly body: Readonly<Record<string, string | string[]>>;
}

/** An authorization server with metadata and revocation, whose tokens tell what they were asked for with. */
async function authorizationServer() {
  const granted: Asked[] = [];
  const revoked: string[] = [];
  const behaviour: { token?: Answer | undefined; revoke?: Answer | undefined } = {};
  const server = await TestServer.start((...args) => {
    const [request] = args;
    switch (request.url) {
      case '/.well-known/openid-configuration':
        return json(200, metadata)(...args);
      case '/token':
        if (behaviour.token) return behaviour.token(...args);
        granted.push(askedBy(request));
        return json(200, {
          access_token: tokenFor(granted.at(-1)!, granted.length),
          token_type: 'Bearer',
          expires_in: 3600,
        })(...args);
      case '/revoke':
        if (behaviour.revoke) return behaviour.revoke(...args);
        revoked.push(new URLSearchParams(request.body).get('token')!);
        return args[1].writeHead(200).end();
      default:
        return json(404, {})(...args);
    }
  });
  const metadata = {
    issuer: server.url,
    token_endpoint: `${server.url}/token`,
    revocation_endpoint: `${server.url}/revoke`,
  };
  closing.push(() => server.close());
  const requestsTo = (path: string) => server.requests.filter(({ url }) => url === path);
  const identityProvider = genericOAuth2({ issuer: server.url });
  return { granted, revoked, behaviour, requestsTo, identityProvider, tokenEndpoint: metadata.token_endpoint };
}

function askedBy({ headers, body }: ReceivedRequest): Asked {
  const [clientId = ''] = Buffer.from(headers.authorization!.slice('Basic '.length), 'base64').toString().split(':');
  const form = new URLSearchParams(body);
  const members = [...new Set(form.keys())].filter((name) => name !== 'grant_type');
  return {
    clientId: new URLSearchParams(`id=${clientId}`).get('id')!,
    body: Object.fromEntries(
      members.map((name) => [name, form.getAll(name).length > 1 ? form.getAll(name) : form.get(name)!]),
    ),
  };
}

const tokenFor = (asked: Asked, serial: number) =>
  Buffer.from(JSON.stringify({ ...asked, serial })).toString('base64url');

/** What a call's token was asked for with. */
function carriedBy({ headers }: ReceivedRequest): (Asked & { serial: number }) | undefined {
  const [, token] = (headers.authorization ?? '').split(' ');
  return token === undefined
    ? undefined
    : (JSON.parse(Buffer.from(token, 'base64url').toString()) as Asked & { serial: number });
}

async function resourceServer(): Promise<TestServer> {
  const api = await TestServer.start(json(200, {}));
  closing.push(() => api.close());
  return api;
}

/** An authorization server, an API, and what a client of both is configured with. */
async function setUp() {
  const issuer = await authorizationServer();
  const api = await resourceServer();
  const client = (clientId: string, more: Partial<ClientOptions> = {}): ClientOptions => ({
    identityProvider: issuer.identityProvider,
    clientId,
    clientSecret: `secret of ${clientId}`,
    allowedOrigins: [api.url],
    http: { baseURL: api.url },
    ...more,
  });
  const startWith: typeof startApplication = async (...args) => {
    const application = await startApplication(...args);
    closing.push(() => application.module.close());
    return application;
  };
  /** Which clients' tokens the API was shown, in order. */
  const callers = () => api.requests.map((request) => carriedBy(request)?.clientId ?? 'nobody');
  return { ...issuer, api, client, startWith, callers };
}

/** Waits, without a clock, for what goes over a socket. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

describe('clients with names', () => {
  it('are injected by name, each with tokens and allowed origins of its own', async () => {
    const { client, startWith, api, callers } = await setUp();
    const elsewhere = await resourceServer();

    @Injectable()
    class Services {
      constructor(
        readonly http: HttpService,
        @InjectM2MHttp('billing') readonly billingHttp: HttpService,
        @InjectTokenProvider('billing') readonly billingTokens: TokenProvider,
        @InjectTokenProvider('reports.v2') readonly reportTokens: TokenProvider,
      ) {}
    }
    @Module({ providers: [Services] })
    class ServicesModule {}

    const { module } = await startWith(
      {
        client: client('main'),
        clients: {
          billing: client('billing'),
          'reports.v2': client('reports', { allowedOrigins: [elsewhere.url], http: {} }),
        },
        isGlobal: true,
      } as never,
      undefined,
      [ServicesModule],
    );
    const { http, billingHttp, billingTokens, reportTokens } = module.get(Services, { strict: false });
    await http.axiosRef.get('/');
    await billingHttp.axiosRef.get('/');
    await billingHttp.axiosRef.get(elsewhere.url);
    expect(callers()).toEqual(['main', 'billing']);
    expect(elsewhere.requests.map(carriedBy)).toEqual([undefined]);
    expect([billingTokens.clientName, reportTokens.clientName]).toEqual(['billing', 'reports.v2']);
    expect(reportTokens.explain(api.url).isAllowed).toBe(false);
    expect(reportTokens.status().freshness).toBe('none');
  });

  it('are given to a module by forFeature, also those that it defines itself', async () => {
    const { client, startWith, callers } = await setUp();
    const seen: Record<string, HttpService> = {};
    const moduleWith = (name: string, options?: ClientOptions) => {
      @Injectable()
      class Service {
        constructor(http: HttpService, tokens: TokenProvider) {
          seen[`${name}/${tokens.clientName}`] = http;
        }
      }
      @Module({ imports: [IdentityM2MModule.forFeature(name, options)], providers: [Service] })
      class FeatureModule {}
      return FeatureModule;
    };
    await startWith({ client: client('main'), clients: { billing: client('billing') } }, undefined, [
      moduleWith('billing'),
      moduleWith('reports', client('reports')),
    ]);
    for (const http of [seen['billing/billing'], seen['reports/reports']]) await http!.axiosRef.get('/');
    expect(callers()).toEqual(['billing', 'reports']);
  });

  test.each<[string, (client: (id: string) => ClientOptions) => Parameters<typeof IdentityM2MModule.forFeature>]>([
    ['is unknown', () => ['nope']],
    ['is taken', (client) => ['billing', client('b')]],
    ['is of many tenants', () => ['tenants']],
    ['comes with wrong options', (client) => ['new', { ...client('b'), clientSecret: '' }]],
  ])('fail the boot if a name %s', async (_name, feature) => {
    const { client } = await setUp();
    const clients = { billing: client('billing'), tenants: { perTenant: client } };
    const imports = [IdentityM2MModule.forRoot({ clients }), IdentityM2MModule.forFeature(...feature(client))];
    await expect(Test.createTestingModule({ imports }).compile()).rejects.toBeInstanceOf(IdentityM2MConfigurationError);
  });
});

describe('the clients of an application', () => {
  it('are chosen at run time, by name and by tenant', async () => {
    const { client, startWith, api } = await setUp();
    const clients = { billing: client('billing'), customers: { perTenant: (tenant: string) => client(tenant) } };
    const { module, provider } = await startWith({ client: client('main'), clients });
    const all = module.get(M2MClientRegistry);
    expect((await all.choose({})).provider).toBe(provider);
    expect((await all.choose({ client: 'billing' })).provider.clientName).toBe('billing');
    const { provider: acme, http } = await all.choose({ client: 'customers', tenant: 'acme' });
    await http.axiosRef.get('/');
    expect(carriedBy(api.requests[0]!)).toMatchObject({ clientId: 'acme' });
    expect(acme.status()).toMatchObject({ freshness: 'fresh' });
    expect(acme.explain(api.url).isAllowed).toBe(true);
    await expect(all.choose({ client: 'nope' })).rejects.toBeInstanceOf(IdentityM2MConfigurationError);
    await expect(all.choose({ client: 'customers' })).rejects.toBeInstanceOf(IdentityM2MConfigurationError);
  });

  it('include the default one by its name', async () => {
    const { client, startWith } = await setUp();
    const { module, provider, http } = await startWith({ client: client('main') });
    expect(module.get(tokenProviderToken('default'))).toBe(provider);
    expect(module.get(m2mHttpToken('default'))).toBe(http);
  });

  it('are configured in one place: a second root fails the boot', async () => {
    const { client, startWith } = await setUp();
    @Module({ imports: [IdentityM2MModule.forRoot({ client: client('other') })] })
    class OtherModule {}
    const boot = startWith({ client: client('main') }, undefined, [OtherModule]);
    await expect(boot).rejects.toMatchObject({ code: 'M2M_CONFIGURATION_INVALID', faults: [{ path: 'forRoot' }] });
  });

  it('are started also if their module is loaded lazily', async () => {
    const { client, startWith, granted, behaviour } = await setUp();
    const { module } = await startWith({ client: client('main') });
    @Module({ imports: [IdentityM2MModule.forFeature('late', client('late', { start: 'require' }))] })
    class LateModule {}
    await module.get(LazyModuleLoader).load(() => LateModule);
    expect(granted.map(({ clientId }) => clientId)).toEqual(['late']);
    behaviour.token = json(401, { error: 'invalid_client' });
    @Module({ imports: [IdentityM2MModule.forFeature('refused', client('refused', { start: 'require' }))] })
    class RefusedModule {}
    const load = module.get(LazyModuleLoader).load(() => RefusedModule);
    await expect(load).rejects.toMatchObject({ code: 'M2M_CLIENT_REJECTED' });
  });

  it('name in their events what a token was requested for', async () => {
    const { client, startWith, behaviour } = await setUp();
    const options = { scope: ['b', 'a'], audience: 'api', acquireTimeoutMs: 400 };
    const { provider, events } = await startWith({ client: client('main', options) });
    await provider.getToken();
    behaviour.token = json(503, {});
    await provider.getToken({ scope: 'other', resource: 'https://billing.example/' }).catch(() => {});
    expect(events).toMatchObject([
      { type: 'token.acquired', scope: 'b a', audience: 'api' },
      { type: 'token.refresh_failed', scope: 'other', audience: 'api', resource: ['https://billing.example/'] },
    ]);
  });
});

describe('a call that needs another token than the default one', () => {
  it('gets what it requests: client, scope, audience, resources, parameters', async () => {
    const { client, startWith, api } = await setUp();
    const usual = { scope: 'usual', audience: 'usual', parameters: { a: '1', b: '2' } };
    const { http } = await startWith({ client: client('main', usual), clients: { billing: client('billing') } });
    const wanted: CallTokenOptions[] = [
      {},
      { client: 'billing' },
      { scope: ['two', 'one'] },
      { audience: 'https://api.example' },
      { resource: ['https://one.example', 'https://two.example/path'] },
      { parameters: { b: '3', tenant: 'acme' } },
      { client: 'billing', scope: 'invoices', resource: 'https://one.example' },
    ];
    for (const one of wanted) await http.axiosRef.get('/', withToken(one, { params: { page: 1 } }));
    await http.axiosRef.get('/', withToken({ scope: 'one two' }));
    const base = { scope: 'usual', audience: 'usual', a: '1', b: '2' };
    expect(api.requests.map((request) => carriedBy(request)!)).toMatchObject([
      { clientId: 'main', body: base },
      { clientId: 'billing', body: {} },
      { clientId: 'main', body: { ...base, scope: 'two one' } },
      { clientId: 'main', body: { ...base, audience: 'https://api.example' } },
      { clientId: 'main', body: { ...base, resource: ['https://one.example', 'https://two.example/path'] } },
      { clientId: 'main', body: { ...base, b: '3', tenant: 'acme' } },
      { clientId: 'billing', body: { scope: 'invoices', resource: 'https://one.example' } },
      // The order of scopes does not count: the same token.
      { clientId: 'main', serial: 3 },
    ]);
    expect(api.requests[0]!.url).toBe('/?page=1');
  });

  it('gets one with the minimum lifetime that it names, if the default one has less', async () => {
    const clock = new ManualClock();
    const { client, startWith, granted, api } = await setUp();
    const { http } = await startWith({ client: client('main') }, clock);
    await http.axiosRef.get('/');
    await clock.advance(2_000_000);
    await http.axiosRef.get('/', withToken({ minTtlSeconds: 1500 }));
    expect(granted).toHaveLength(1);
    await http.axiosRef.get('/', withToken({ minTtlSeconds: 1700 }));
    expect(granted).toHaveLength(2);
    expect(api.requests.map((request) => carriedBy(request)!.serial)).toEqual([1, 1, 2]);
  });

  it('is limited to the allowed origins of the client that it names', async () => {
    const { client, startWith, api } = await setUp();
    const elsewhere = await resourceServer();
    const billing = client('billing', { allowedOrigins: [elsewhere.url], http: { baseURL: elsewhere.url } });
    const { http } = await startWith({ client: client('main'), clients: { billing } });
    await http.axiosRef.get('/relative', withToken({ client: 'billing' }));
    await http.axiosRef.get(`${api.url}/absolute`, withToken({ client: 'billing' }));
    expect(elsewhere.requests.map((request) => [request.url, carriedBy(request)?.clientId])).toEqual([
      ['/relative', 'billing'],
    ]);
    expect(api.requests.map((request) => [request.url, carriedBy(request)])).toEqual([['/absolute', undefined]]);
  });

  test.each<[string, CallTokenOptions, new (...args: never[]) => Error]>([
    ['a client that there is not', { client: 'nope' }, IdentityM2MConfigurationError],
    ['a tenant of a client without tenants', { tenant: 'acme' }, IdentityM2MConfigurationError],
    ['a client of many tenants, and no tenant', { client: 'tenants' }, IdentityM2MConfigurationError],
    ['a tenant without a name', { client: 'tenants', tenant: '' }, IdentityM2MConfigurationError],
    ['a tenant with a line break', { client: 'tenants', tenant: 'a\nb' }, IdentityM2MConfigurationError],
    ['a tenant with a very long name', { client: 'tenants', tenant: 'a'.repeat(257) }, IdentityM2MConfigurationError],
    ['a scope that is none', { scope: 'a "b"' }, TokenParametersError],
    ['no audience', { audience: '' }, TokenParametersError],
    ['a resource that is no URI', { resource: ['https://one.example', 'two'] }, TokenParametersError],
    ['a parameter that the protocol sets', { parameters: { client_secret: 'x' } }, TokenParametersError],
    ['a lifetime that is no number', { minTtlSeconds: NaN }, TokenParametersError],
    ['a lifetime below 0', { minTtlSeconds: -1 }, TokenParametersError],
  ])('is not sent, and fails with a typed error, if it requests %s', async (_name, wanted, type) => {
    const { client, startWith, api, granted } = await setUp();
    const { http } = await startWith({ client: client('main'), clients: { tenants: { perTenant: client } } });
    await expect(http.axiosRef.get('/', withToken(wanted))).rejects.toBeInstanceOf(type);
    await http.axiosRef.get('/').catch(() => {});
    expect([api.requests.length, granted.length]).toEqual([1, 1]);
  });
});

describe('the clients of many tenants', () => {
  /** Many tenants; tells which were asked for. */
  async function withTenants(options: object = {}, clock?: ManualClock, more: Partial<ClientOptions> = {}) {
    const system = await setUp();
    const asked: string[] = [];
    const behaviour: { perTenant?: (tenant: string) => ClientOptions | Promise<ClientOptions> } = {};
    const perTenant = async (tenant: string) => {
      asked.push(tenant);
      return behaviour.perTenant ? behaviour.perTenant(tenant) : system.client(`client of ${tenant}`, more);
    };
    const clients = { tenants: { perTenant, ...options } };
    const application = await system.startWith({ client: system.client('main'), clients }, clock);
    const call = (tenant: string) => application.http.axiosRef.get('/', withToken({ client: 'tenants', tenant }));
    return { ...system, ...application, tokens: system.behaviour, asked, behaviour, call };
  }

  it('are created once, however many first calls are concurrent', async () => {
    const { call, asked, granted, callers } = await withTenants();
    await Promise.all(Array.from({ length: 100 }, (_, index) => call(index % 2 ? 'acme' : 'umbrella')));
    expect(asked.toSorted()).toEqual(['acme', 'umbrella']);
    expect(granted).toHaveLength(2);
    expect(new Set(callers())).toEqual(new Set(['client of acme', 'client of umbrella']));
  });

  it('are evicted, the least recently used one first', async () => {
    const { call, asked } = await withTenants({ maxTenants: 2 });
    for (const tenant of ['a', 'b', 'a', 'c', 'a', 'b']) await call(tenant);
    expect(asked).toEqual(['a', 'b', 'c', 'b']);
  });

  it('serve the calls that are in flight when they are evicted', async () => {
    const { call, asked, callers } = await withTenants({ maxTenants: 1 });
    const tenants = Array.from({ length: 20 }, (_, index) => `tenant-${index}`);
    await Promise.all(tenants.map(call));
    expect(asked).toEqual(tenants);
    expect(callers().toSorted()).toEqual(tenants.map((tenant) => `client of ${tenant}`).toSorted());
  });

  it('serve the calls that wait for a token when they are evicted', async () => {
    const { call, tokens, requestsTo } = await withTenants({ maxTenants: 1 });
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    tokens.token = async (...args) => {
      await held;
      return json(200, { access_token: 'bGF0ZQ', token_type: 'Bearer', expires_in: 60 })(...args);
    };
    const first = call('a');
    await until(() => requestsTo('/token').length === 1);
    const second = call('b');
    await until(() => requestsTo('/token').length === 2);
    release();
    for (const one of [first, second]) expect(await one).toMatchObject({ status: 200 });
  });

  describe.each<[string, (application: TestApplication, tenant: string, url: string) => Promise<unknown>]>([
    ['HttpService', ({ http }, tenant) => lastValueFrom(http.get('/', withToken({ client: 'tenants', tenant })))],
    [
      'bearerFetch',
      async ({ module }, tenant, url) => {
        const { provider } = await module.get(M2MClientRegistry).choose({ client: 'tenants', tenant });
        return (await bearerFetch(provider)(url)).text();
      },
    ],
    [
      'undici',
      async ({ module }, tenant, url) => {
        const { provider } = await module.get(M2MClientRegistry).choose({ client: 'tenants', tenant });
        await provider.getToken();
        const dispatcher = agent.compose(bearerInterceptor(provider));
        return (await undiciRequest(url, { dispatcher, method: 'POST', body: Readable.from(['x']) })).body.text();
      },
    ],
  ])('whose calls are sent by %s', (_name, call) => {
    it('have their tokens revoked after the calls that are in flight when they are evicted, and once', async () => {
      const application = await withTenants({ maxTenants: 1 }, undefined, { revokeOnShutdown: true });
      const { api, revoked, granted } = application;
      let release!: () => void;
      const held = new Promise<void>((resolve) => (release = resolve));
      let revokedMeanwhile = 0;
      api.answer = async (request, response) => {
        await held;
        if (revoked.includes(request.headers.authorization!.slice('Bearer '.length))) revokedMeanwhile += 1;
        response.end('{}');
      };
      const tenants = Array.from({ length: 5 }, (_, index) => `tenant-${index}`);
      const calls: Promise<unknown>[] = [];
      for (const tenant of tenants) {
        calls.push(call(application, tenant, api.url));
        await until(() => api.requests.length === calls.length);
      }
      release();
      await Promise.all(calls);
      // The one that was used last has not given way.
      await until(() => revoked.length === tenants.length - 1);
      expect(revokedMeanwhile).toBe(0);
      await application.module.close();
      expect(revoked.toSorted()).toEqual(granted.map((one, index) => tokenFor(one, index + 1)).toSorted());
    });
  });

  it('are closed with the application if they are evicted with calls in flight', async () => {
    const { call, module, api, revoked } = await withTenants({ maxTenants: 1 }, undefined, { revokeOnShutdown: true });
    await call('a');
    api.answer = () => {};
    const calls = ['a', 'b'].map((tenant) => call(tenant).catch(() => {}));
    await until(() => api.requests.length === 3);
    await module.close();
    expect(revoked).toHaveLength(2);
    await api.close();
    await Promise.all(calls);
    expect(revoked).toHaveLength(2);
  });

  it('are removed after a long time without use, without another call, with their timers and tokens', async () => {
    const clock = new ManualClock();
    const { call, asked, revoked, granted, requestsTo } = await withTenants({ idleSeconds: 60 }, clock, {
      revokeOnShutdown: true,
    });
    await call('a');
    await clock.advance(30_000);
    await call('b');
    await clock.advance(30_000);
    await until(() => requestsTo('/revoke').length === 1);
    await clock.advance(29_000);
    await call('b');
    expect(asked).toEqual(['a', 'b']);
    await clock.advance(60_000);
    await until(() => requestsTo('/revoke').length === 2 && clock.pendingTimers === 0);
    expect(revoked).toEqual(granted.map((one, index) => tokenFor(one, index + 1)));
    await call('a');
    expect(asked).toEqual(['a', 'b', 'a']);
  });

  it('fail the call with the application’s error, and are requested again', async () => {
    const { call, asked, behaviour, client, api } = await withTenants();
    behaviour.perTenant = () => Promise.reject(new RangeError('no such tenant'));
    await expect(call('acme')).rejects.toThrow(new RangeError('no such tenant'));
    behaviour.perTenant = () => undefined as never;
    await expect(call('acme')).rejects.toBeInstanceOf(IdentityM2MConfigurationError);
    behaviour.perTenant = () => client('', {});
    await expect(call('acme')).rejects.toMatchObject({
      code: 'M2M_CONFIGURATION_INVALID',
      message: expect.stringContaining('tenants[acme]'),
    });
    expect(api.requests).toHaveLength(0);
    delete behaviour.perTenant;
    await call('acme');
    expect(asked).toEqual(Array(4).fill('acme'));
  });

  it('do not hold up a call forever if the application does not answer', async () => {
    const clock = new ManualClock();
    const { call, behaviour } = await withTenants({}, clock);
    behaviour.perTenant = () => new Promise(() => {});
    const calls = [call('acme'), call('acme')].map((one) => one.catch((error: unknown) => error));
    await clock.advance(10_000);
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', reason: 'wait_timeout', client: 'tenants[acme]' });
    }
    delete behaviour.perTenant;
    await expect(call('acme')).resolves.toMatchObject({ status: 200 });
  });

  it('do not hold up a call beyond its timeout, nor one that was cancelled', async () => {
    const { http, behaviour, asked, api } = await withTenants({}, new ManualClock());
    behaviour.perTenant = () => new Promise(() => {});
    const wanted: CallTokenOptions = { client: 'tenants', tenant: 'acme' };
    await expect(http.axiosRef.get('/', withToken(wanted, { timeout: 30 }))).rejects.toMatchObject({
      code: 'ECONNABORTED',
    });
    const aborting = new AbortController();
    const aborted = http.axiosRef.get('/', withToken(wanted, { signal: aborting.signal }));
    setImmediate(() => aborting.abort());
    await expect(aborted).rejects.toMatchObject({ code: 'ERR_CANCELED' });
    expect([asked, api.requests.length]).toEqual([['acme'], 0]);
  });

  it('are closed with the application: their tokens are revoked, and no timer is left', async () => {
    const clock = new ManualClock();
    const { call, module, revoked } = await withTenants({}, clock, { revokeOnShutdown: true });
    await Promise.all(['a', 'b', 'c'].map(call));
    await module.close();
    expect(revoked).toHaveLength(3);
    expect(clock.pendingTimers).toBe(0);
  });
});

/**
 * The class of CVE-2025-26620 (one flight for different requests) and CVE-2024-51987 (a token kept in a shared client).
 */
describe('a token', () => {
  it('is never used for a call that requested another, under concurrency, renewal and eviction', async () => {
    const { client, startWith, api } = await setUp();
    // Patient, because hundreds of tokens are fetched at once, on a machine that may be busy.
    const patient = { maxTokens: 400, acquireTimeoutMs: 60_000, tokenRequestTimeoutMs: 60_000 };
    const clients = {
      billing: client('billing', patient),
      tenants: { perTenant: (tenant: string) => client(`client of ${tenant}`, patient), maxTenants: 2 },
    };
    const { http } = await startWith({ client: client('main', { scope: 'usual', ...patient }), clients });
    let seed = 42;
    const random = (max: number) => (seed = (seed * 48_271) % 2_147_483_647) % max;
    const pick = <T>(...choices: T[]) => choices[random(choices.length)]!;
    // Some are refused once, so that tokens are renewed between the others.
    const refused = new Set<string>();
    api.answer = (request, response) => {
      const isRefused = random(20) === 0 && !refused.has(request.url);
      if (isRefused) refused.add(request.url);
      response.writeHead(isRefused ? 401 : 200).end();
    };
    const wanted = Array.from({ length: 300 }, (): CallTokenOptions => ({
      ...pick<CallTokenOptions>({}, { client: 'billing' }, { client: 'tenants', tenant: pick('a', 'b', 'c') }),
      // Texts that read the same where they are joined carelessly.
      ...pick<CallTokenOptions>({}, { scope: pick('a b', 'a', 'b', 'ab') }, { audience: pick('a', 'a b', 'b') }),
      ...pick<CallTokenOptions>(
        {},
        { resource: pick<string | string[]>('https://a.example', ['https://a.example', 'https://b.example']) },
      ),
      ...pick<CallTokenOptions>(
        {},
        { parameters: pick<Record<string, string>>({ a: 'b' }, { ab: '' }, { a: 'b', c: 'd' }, { a: 'bc' }) },
      ),
    }));
    const calls = wanted.map((one, index) =>
      http.axiosRef.get(`/${index}`, withToken(one, { validateStatus: () => true })),
    );
    await Promise.all(calls);
    expect(api.requests.length).toBeGreaterThanOrEqual(wanted.length);
    for (const request of api.requests) {
      const { client: name, tenant, scope, audience, resource, parameters } = wanted[Number(request.url.slice(1))]!;
      const expected = {
        ...((scope ?? (name === undefined ? 'usual' : undefined)) !== undefined && { scope: scope ?? 'usual' }),
        ...(audience !== undefined && { audience }),
        ...(resource !== undefined && { resource }),
        ...parameters,
      };
      const clientId = tenant === undefined ? (name ?? 'main') : `client of ${tenant}`;
      expect(carriedBy(request)).toEqual({ clientId, body: expected, serial: expect.any(Number) });
    }
  }, 60_000);
});

describe('more tokens than the cache holds', () => {
  it('are evicted, the least recently used one first', async () => {
    const { client, startWith, granted } = await setUp();
    const { provider } = await startWith({ client: client('main', { maxTokens: 3 }) });
    for (const scope of ['a', 'b', 'a', 'c', 'a', 'b']) await provider.getToken({ scope });
    expect(granted.map(({ body }) => body.scope)).toEqual(['a', 'b', 'c', 'b']);
  });

  it('keep the pause of a failed request: a failing server gets one request for each, whatever the traffic', async () => {
    const { client, startWith, behaviour, requestsTo } = await setUp();
    behaviour.token = (_request, response) =>
      void response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '600' }).end('{}');
    const { provider } = await startWith({ client: client('main', { maxTokens: 3 }) });
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 10; n++) {
        await expect(provider.getToken({ scope: `scope-${n}` })).rejects.toThrow('HTTP 429');
      }
    }
    expect(requestsTo('/token')).toHaveLength(10);
  });

  it('are refused only while all cached ones are being fetched', async () => {
    const { client, startWith, behaviour, requestsTo } = await setUp();
    const { provider } = await startWith({ client: client('main', { maxTokens: 3 }) });
    await provider.getToken();
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    behaviour.token = async (...args) => {
      await held;
      return json(200, { access_token: 'late', token_type: 'Bearer', expires_in: 60 })(...args);
    };
    const fetching = ['a', 'b'].map((scope) => provider.getToken({ scope }));
    await until(() => requestsTo('/token').length === 3);
    await expect(provider.getToken({ scope: 'c' })).rejects.toMatchObject({
      code: 'M2M_TOKEN_UNAVAILABLE',
      reason: 'overloaded',
    });
    // The usual one, and those that are being fetched, can still be had.
    await expect(provider.getToken()).resolves.toBeDefined();
    const shared = provider.getToken({ scope: 'a' });
    release();
    await Promise.all([...fetching, shared]);
    await expect(provider.getToken({ scope: 'c' })).resolves.toBeDefined();
    expect(requestsTo('/token')).toHaveLength(4);
  });
});

describe('revocation at shutdown', () => {
  it('covers every token of every client that enables it (RFC 7009)', async () => {
    const { client, startWith, granted, revoked, requestsTo } = await setUp();
    const revoking = (id: string) => client(id, { revokeOnShutdown: true });
    const clients = { billing: revoking('billing'), reports: client('reports') };
    const { module, provider, providerOf } = await startWith({ client: revoking('main'), clients });
    await provider.getToken();
    await provider.getToken({ scope: 'a' });
    for (const name of ['billing', 'reports']) await providerOf(name).getToken();
    await module.close();
    const tokens = granted.map((asked, index) => ({ asked, token: tokenFor(asked, index + 1) }));
    const expected = tokens.filter(({ asked }) => asked.clientId !== 'reports').map(({ token }) => token);
    expect(revoked.toSorted()).toEqual(expected.toSorted());
    const [request] = requestsTo('/revoke');
    expect(new URLSearchParams(request!.body).get('token_type_hint')).toBe('access_token');
    expect(askedBy(request!).clientId).toBe('main');
  });

  it('sends the credential that was accepted last, and not the one that was refused', async () => {
    const { client, startWith, behaviour, requestsTo, revoked } = await setUp();
    const secretOf = ({ headers }: ReceivedRequest) =>
      Buffer.from(headers.authorization!.slice(6), 'base64').toString().split(':')[1];
    behaviour.token = (request, ...rest) =>
      secretOf(request) === 'new'
        ? json(200, { access_token: 't', token_type: 'Bearer', expires_in: 60 })(request, ...rest)
        : json(401, { error: 'invalid_client' })(request, ...rest);
    const clientSecret = { current: 'old', next: 'new' };
    const { module, provider } = await startWith({ client: client('main', { clientSecret, revokeOnShutdown: true }) });
    await provider.getToken();
    await module.close();
    expect(revoked).toEqual(['t']);
    expect(requestsTo('/revoke').map(secretOf)).toEqual(['new']);
  });

  it('holds up the shutdown for 5 s at most if the server does not answer, and requests it for all tokens', async () => {
    const clock = new ManualClock();
    const { client, startWith, behaviour, requestsTo } = await setUp();
    const { module, provider } = await startWith({ client: client('main', { revokeOnShutdown: true }) }, clock);
    const scopes = Array.from({ length: 30 }, (_, index) => `scope-${index}`);
    await Promise.all(scopes.map((scope) => provider.getToken({ scope })));
    const open = new Set<unknown>();
    behaviour.revoke = (_request, response) => {
      open.add(response);
      response.once('close', () => open.delete(response));
    };
    const closed = module.close();
    await until(() => requestsTo('/revoke').length === 8);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    // No more than so many at a time.
    expect(open.size).toBe(8);
    await clock.advance(5000);
    await closed;
    await until(() => open.size === 0);
    expect(requestsTo('/revoke')).toHaveLength(8);
    expect(clock.pendingTimers).toBe(0);
  });

  it('does not hold up the shutdown if the secret is no longer available', async () => {
    const clock = new ManualClock();
    const { client, startWith, revoked } = await setUp();
    let isHanging = false;
    const clientSecret = () => (isHanging ? new Promise<string>(() => {}) : 'secret');
    const { module, provider } = await startWith(
      { client: client('main', { clientSecret, revokeOnShutdown: true }) },
      clock,
    );
    await provider.getToken();
    isHanging = true;
    const closed = module.close();
    await clock.advance(5000);
    await closed;
    expect(revoked).toEqual([]);
  });

  test.each<[string, Answer]>([
    ['an error', json(503, {})],
    ['a reset', (_request, response) => response.socket!.resetAndDestroy()],
  ])('does not fail the shutdown with %s, and reports it', async (_name, answer) => {
    const { client, startWith, behaviour, requestsTo } = await setUp();
    const { module, provider } = await startWith({ client: client('main', { revokeOnShutdown: true }) });
    const { fingerprint } = await provider.getToken();
    const failures: OutboundEvent[] = [];
    provider.events.subscribe((event) => failures.push(event), ['token.revocation_failed']);
    behaviour.revoke = answer;
    await module.close();
    expect(requestsTo('/revoke')).toHaveLength(1);
    expect(failures).toMatchObject([{ client: 'default', fingerprints: [fingerprint] }]);
  });
});

describe('starting with several clients', () => {
  it('follows the mode of each', async () => {
    const { client, startWith, granted } = await setUp();
    const clients = {
      lazy: client('lazy'),
      warm: client('warm', { start: 'warm' }),
      require: client('require', { start: 'require' }),
    };
    const { providerOf } = await startWith({ clients });
    expect(providerOf('require').peek()).toBeDefined();
    expect(providerOf('lazy').status()).toMatchObject({ freshness: 'none', refreshing: false });
    await until(() => providerOf('warm').peek() !== undefined);
    expect(granted.map(({ clientId }) => clientId).toSorted()).toEqual(['require', 'warm']);
  });

  it('spreads the first token requests over the configured time', async () => {
    const clock = new ManualClock();
    const { client, startWith, granted, requestsTo } = await setUp();
    // Real token requests take no time by this clock, and yet several of its seconds: none is to be taken for silent.
    const timeouts = { startTimeoutMs: 120_000, acquireTimeoutMs: 120_000, tokenRequestTimeoutMs: 120_000 };
    const spread = { startSpreadMs: 60_000, ...timeouts };
    const clients = {
      ...Object.fromEntries(
        Array.from({ length: 20 }, (_, n) => [`warm-${n}`, client(`w${n}`, { start: 'warm', ...spread })]),
      ),
      require: client('require', { start: 'require', ...spread }),
    };
    const starting = startWith({ clients }, clock);
    await until(() => clock.pendingTimers >= 21);
    const counts: number[] = [];
    for (let second = 0; second < 60; second++) {
      await clock.advance(1000);
      counts.push(requestsTo('/token').length);
    }
    await starting;
    await until(() => granted.length === 21);
    // 21 draws out of 60 s: that all are in one half is less likely than one in 500,000.
    expect(counts[1]).toBeLessThan(21);
    expect(new Set(counts).size).toBeGreaterThan(3);
  });

  it('counts the time that the boot waits from the end of its spread', async () => {
    const clock = new ManualClock();
    const { client, startWith, granted } = await setUp();
    const clients = Object.fromEntries(
      Array.from({ length: 10 }, (_, n) => [
        `require-${n}`,
        // Real token requests take no time by this clock, and yet several of its seconds: none is to be taken for
        // silent.
        client(`r${n}`, {
          start: 'require',
          startSpreadMs: 600_000,
          startTimeoutMs: 10_000,
          acquireTimeoutMs: 60_000,
        }),
      ]),
    );
    const starting = startWith({ clients }, clock);
    await until(() => clock.pendingTimers >= 10);
    for (let second = 0; second < 610 && granted.length < 10; second++) {
      await clock.advance(1000);
      await new Promise(setImmediate);
    }
    await starting;
    expect(granted).toHaveLength(10);
  });

  it('sends no more requests once it is shut down within the spread', async () => {
    const clock = new ManualClock();
    const { client, startWith, requestsTo } = await setUp();
    const { module } = await startWith({ client: client('main', { start: 'warm', startSpreadMs: 3_600_000 }) }, clock);
    expect(clock.pendingTimers).toBe(1);
    await module.close();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(3_600_000);
    expect(requestsTo('/token')).toHaveLength(0);
  });

  it('fails at once if one required client is refused, and leaves the others no timer', async () => {
    const clock = new ManualClock();
    const { client, startWith, behaviour } = await setUp();
    behaviour.token = (request, ...rest) =>
      askedBy(request).clientId === 'refused'
        ? json(401, { error: 'invalid_client' })(request, ...rest)
        : json(503, {})(request, ...rest);
    const clients = {
      down: client('down', { start: 'require' }),
      later: client('later', { start: 'require', startSpreadMs: 3_600_000 }),
      refused: client('refused', { start: 'require' }),
    };
    await expect(startWith({ clients }, clock)).rejects.toMatchObject({
      code: 'M2M_CLIENT_REJECTED',
      client: 'refused',
    });
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('a process', () => {
  test.each([
    ['was closed', true],
    ['was not closed', false],
  ])(
    'ends by itself when its application has fetched tokens and %s',
    async (_name, close) => {
      const { api, tokenEndpoint, callers } = await setUp();
      const authority = await CertificateAuthority.create('Test authority');
      const { cert, key } = await authority.issue('certificate');
      const tls = { ...(await authority.issueForLoopback()), ca: authority.pem, requestCert: true };
      const mtls = await TestServer.start(
        json(200, { access_token: 't', token_type: 'Bearer', expires_in: 3600 }),
        tls,
      );
      closing.push(() => mtls.close());
      const certificate = { url: mtls.url, cert, key, ca: authority.pem };
      const options: FetchingApplicationOptions = { tokenEndpoint, api: api.url, mtls: certificate, close };
      const path = (name: string) => fileURLToPath(new URL(`./support/child/${name}`, import.meta.url));
      const sources = ['--conditions=@nestjs-identity-m2m/source', '--import', path('../typescript-sources.mjs')];
      const child = spawn(process.execPath, [...sources, path('fetching-application.ts'), JSON.stringify(options)]);
      closing.push(async () => child.kill('SIGKILL'));
      const output = text(child.stdout);
      const errors = text(child.stderr);
      const exited = once(child, 'exit');
      await Promise.race([once(child.stdout, 'data'), exited]);
      const doneAt = performance.now();
      expect([await exited, await output, await errors]).toEqual([[0, null], 'done\n', '']);
      // Well before the servers would close the connections that are kept alive.
      expect(performance.now() - doneAt).toBeLessThan(3000);
      expect(callers().toSorted()).toEqual(['acme', 'child', 'child']);
      expect(mtls.requests).toHaveLength(2);
    },
    30_000,
  );
});
