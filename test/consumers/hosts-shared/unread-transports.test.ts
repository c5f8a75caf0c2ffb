import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import type { INestApplication, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  AbstractGraphQLDriver,
  type GqlModuleOptions,
  GraphQLModule,
  GraphQLSchemaHost,
  Query,
  Resolver,
} from '@nestjs/graphql';
import { WsAdapter } from '@nestjs/platform-ws';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { graphql } from 'graphql';
import { AccessDecisions, Public } from 'nestjs-identity-m2m';
import { TestIssuer } from 'nestjs-identity-m2m/testing';
import { WebSocket } from 'ws';
import { bearer, guardedModule } from './guarded-app.js';

@Resolver()
class ThingsResolver {
  @Query(() => String)
  things() {
    return 'things';
  }
}

@WebSocketGateway()
class ThingsGateway {
  listed = 0;

  @SubscribeMessage('list')
  list() {
    this.listed++;
  }

  @SubscribeMessage('open')
  @Public()
  open() {
    return { event: 'opened', data: 'open' };
  }
}

/** Makes the schema, and serves it nowhere. */
class SchemaDriver extends AbstractGraphQLDriver {
  async start(_options: GqlModuleOptions) {}
  async stop() {}
}

describe('GraphQL and WebSockets, which the guard does not read yet', () => {
  const warnings: string[] = [];
  const warn = (line: unknown) => void warnings.push(String(line));
  const logger: LoggerService = { log: () => {}, warn, error: warn };
  let issuer: TestIssuer;
  let app: INestApplication;
  before(async () => {
    issuer = await TestIssuer.start();
    const module = guardedModule(issuer);
    app = await NestFactory.create(
      {
        ...module,
        imports: [...(module.imports ?? []), GraphQLModule.forRoot({ driver: SchemaDriver, autoSchemaFile: true })],
        providers: [...(module.providers ?? []), ThingsResolver, ThingsGateway],
      },
      { logger },
    );
    app.useWebSocketAdapter(new WsAdapter(app));
    await app.listen(0, '127.0.0.1');
  });
  after(async () => {
    await app.close();
    await issuer.close();
  });

  test('host-8: the boot names their handlers', () => {
    assert.equal(warnings.length, 1, warnings.join('\n'));
    assert.match(warnings[0]!, /guard refuses every call of .*ThingsResolver\.things/);
    assert.match(warnings[0]!, /ThingsGateway\.list/);
  });

  test('host-8: a query is refused, even with a valid token', async () => {
    const { schema } = app.get(GraphQLSchemaHost, { strict: false });
    const headers = { authorization: await bearer(issuer) };
    const { data, errors } = await graphql({ schema, source: '{ things }', contextValue: { req: { headers } } });
    assert.equal(data, null);
    assert.equal(errors?.length, 1);
  });

  test(
    'host-8: a WebSocket message is refused, even with a valid token, unless its handler is public',
    { timeout: 10_000 },
    async (t) => {
      const socket = new WebSocket((await app.getUrl()).replace('http', 'ws'), {
        headers: { authorization: await bearer(issuer) },
      });
      t.after(() => socket.terminate());
      await once(socket, 'open');
      const refused = new Promise<string>((resolve) =>
        app.get(AccessDecisions, { strict: false }).events.subscribe((event) => {
          if (event.type === 'caller.refused') resolve(event.reason);
        }),
      );
      socket.send(JSON.stringify({ event: 'list', data: {} }));
      assert.equal(await refused, 'transport_unknown');
      const isOpened = (data: Buffer) => (JSON.parse(data.toString()) as { event: string }).event === 'opened';
      const opened = new Promise<void>((resolve) =>
        socket.on('message', (data: Buffer) => isOpened(data) && resolve()),
      );
      socket.send(JSON.stringify({ event: 'open', data: {} }));
      await opened;
      assert.equal(app.get(ThingsGateway).listed, 0);
    },
  );
});
