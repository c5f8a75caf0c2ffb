import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { bearer, CalledHandlers, guardedModule, Things } from './guarded-app.js';

/**
 * Checks the rules of routes under an instrumentation, which has to be in place already.
 *
 * @param options.imports Modules that belong to the instrumentation.
 * @param options.isWrapping Whether it puts functions of its own in place of handlers.
 */
export function testKeepsItsRules(
  instrumentation: string,
  { imports = [], isWrapping = true }: { imports?: ModuleMetadata['imports']; isWrapping?: boolean } = {},
): void {
  test(`host-1: each route keeps its rules under ${instrumentation}`, async () => {
    const issuer = await TestIssuer.start();
    const calls = new CalledHandlers();
    const module = guardedModule(issuer, calls);
    const withImports = { ...module, imports: [...imports, ...(module.imports ?? [])] };
    const app = await NestFactory.create(withImports, { logger: ['error', 'warn'] });
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const status = async (path: string, authorization?: string) =>
      (await fetch(url + path, { headers: authorization === undefined ? {} : { authorization } })).status;
    try {
      assert.equal(await status('/things', await bearer(issuer)), 200);
      assert.equal(await status('/things', await bearer(issuer, [])), 403);
      assert.equal(await status('/things'), 401);
      assert.equal(await status('/health'), 200);
      assert.equal(calls.functions.size, 2);
      for (const handler of [Things.prototype.list, Things.prototype.health]) {
        assert.equal(calls.functions.has(handler), !isWrapping, 'whether the handler is wrapped');
      }
    } finally {
      await app.close();
      await issuer.close();
    }
  });
}
