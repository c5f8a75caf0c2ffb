import { generateKeyPairSync } from 'node:crypto';
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { IdentityM2MModule, TokenProvider } from 'nestjs-identity-m2m';

/** Common names, which a form encoder that escapes more than necessary would change. */
export const CLIENT_ID = 'svc-client';
export const CLIENT_SECRET = 'no-secret-01';
/** The API that tokens are for, if clients of the server can name it. */
export const AUDIENCE = 'https://api.example';

/** The key of the client `<id>-key`, which has no secret. */
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
export const CLIENT_KEY = { ...privateKey.export({ format: 'jwk' }), kid: 'client-key' };
export const CLIENT_KEYS = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'client-key', alg: 'RS256' }] };

/** Runs something with the token provider of a client, in a Nest application of its own. */
export async function withTokens(client, use) {
  const module = IdentityM2MModule.forRoot({
    client: { clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, allowedOrigins: [AUDIENCE], ...client },
  });
  const application = await NestFactory.createApplicationContext(module, { logger: false });
  try {
    return await use(application.get(TokenProvider, { strict: false }));
  } finally {
    await application.close();
  }
}

/** Returns a token that a client with these options gets. */
export function tokenOf(client) {
  return withTokens(client, async (tokens) => (await tokens.getToken()).reveal());
}
