import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ConsoleLogger, type LoggerService, type LogLevel } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { bearer, guardedModule } from './guarded-app.js';

let issuer: TestIssuer;
before(async () => {
  issuer = await TestIssuer.start();
});
after(() => issuer.close());

const kept: string[] = [];
const keep = (line: unknown) => void kept.push(String(line));
const ownLogger: LoggerService = { log: keep, warn: keep, error: keep, debug: keep };

/** In this order: a logger stays in place for the applications after it that name none, or levels alone. */
const CASES: readonly (readonly [string, LoggerService | LogLevel[] | undefined, number])[] = [
  ['by default', undefined, 1],
  ['with a list of levels that has debug', ['error', 'debug'], 1],
  ['with a list of levels that lacks debug', ['error', 'warn', 'log'], 0],
  ['with a console logger of some levels', new ConsoleLogger({ logLevels: ['debug'] }), 1],
  ['with a logger of the application', ownLogger, 1],
];

for (const [name, logger, lines] of CASES) {
  test(`host-2: the log has ${lines} line for a refused call ${name}, and none for accepted calls`, async () => {
    kept.length = 0;
    const { write } = process.stdout;
    process.stdout.write = (...args: [never]) => {
      if (typeof args[0] === 'string') keep(args[0]);
      return write.apply(process.stdout, args);
    };
    const app = await NestFactory.create(guardedModule(issuer), logger && { logger });
    try {
      await app.listen(0, '127.0.0.1');
      const call = async (authorization?: string) =>
        (await fetch(`${await app.getUrl()}/things`, { headers: authorization ? { authorization } : {} })).status;
      // Keys are read with the first token.
      assert.equal(await call(await bearer(issuer)), 200);
      kept.length = 0;
      for (let times = 0; times < 3; times++) assert.equal(await call(await bearer(issuer)), 200);
      assert.equal(kept.join(''), '');
      assert.equal(await call(), 401);
      assert.equal(
        kept.filter((line) => line.includes('guard refused HTTP GET /things: credential_missing')).length,
        lines,
      );
    } finally {
      await app.close();
      process.stdout.write = write;
    }
  });
}
