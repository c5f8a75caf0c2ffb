import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import request from 'supertest';
import type { App } from 'supertest/types.js';
import { AppModule } from './../src/app.module.js';

describe('the reports service', () => {
  let issuer: TestIssuer;
  let billing: Server;
  const billingSaw: (string | undefined)[] = [];
  let app: INestApplication<App>;

  beforeAll(async () => {
    issuer = await TestIssuer.start();
    issuer.publish('/token', { access_token: 'token-of-reports', token_type: 'Bearer', expires_in: 3600 });
    billing = createServer(({ headers }, response) => {
      billingSaw.push(headers.authorization);
      response.setHeader('content-type', 'application/json').end('[{"amount":40},{"amount":2}]');
    });
    await new Promise<void>((resolve) => billing.listen(0, '127.0.0.1', resolve));
    Object.assign(process.env, {
      ISSUER_URL: issuer.url,
      TOKEN_ENDPOINT: `${issuer.url}/token`,
      BILLING_URL: `http://127.0.0.1:${(billing.address() as AddressInfo).port}`,
      CLIENT_SECRET: 'secret-of-reports',
    });
    const module = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = module.createNestApplication();
    await app.init();
  });

  afterAll(async () => {
    await app.close();
    await issuer.close();
    billing.close();
    billing.closeAllConnections();
  });

  const tokenOf = (clientId: string, ...scopes: string[]) =>
    issuer.tokenFor({ clientId, audience: 'reports-api', scopes });

  it('answers a client that it knows, and calls the billing service with its own token', async () => {
    await request(app.getHttpServer())
      .get('/reports/total')
      .auth(await tokenOf('dashboard', 'reports.read'), { type: 'bearer' })
      .expect(200)
      .expect({ total: 42, for: 'dashboard' });
    expect(billingSaw).toEqual(['Bearer token-of-reports']);
  });

  it('refuses calls without a token, of other clients, and without the scope', async () => {
    const total = () => request(app.getHttpServer()).get('/reports/total');
    await total().expect(401);
    await total()
      .auth(await tokenOf('stranger', 'reports.read'), { type: 'bearer' })
      .expect(403);
    await total()
      .auth(await tokenOf('dashboard'), { type: 'bearer' })
      .expect(403);
  });

  it('answers every caller on a public route', () => request(app.getHttpServer()).get('/health').expect(200, 'ok'));
});
