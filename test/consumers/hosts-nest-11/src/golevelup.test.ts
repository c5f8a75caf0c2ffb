import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import {
  AmqpConnection,
  MessageHandlerErrorBehavior,
  RabbitMQModule,
  RabbitRPC,
  RabbitSubscribe,
  type RabbitMQConfig,
} from '@golevelup/nestjs-rabbitmq';
import { type INestApplication, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Caller,
  genericOAuth2,
  IdentityM2MModule,
  AccessDecisions,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { isBrokerThere } from './broker.js';
import { AUDIENCE, bearer } from './guarded-app.js';

/** No two runs meet on the broker. */
const EXCHANGE = `things-${randomBytes(4).toString('hex')}`;

/** amqplib passes plain objects, so this class recognises a message by its members. */
class ConsumeMessage {
  readonly properties!: { readonly headers?: Readonly<Record<string, unknown>> };

  static readonly [Symbol.hasInstance] = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && 'fields' in value && 'properties' in value;
}

/** Answers a refused request with what the guard throws. Left to itself the package would requeue it for ever. */
const answerRefusal: RabbitMQConfig['defaultRpcErrorHandler'] = (channel, message, error) => {
  for (const each of Array.isArray(message) ? message : [message]) {
    const { replyTo, correlationId } = each.properties as { replyTo: string; correlationId: string };
    channel.publish('', replyTo, Buffer.from(JSON.stringify({ refused: error.getStatus() })), { correlationId });
    channel.ack(each);
  }
};

@Injectable()
class Things {
  readonly events = new EventEmitter();

  @RabbitRPC({ exchange: EXCHANGE, routingKey: 'list', queue: `${EXCHANGE}.list`, queueOptions: { autoDelete: true } })
  @RequireScopes('things.read')
  list(payload: object, ..._more: unknown[]) {
    return { listed: payload };
  }

  @RabbitRPC({ exchange: EXCHANGE, routingKey: 'who', queue: `${EXCHANGE}.who`, queueOptions: { autoDelete: true } })
  who(@Caller() caller: MachineCaller) {
    return { for: caller.clientId };
  }

  @RabbitRPC({ exchange: EXCHANGE, routingKey: 'open', queue: `${EXCHANGE}.open`, queueOptions: { autoDelete: true } })
  @Public()
  open() {
    return 'open';
  }

  @RabbitSubscribe({
    exchange: EXCHANGE,
    routingKey: 'note',
    queue: `${EXCHANGE}.note`,
    queueOptions: { autoDelete: true },
  })
  note(payload: unknown) {
    this.events.emit('note', payload);
  }
}

async function main() {
  if (!(await isBrokerThere('@golevelup/nestjs-rabbitmq'))) return;

  describe('@golevelup/nestjs-rabbitmq', () => {
    let issuer: TestIssuer;
    let app: INestApplication;
    let amqp: AmqpConnection;
    before(async () => {
      issuer = await TestIssuer.start();
      @Module({
        imports: [
          IdentityM2MModule.forRoot({
            guard: {
              issuers: [genericOAuth2({ issuer: issuer.url })],
              audience: AUDIENCE,
              extractors: [
                {
                  transport: 'golevelup',
                  context: ConsumeMessage,
                  authorization: ({ properties }: ConsumeMessage) =>
                    Object.entries(properties.headers ?? {})
                      .filter(([name]) => name.toLowerCase() === 'authorization')
                      .map(([, value]) => value),
                },
              ],
            },
            globalGuard: true,
          }),
          RabbitMQModule.forRoot({
            uri: 'amqp://guest:guest@127.0.0.1:5672',
            exchanges: [{ name: EXCHANGE, type: 'topic', options: { autoDelete: true } }],
            connectionInitOptions: { wait: true },
            defaultRpcErrorHandler: answerRefusal,
            defaultSubscribeErrorBehavior: MessageHandlerErrorBehavior.NACK,
          }),
        ],
        providers: [Things],
      })
      class AppModule {}
      app = await NestFactory.create(AppModule, { logger: false });
      await app.init();
      amqp = app.get(AmqpConnection);
    });
    after(async () => {
      await app.close();
      await issuer.close();
    });

    const request = (routingKey: string, headers: Record<string, string>, payload: object = {}) =>
      amqp.request<unknown>({ exchange: EXCHANGE, routingKey, payload, headers, timeout: 3000 });

    test('in-F16: a handler runs for a valid token', async () => {
      const authorization = await bearer(issuer);
      assert.deepEqual(await request('list', { authorization }, { a: 1 }), { listed: { a: 1 } });
    });

    test('in-F16: every other request is refused', async () => {
      const good = await bearer(issuer);
      assert.deepEqual(await request('list', {}), { refused: 401 });
      assert.deepEqual(await request('list', { authorization: 'Bearer e30.e30.AAAA' }), { refused: 401 });
      assert.deepEqual(await request('list', { authorization: await bearer(issuer, []) }), { refused: 403 });
      // The payload is never a place for a token, also where it looks like a message.
      const lookalike = { fields: {}, properties: { headers: { authorization: good } } };
      assert.deepEqual(await request('list', {}, lookalike), { refused: 401 });
    });

    test('in-F16: a public handler runs without a token', async () => {
      assert.equal(await request('open', {}), 'open');
    });

    test('in-F16: an event without a token reaches no handler, and the next one does', async () => {
      const things = app.get(Things);
      const seen: unknown[] = [];
      things.events.on('note', (payload) => seen.push(payload));
      const refused = new Promise<string>((resolve) =>
        app.get(AccessDecisions).events.subscribe((event) => {
          if (event.type === 'caller.refused') resolve(`${event.transport}: ${event.reason}`);
        }),
      );
      await amqp.publish(EXCHANGE, 'note', 'without a token');
      assert.equal(await refused, 'golevelup: credential_missing');
      const next = once(things.events, 'note');
      await amqp.publish(EXCHANGE, 'note', 'with a token', { headers: { authorization: await bearer(issuer) } });
      await next;
      assert.deepEqual(seen, ['with a token']);
    });

    test('in-F16: a handler knows its caller', async () => {
      assert.deepEqual(await request('who', { authorization: await bearer(issuer) }), { for: 'billing' });
    });
  });
}

void main();
