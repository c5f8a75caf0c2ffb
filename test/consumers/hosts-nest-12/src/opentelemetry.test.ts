import './opentelemetry-tracing.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NestFactory } from '@nestjs/core';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { bearer, guardedModule } from './guarded-app.js';

test('host-1: each route keeps its rules under @opentelemetry/instrumentation-nestjs-core', async () => {
  const issuer = await TestIssuer.start();
  const app = await NestFactory.create(guardedModule(issuer), { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const status = async (path: string, authorization?: string) =>
    (await fetch(url + path, { headers: authorization === undefined ? {} : { authorization } })).status;
  try {
    assert.equal(await status('/things', await bearer(issuer)), 200);
    assert.equal(await status('/things', await bearer(issuer, [])), 403);
    assert.equal(await status('/things'), 401);
    assert.equal(await status('/health'), 200);
  } finally {
    await app.close();
    await issuer.close();
  }
});
