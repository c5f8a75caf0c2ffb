import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import awsLambdaFastify from '@fastify/aws-lambda';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { configure as serverlessExpress } from '@vendia/serverless-express';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import serverless from 'serverless-http';
import { bearer, guardedModule } from './guarded-app.js';

interface LambdaAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
type Lambda = (event: object) => Promise<LambdaAnswer>;

const newExpress = (issuer: TestIssuer) => NestFactory.create(guardedModule(issuer), { logger: ['error', 'warn'] });
const newFastify = (issuer: TestIssuer) =>
  NestFactory.create<NestFastifyApplication>(guardedModule(issuer), new FastifyAdapter(), {
    logger: ['error', 'warn'],
  });

const withServerlessHttp = (app: INestApplication): Lambda => {
  const handler = serverless(app.getHttpAdapter().getInstance());
  return async (event) => (await handler(event, {})) as LambdaAnswer;
};

const withVendia = (app: INestApplication): Lambda => {
  const handler = serverlessExpress({ app: app.getHttpAdapter().getInstance() }) as unknown as (
    ...args: unknown[]
  ) => Promise<LambdaAnswer>;
  return (event) => handler(event, {}, () => {});
};

/** Each host, on the platforms that it serves. */
const HOSTS: readonly (readonly [
  string,
  (issuer: TestIssuer) => Promise<INestApplication>,
  (app: INestApplication) => Lambda,
])[] = [
  ['serverless-http on Express', newExpress, withServerlessHttp],
  ['serverless-http on Fastify', newFastify, withServerlessHttp],
  ['@vendia/serverless-express on Express', newExpress, withVendia],
  [
    '@fastify/aws-lambda on Fastify',
    newFastify,
    (app) => {
      const handler = awsLambdaFastify((app as NestFastifyApplication).getHttpAdapter().getInstance());
      return async (event) => (await handler(event, {} as never)) as LambdaAnswer;
    },
  ],
];

/** An event of API Gateway, payload format 2.0. */
const httpEvent = (path: string, headers: Record<string, string>) => ({
  version: '2.0',
  routeKey: '$default',
  rawPath: path,
  rawQueryString: '',
  headers,
  requestContext: { http: { method: 'GET', path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1' }, stage: '$default' },
  isBase64Encoded: false,
});

let issuer: TestIssuer;
before(async () => {
  issuer = await TestIssuer.start();
});
after(() => issuer.close());

for (const [host, newApp, lambdaOf] of HOSTS) {
  describe(host, () => {
    let app: INestApplication;
    let call: Lambda;
    before(async () => {
      app = await newApp(issuer);
      await app.init();
      call = lambdaOf(app);
    });
    after(() => app.close());

    test('in-F1: a valid token is allowed', async () => {
      const { statusCode, body } = await call(httpEvent('/things', { authorization: await bearer(issuer) }));
      assert.deepEqual([statusCode, JSON.parse(body)], [200, { for: 'billing' }]);
      assert.equal((await call(httpEvent('/things', { Authorization: await bearer(issuer) }))).statusCode, 200);
    });

    test('in-F1: every other call is refused', async () => {
      const good = await bearer(issuer);
      const status = async (headers: Record<string, string>) => (await call(httpEvent('/things', headers))).statusCode;
      assert.equal(await status({}), 401);
      assert.equal(await status({ authorization: 'Bearer e30.e30.AAAA' }), 401);
      assert.equal(await status({ authorization: await bearer(issuer, []) }), 403);
      // Two values of one header reach a function as one, with a comma between them.
      assert.equal(await status({ authorization: `${good},${good}` }), 400);
    });

    test('in-F1: a refusal has its challenge', async () => {
      const { headers } = await call(httpEvent('/things', {}));
      assert.equal(headers['www-authenticate'], 'Bearer');
      assert.equal((await call(httpEvent('/health', {}))).statusCode, 200);
    });
  });
}
