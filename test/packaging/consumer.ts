// An application as a user of the published package writes it. Compiled and run against each supported set of peers.
import 'reflect-metadata';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpService } from '@nestjs/axios';
import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { genericOAuth2, IdentityM2MModule, Public, RequireScopes, TokenProvider } from 'nestjs-identity-m2m';

@Injectable()
class Consumer {
  constructor(
    readonly http: HttpService,
    readonly tokens: TokenProvider,
  ) {}
}

@Controller()
class Routes {
  @Get('guarded')
  @RequireScopes('read')
  guarded() {
    return 'guarded';
  }

  @Get('open')
  @Public()
  open() {
    return 'open';
  }
}

async function main(): Promise<void> {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify(request.url === '/token' ? { access_token: 'abc', token_type: 'bearer', expires_in: 60 } : {}),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  @Module({
    imports: [
      IdentityM2MModule.forRoot({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: `${origin}/token` }),
          clientId: 'id',
          clientSecret: 'secret',
          allowedOrigins: [origin],
        },
        guard: { issuers: [genericOAuth2({ issuer: origin })], audience: 'api' },
        globalGuard: true,
      }),
    ],
    controllers: [Routes],
    providers: [Consumer],
  })
  class AppModule {}

  const app = await NestFactory.create(AppModule, { logger: false });
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const consumer = app.get(Consumer);
  await consumer.http.axiosRef.get(`${origin}/api`);
  const found = {
    tokenSent: seen.at(-1),
    isNestHttpService: consumer.http instanceof HttpService,
    fingerprint: String(await consumer.tokens.getToken()),
    guarded: (await fetch(`${url}/guarded`)).status,
    open: (await fetch(`${url}/open`)).status,
  };
  await app.close();
  server.close();
  server.closeAllConnections();
  console.log(JSON.stringify(found));
}

void main();
