import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Controller, type LoggerService, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { genericOAuth2, IdentityM2MModule } from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';

@Controller()
class Messages {
  @MessagePattern('list')
  list() {
    return 'listed';
  }
}

test('host-12: a warning at boot reports that packets of Nest 11 have no place for a token by TCP', async () => {
  const issuer = await TestIssuer.start();
  @Module({
    imports: [
      IdentityM2MModule.forRoot({
        guard: { issuers: [genericOAuth2({ issuer: issuer.url })], audience: 'things-api' },
        globalGuard: true,
      }),
    ],
    controllers: [Messages],
  })
  class AppModule {}
  const said: string[] = [];
  const say = (line: unknown) => void said.push(String(line));
  const logger: LoggerService = { log: () => {}, warn: say, error: say };
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(AppModule, {
    transport: Transport.TCP,
    options: { host: '127.0.0.1', port: 0 },
    logger,
  });
  try {
    await app.listen();
    assert.equal(said.length, 1);
    assert.match(said[0]!, /Messages\.list/);
    assert.match(said[0]!, /by TCP: this version of @nestjs\/microservices drops the metadata of packets/);
  } finally {
    await app.close();
    await issuer.close();
  }
});
