import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, type INestApplication, Module, Post } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Caller, genericOAuth2, IdentityM2MModule, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { attackSuite, TestIssuer, type TestTokenOptions } from 'nestjs-identity-m2m/testing';
import request from 'supertest';

// Your service.

@Controller('things')
class ThingsController {
  @Get()
  @RequireScopes('things.read')
  list(@Caller() caller: MachineCaller) {
    return { for: caller.clientId };
  }

  @Post()
  @RequireScopes('things.write')
  make() {
    return { made: true };
  }
}

@Module({})
class AppModule {
  static trusting(issuer: string) {
    return {
      module: AppModule,
      imports: [
        IdentityM2MModule.forRoot({
          guard: { issuers: [genericOAuth2({ issuer })], audience: 'things-api', clients: ['billing'] },
          globalGuard: true,
        }),
      ],
      controllers: [ThingsController],
    };
  }
}

// Its tests.

const BILLING = { clientId: 'billing', audience: 'things-api', scopes: ['things.read'] };

describe('the example service', () => {
  let issuer: TestIssuer;
  let app: INestApplication;

  beforeAll(async () => {
    issuer = await TestIssuer.start();
    const module = await Test.createTestingModule({ imports: [AppModule.trusting(issuer.url)] }).compile();
    app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
  });
  afterAll(async () => {
    await app.close();
    await issuer.close();
  });

  const as = async (options: TestTokenOptions) => ({ authorization: `Bearer ${await issuer.tokenFor(options)}` });

  it('allows billing to read', async () => {
    const { status, body } = await request(app.getHttpServer())
      .get('/things')
      .set(await as(BILLING));
    expect([status, body]).toEqual([200, { for: 'billing' }]);
  });

  it('does not allow billing to write', async () => {
    const { status, headers } = await request(app.getHttpServer())
      .post('/things')
      .set(await as(BILLING));
    expect(status).toBe(403);
    expect(headers['www-authenticate']).toBe('Bearer error="insufficient_scope", scope="things.write"');
  });

  it('refuses every other client', async () => {
    const reporting = await as({ ...BILLING, clientId: 'reporting' });
    expect((await request(app.getHttpServer()).get('/things').set(reporting)).status).toBe(403);
    expect((await request(app.getHttpServer()).get('/things')).status).toBe(401);
  });

  it('withstands the attack suite', async () => {
    const report = await attackSuite(app, { issuer, accepted: BILLING, path: '/things' });
    expect(report.accepted).toEqual([]);
    expect(report.crashed).toEqual([]);
    expect(report.echoed).toEqual([]);
    expect(report.lured).toEqual([]);
  });
});
