// Uses the entries besides the root one, from an application that has their peers installed.
import { ClientTCP } from '@nestjs/microservices';
import {
  AccessToken,
  bearerFetch,
  IdentityM2MConfigurationError,
  IdentityM2MError,
  TokenProvider,
} from 'nestjs-identity-m2m';
import { attachToken, ClientProxyConfigurationError } from 'nestjs-identity-m2m/microservices';
import { FixedTokenProvider, TestIssuer } from 'nestjs-identity-m2m/testing';
import { bearerInterceptor } from 'nestjs-identity-m2m/undici';
import { Agent, request } from 'undici';

async function use(): Promise<void> {
  const issuer = await TestIssuer.start();
  const provider = new FixedTokenProvider('abc', { allowedOrigins: [issuer.url] });
  const dispatcher = new Agent().compose(bearerInterceptor(provider));
  const { statusCode, body } = await request(issuer.jwksUri, { dispatcher });
  await body.dump();
  await dispatcher.close();
  const { status } = await bearerFetch(provider)(issuer.jwksUri);
  let fault = 'none';
  try {
    attachToken(new ClientTCP({}), provider);
  } catch (error) {
    // Packets of Nest 11 have no place for a token.
    fault = (error as { fault: string }).fault;
  }
  await issuer.close();
  // A class that entries share is one class.
  const shared = {
    microservices: ClientProxyConfigurationError.prototype instanceof IdentityM2MError,
    testing: provider instanceof TokenProvider && (await provider.getToken()) instanceof AccessToken,
    undici:
      errorOf(() => bearerInterceptor(provider, { origin: 'no address' })) instanceof IdentityM2MConfigurationError,
  };
  if (Object.values(shared).includes(false)) throw new Error(JSON.stringify(shared));
  if (statusCode !== 200 || status !== 200 || !['none', 'no_place_for_token'].includes(fault)) {
    throw new Error(JSON.stringify({ statusCode, status, fault }));
  }
}

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

void use();
