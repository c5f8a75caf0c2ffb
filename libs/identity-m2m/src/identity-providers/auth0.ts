import { z } from 'zod';
import { type AccessTokenProfile, allOf, type KnownIssuer } from './identity-provider.js';
import { hostName, hostOf, presetFaults } from './preset-options.js';

export interface Auth0Options {
  /** Domain of the tenant: `acme.eu.auth0.com`, or a custom domain. */
  readonly domain: string;
}

const schema = z.strictObject({ domain: hostName('a domain, such as acme.eu.auth0.com') });

/** An Auth0 tenant. Set `audience` in the client's options to name the API that the token is for. */
export function auth0(options: Auth0Options): KnownIssuer {
  const origin = `https://${hostOf(options.domain)}`;
  return {
    name: 'Auth0',
    // The tenant's tokens have the trailing slash, and issuers are compared exactly.
    issuer: `${origin}/`,
    tokenEndpoint: `${origin}/oauth/token`,
    revocationEndpoint: `${origin}/oauth/revoke`,
    clientSecretMethod: 'client_secret_post',
    jwksUri: `${origin}/.well-known/jwks.json`,
    accessToken: ACCESS_TOKEN,
    faults: (http) => presetFaults(options, schema, [], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: ['RS256', 'PS256'],
  tokenTypes: ['jwt', 'at+jwt'],
  // The token dialect of the API decides which of the two a token has.
  clientIdClaims: ['azp', 'client_id'],
  requiredClaims: ['sub', 'iat'],
  isMachine: allOf(
    {
      claim: 'sub',
      // The subject of a person starts with the name of a connection and a vertical bar.
      expected: '<client id>@clients',
      holds: ({ sub, azp, client_id: clientId }) => {
        const client = azp ?? clientId;
        return typeof client === 'string' && sub === `${client}@clients`;
      },
    },
    {
      claim: 'gty',
      expected: 'client-credentials, or none',
      holds: ({ gty }) => gty === undefined || gty === 'client-credentials',
    },
  ),
};
