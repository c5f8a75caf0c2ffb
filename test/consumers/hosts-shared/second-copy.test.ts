import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NestFactory } from '@nestjs/core';
import { RequireScopes } from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { bearer, guardedModule } from './guarded-app.js';

const PACKAGE = join('node_modules', 'nestjs-identity-m2m');

test('in-F21: decorators of a second copy of the package work with the guard of the first', async () => {
  cpSync(PACKAGE, join('dist', 'copy', PACKAGE), { recursive: true });
  const copied = await import('./copy/copied.js');
  assert.notEqual(copied.RequireScopes, RequireScopes, 'it is another copy');

  const issuer = await TestIssuer.start();
  const module = guardedModule(issuer);
  const app = await NestFactory.create({ ...module, controllers: [copied.Copied] }, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  const call = async (path: string, authorization?: string) =>
    fetch((await app.getUrl()) + path, { headers: authorization === undefined ? {} : { authorization } });
  try {
    assert.equal((await call('/copied')).status, 401);
    assert.equal((await call('/copied', await bearer(issuer, []))).status, 403);
    assert.equal((await call('/copied/health')).status, 200);
    assert.deepEqual(await (await call('/copied', await bearer(issuer))).json(), { for: 'billing' });
  } finally {
    await app.close();
    await issuer.close();
  }
});
