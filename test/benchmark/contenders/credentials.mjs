import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { HttpService } from '@nestjs/axios';
import { genericOAuth2, IdentityM2MModule, TokenProvider } from 'nestjs-identity-m2m';

export const CLIENT_ID = 'benchmark';
export const CLIENT_SECRET = 'benchmark-secret';

/** A token for those clients that have theirs in a field. */
export async function fetchToken({ tokenEndpoint }) {
  const response = await fetch(tokenEndpoint, { method: 'POST' });
  return (await response.json()).access_token;
}

/** The library in a Nest application, as its README has it. */
export async function identityM2M({ tokenEndpoint, api, adapter }) {
  const module = IdentityM2MModule.forRoot({
    client: {
      identityProvider: genericOAuth2({ tokenEndpoint }),
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      allowedOrigins: [api],
      http: { baseURL: api, validateStatus: () => true, ...(adapter && { adapter }) },
    },
  });
  const app = await NestFactory.createApplicationContext(module, { logger: false });
  const provider = app.get(TokenProvider, { strict: false });
  return {
    provider,
    http: app.get(HttpService, { strict: false }),
    token: () => provider.getToken(),
    close: () => app.close(),
  };
}
