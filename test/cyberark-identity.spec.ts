import { afterAll, afterEach, beforeAll, describe, expect, it, test } from '@jest/globals';
import { HttpService } from '@nestjs/axios';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type RunningTenant, startTenant } from '@nestjs-identity-m2m/tenant-emulator';
import {
  cyberArkIdentity,
  type ClientOptions,
  IdentityM2MModule,
  type IdentityM2MOptions,
  type IdentityM2MOptionsFactory,
  type OutboundEvent,
  TokenProvider,
} from 'nestjs-identity-m2m';

const SECRET = 'dev-only: provisioning p+ss/wörd%21';
let tenant: RunningTenant;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  tenant = await startTenant();
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
  tenant.switches.reset();
  tenant.resetStatistics();
});
afterAll(() => tenant.close());

function client(more: Partial<ClientOptions> = {}): ClientOptions {
  return {
    identityProvider: cyberArkIdentity({ tenantUrl: tenant.url, applicationId: 'provisioning' }),
    clientId: 'svc-provisioning@acme.example',
    clientSecret: SECRET,
    scope: 'users',
    ...more,
  };
}

async function setUp(more: Partial<ClientOptions> = {}) {
  const module = await Test.createTestingModule({
    imports: [IdentityM2MModule.forRoot({ client: client(more) })],
  }).compile();
  module.useLogger(false);
  await module.init();
  closing.push(() => module.close());
  const provider = module.get(TokenProvider);
  const events: OutboundEvent[] = [];
  provider.events.subscribe((event) => events.push(event));
  return { http: module.get(HttpService).axiosRef, provider, events };
}

const tokenRequests = () => tenant.statistics().tokenRequestsReceived;
const whoami = (http: HttpService['axiosRef']) =>
  http.post<{ success: boolean; Result: { User: string } }>('/Security/whoami', {});

describe('a client of a CyberArk Identity tenant', () => {
  it('calls its REST API, with a secret that the standard Basic encoding would change', async () => {
    const { http } = await setUp();
    expect((await whoami(http)).data).toMatchObject({
      success: true,
      Result: { User: 'svc-provisioning@acme.example' },
    });
  });

  it('is refused with that secret in the standard encoding, with advice on what to check', async () => {
    const { provider } = await setUp({ clientAuthentication: 'client_secret_basic' });
    await expect(provider.getToken()).rejects.toMatchObject({
      code: 'M2M_CLIENT_REJECTED',
      oauthError: 'access_denied',
      message: expect.stringContaining('OAuth confidential client'),
    });
  });

  it('may send its secret in the body', async () => {
    const { http } = await setUp({ clientAuthentication: 'client_secret_post' });
    expect((await whoami(http)).data.success).toBe(true);
  });

  it('may send JSON to a tenant that requires it', async () => {
    const { provider } = await setUp({ tokenRequestFormat: 'json' });
    await expect(provider.getToken()).rejects.toMatchObject({ message: expect.stringContaining('invalid grant type') });
    tenant.switches.change({ acceptJsonTokenRequests: true });
    const { http } = await setUp({ tokenRequestFormat: 'json' });
    expect((await whoami(http)).data.success).toBe(true);
  });

  it('may use platform tokens', async () => {
    const { http, provider } = await setUp({
      identityProvider: cyberArkIdentity({ tenantUrl: `${tenant.url}/`, platformToken: true }),
      scope: undefined,
    });
    expect((await whoami(http)).data.success).toBe(true);
    const lifeMs = provider.status().expiresAt!.getTime() - Date.now();
    expect(Math.round(lifeMs / 60_000)).toBe(15);
  });

  test.each(['string', 'missing'] as const)('accepts an expires_in that is %s', async (expiresIn) => {
    tenant.switches.change({ expiresIn });
    const { http, provider } = await setUp();
    await whoami(http);
    // Where it is missing, the token says itself how long it lives.
    const lifeMs = provider.status().expiresAt!.getTime() - Date.now();
    expect(Math.round(lifeMs / 60_000)).toBe(300);
  });

  it('makes one token request for 10,000 concurrent first calls', async () => {
    // The herd itself may hold up a busy machine.
    const { provider } = await setUp({ acquireTimeoutMs: 60_000 });
    const tokens = await Promise.all(Array.from({ length: 10_000 }, () => provider.getToken()));
    expect(new Set(tokens).size).toBe(1);
    expect(tokenRequests()).toBe(1);
  });

  it('continues after the tenant ended its sessions, with one token request', async () => {
    const { http, events } = await setUp();
    await whoami(http);
    tenant.revokeSessions();
    const answers = await Promise.all(Array.from({ length: 50 }, () => whoami(http)));
    expect(answers.every(({ data }) => data.success)).toBe(true);
    expect(tokenRequests()).toBe(2);
    expect(events.filter(({ type }) => type === 'call.replayed')).toHaveLength(50);
  });

  test.each<[string, Partial<ClientOptions>, object, string]>([
    ['a wrong secret', { clientSecret: 'wrong' }, { code: 'M2M_CLIENT_REJECTED' }, 'login name and password'],
    [
      'a client that may not use the application',
      { clientId: 'svc-cli@acme.example', clientSecret: 'dev-only-cli' },
      { code: 'M2M_CLIENT_REJECTED' },
      'allowed clients',
    ],
    [
      'an unknown scope',
      { scope: 'nothing' },
      { code: 'M2M_TOKEN_REQUEST_REJECTED', oauthError: 'invalid_scope' },
      'Scope tab',
    ],
  ])('gets advice about %s', async (_name, options, error, advice) => {
    for (const badCredentialsStatus of [400, 401] as const) {
      tenant.switches.change({ badCredentialsStatus });
      const { provider } = await setUp(options);
      await expect(provider.getToken()).rejects.toMatchObject({ ...error, message: expect.stringContaining(advice) });
    }
  });

  test.each<[string, string, string]>([
    ['an unknown application', 'nothing', 'applicationId'],
    ['an application without client credentials', 'unticked', 'Client Creds'],
  ])('gets advice about %s', async (_name, applicationId, advice) => {
    const { provider } = await setUp({
      identityProvider: cyberArkIdentity({ tenantUrl: tenant.url, applicationId }),
      clientId: 'svc-cli@acme.example',
      clientSecret: 'dev-only-cli',
    });
    await expect(provider.getToken()).rejects.toMatchObject({ message: expect.stringContaining(advice) });
  });

  test.each(['refuse', 'reset', '500', 'html'] as const)(
    'fails with a typed error while the token endpoint is out: %s',
    async (outage) => {
      const { http } = await setUp({ acquireTimeoutMs: 400 });
      tenant.switches.change({ faults: { token: { outage } } });
      await expect(whoami(http)).rejects.toMatchObject({ code: 'M2M_TOKEN_UNAVAILABLE', retryAt: expect.any(Date) });
      expect(tenant.statistics().apiCalls).toEqual({});
    },
  );

  it('waits as long as a rate limit demands', async () => {
    const { provider } = await setUp();
    tenant.switches.change({ faults: { token: { rateLimit: { retryAfter: 60 } } } });
    const error: unknown = await provider.getToken().catch((error: unknown) => error);
    const waitMs = (error as { retryAt: Date }).retryAt.getTime() - Date.now();
    expect(waitMs).toBeGreaterThan(59_000);
    await expect(provider.getToken()).rejects.toBe(error);
    expect(tokenRequests()).toBe(1);
  });
});

describe('forRootAsync', () => {
  @Injectable()
  class Vault {
    readonly secret = SECRET;
  }

  @Module({ providers: [Vault], exports: [Vault] })
  class VaultModule {}

  @Injectable()
  class Options implements IdentityM2MOptionsFactory {
    constructor(private readonly vault: Vault) {}

    createIdentityM2MOptions(): IdentityM2MOptions {
      return { client: client({ clientSecret: this.vault.secret }) };
    }
  }

  @Module({ imports: [VaultModule], providers: [Options], exports: [Options] })
  class OptionsModule {}

  @Injectable()
  class Consumer {
    constructor(
      readonly http: HttpService,
      readonly tokens: TokenProvider,
    ) {}
  }

  @Module({ providers: [Consumer] })
  class ConsumerModule {}

  test.each<[string, () => Parameters<typeof IdentityM2MModule.forRootAsync>[0]]>([
    [
      'useFactory',
      () => ({
        imports: [VaultModule],
        inject: [Vault],
        useFactory: async (vault: Vault) => ({ client: client({ clientSecret: vault.secret }) }),
      }),
    ],
    ['useClass', () => ({ imports: [VaultModule], useClass: Options })],
    ['useExisting', () => ({ imports: [OptionsModule], useExisting: Options })],
  ])('takes its options by %s, and is global if isGlobal is set', async (_name, options) => {
    const module = await Test.createTestingModule({
      imports: [IdentityM2MModule.forRootAsync({ ...options(), isGlobal: true }), ConsumerModule],
    }).compile();
    module.useLogger(false);
    await module.init();
    closing.push(() => module.close());
    expect((await whoami(module.get(Consumer, { strict: false }).http.axiosRef)).data.success).toBe(true);
  });

  it('fails the boot for invalid options, wherever they come from', async () => {
    const wrong = IdentityM2MModule.forRootAsync({ useFactory: () => ({ client: client({ clientId: '' }) }) });
    await expect(Test.createTestingModule({ imports: [wrong] }).compile()).rejects.toMatchObject({
      code: 'M2M_CONFIGURATION_INVALID',
      message: expect.stringContaining('client.clientId'),
    });
  });
});
