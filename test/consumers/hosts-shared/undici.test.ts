import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { genericOAuth2, IdentityM2MModule, TokenProvider } from 'nestjs-identity-m2m';
import { isNodeSince, skip } from './skipping.js';

/** Answers to the first token that leave nothing to read on a connection that ends. */
const REJECTIONS = [
  'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n',
  'HTTP/1.0 401 Unauthorized\r\n\r\n',
];

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const { version } = createRequire(join(process.cwd(), 'package.json'))('undici/package.json') as { version: string };
const isSupported = version.startsWith('7.') || isNodeSince(22, 19);
if (!isSupported) skip(`undici ${version} needs Node.js 22.19`);

describe(`undici ${version}`, { skip: !isSupported }, async () => {
  if (!isSupported) return;
  const { bearerInterceptor } = await import('nestjs-identity-m2m/undici');
  const { Agent, request } = await import('undici');

  let issued = 0;
  const tokenEndpoint = createHttpServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ access_token: `token-${++issued}`, token_type: 'Bearer', expires_in: 3600 }));
  });
  /** What calls with the first token get. */
  let rejection = '';
  const api = createServer((socket) => {
    let head = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const isFirst = head.includes('authorization: Bearer token-1\r\n');
      socket.end(isFirst ? rejection : 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  let tokenUrl: string;
  let apiUrl: string;
  before(async () => {
    [tokenUrl, apiUrl] = await Promise.all([listen(tokenEndpoint), listen(api)]);
  });
  after(() => {
    tokenEndpoint.close();
    api.close();
  });

  for (const answer of REJECTIONS) {
    test(`call-1, call-2: a call is sent again after ${JSON.stringify(answer)}`, async () => {
      rejection = answer;
      issued = 0;
      const app: INestApplicationContext = await NestFactory.createApplicationContext(
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: genericOAuth2({ tokenEndpoint: `${tokenUrl}/token` }),
            clientId: 'id',
            clientSecret: 'a-long-enough-secret',
            allowedOrigins: [apiUrl],
          },
        }),
        { logger: ['error', 'warn'] },
      );
      const dispatcher = new Agent().compose(bearerInterceptor(app.get(TokenProvider)));
      const { statusCode, body } = await request(apiUrl, { dispatcher });
      assert.deepEqual([statusCode, await body.text(), issued], [200, 'ok', 2]);
      await dispatcher.close();
      await app.close();
    });
  }
});
