import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Controller, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  MessagePattern,
  type MicroserviceOptions,
  RmqRecordBuilder,
  Transport,
} from '@nestjs/microservices';
import { Caller, type MachineCaller, Public, RequireScopes } from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { firstValueFrom } from 'rxjs';
import { isBrokerThere } from './broker.js';
import { bearer, guardedModule } from './guarded-app.js';

@Controller()
class Messages {
  @MessagePattern('list')
  @RequireScopes('things.read')
  list(_data: unknown, @Caller() caller: MachineCaller) {
    return { for: caller.clientId };
  }

  @MessagePattern('open')
  @Public()
  open() {
    return 'open';
  }
}

async function main() {
  if (!(await isBrokerThere('@nestjs/microservices'))) return;

  describe('RabbitMQ with Nest 11', () => {
    const options: MicroserviceOptions = {
      transport: Transport.RMQ,
      options: {
        urls: ['amqp://guest:guest@127.0.0.1:5672'],
        // No two runs meet on the broker.
        queue: `things-${randomBytes(4).toString('hex')}`,
        queueOptions: { autoDelete: true },
        noAck: false,
      },
    };
    let issuer: TestIssuer;
    let app: INestApplication;
    let client: ClientProxy;
    before(async () => {
      issuer = await TestIssuer.start();
      const module = guardedModule(issuer);
      app = await NestFactory.create({ ...module, controllers: [Messages] }, { logger: ['error', 'warn'] });
      app.connectMicroservice(options);
      await app.startAllMicroservices();
      await app.init();
      client = ClientProxyFactory.create({
        ...options,
        options: { ...options.options, noAck: true },
      } as typeof options);
    });
    after(async () => {
      await client.close();
      await app.close();
      await issuer.close();
    });

    const call = (pattern: string, headers: Record<string, string>) =>
      firstValueFrom(client.send<unknown>(pattern, new RmqRecordBuilder({}).setOptions({ headers }).build())).catch(
        ({ code }: { code: string }) => code,
      );

    test('host-6: a valid message is allowed, and all others are refused, on one channel', async () => {
      assert.equal(await call('list', {}), 'UNAUTHENTICATED');
      assert.equal(await call('list', { authorization: await bearer(issuer, []) }), 'PERMISSION_DENIED');
      assert.deepEqual(await call('list', { authorization: await bearer(issuer) }), { for: 'billing' });
      assert.equal(await call('open', {}), 'open');
    });
  });
}

void main();
