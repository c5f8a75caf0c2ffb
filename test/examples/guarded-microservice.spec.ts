import type { AddressInfo, Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { Caller, genericOAuth2, IdentityM2MModule, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { forgedTokens, TestIssuer } from 'nestjs-identity-m2m/testing';
import { lastValueFrom } from 'rxjs';

// Your microservice.

@Controller()
class ThingsController {
  @MessagePattern('things.list')
  @RequireScopes('things.read')
  list(@Caller() caller: MachineCaller) {
    return { for: caller.clientId };
  }
}

@Module({})
class AppModule {
  static trusting(issuer: string) {
    return {
      module: AppModule,
      imports: [
        IdentityM2MModule.forRoot({
          guard: { issuers: [genericOAuth2({ issuer })], audience: 'things', clients: ['billing'] },
          globalGuard: true,
        }),
      ],
      controllers: [ThingsController],
    };
  }
}

// Its tests.

const BILLING = { clientId: 'billing', audience: 'things', scopes: ['things.read'] };

describe('the example microservice', () => {
  let issuer: TestIssuer;
  let app: INestMicroservice;
  let port: number;

  beforeAll(async () => {
    issuer = await TestIssuer.start();
    const module = await Test.createTestingModule({ imports: [AppModule.trusting(issuer.url)] }).compile();
    app = module.createNestMicroservice({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: 0 },
      logger: false,
    });
    await app.listen();
    ({ port } = app.unwrap<Server>().address() as AddressInfo);
  });
  afterAll(async () => {
    await app.close();
    await issuer.close();
  });

  /** Asks with a token as it is, be it a forged one. */
  async function list(token?: string): Promise<unknown> {
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
    client.setOnDispatchHook((packet) => {
      if (token !== undefined) packet.metadata = { authorization: `Bearer ${token}` };
    });
    try {
      return await lastValueFrom(client.send('things.list', {}));
    } finally {
      await client.close();
    }
  }

  it('allows billing to read', async () => {
    expect(await list(await issuer.tokenFor(BILLING))).toEqual({ for: 'billing' });
  });

  it('refuses calls without a token, without the scope, and of other clients', async () => {
    await expect(list()).rejects.toMatchObject({ code: 'UNAUTHENTICATED', error: 'unauthorized' });
    const without = await issuer.tokenFor({ ...BILLING, scopes: [] });
    await expect(list(without)).rejects.toMatchObject({ code: 'PERMISSION_DENIED', error: 'insufficient_scope' });
    const reporting = await issuer.tokenFor({ ...BILLING, clientId: 'reporting' });
    await expect(list(reporting)).rejects.toMatchObject({ code: 'PERMISSION_DENIED', error: 'forbidden' });
  });

  it('refuses every forged token', async () => {
    for (const { token } of await forgedTokens(issuer, BILLING)) {
      await expect(list(token)).rejects.toMatchObject({
        code: expect.stringMatching(/^(UNAUTHENTICATED|PERMISSION_DENIED|INVALID_ARGUMENT|UNAVAILABLE)$/),
      });
    }
  });
});
