import { z } from 'zod';
import { field } from '../foundation/option-check.js';
import { type AccessTokenProfile, allOf, absent, type KnownIssuer } from './identity-provider.js';
import { hostName, hostOf, presetFaults } from './preset-options.js';

export interface CognitoOptions {
  /** Identifier of the user pool, which names its region: `eu-west-1_AbCdEf123`. */
  readonly userPoolId: string;
  /** Domain of the user pool's token endpoint. Default: discovered through the pool's metadata. */
  readonly domain?: string;
}

const schema = z.strictObject({
  userPoolId: field<string>(
    'a user pool ID, such as eu-west-1_AbCdEf123',
    (value) => typeof value === 'string' && /^[a-z]{2}(?:-[a-z]+)+-\d_[A-Za-z0-9]+$/.test(value),
  ),
  domain: hostName('the domain of the user pool').optional(),
});

/**
 * A user pool of Amazon Cognito.
 *
 * Its access tokens have no audience, so a token for one API is valid for all of them. The guard's options must name
 * the clients. Require scopes (`resource server/scope`) to tell one API from another: the guard can't check `audience`
 * for these tokens.
 */
export function cognito(options: CognitoOptions): KnownIssuer {
  const { userPoolId, domain } = options;
  const region = /^[^_]*/.exec(userPoolId)?.[0];
  const issuer = `https://cognito-idp.${region}.amazonaws.com/${userPoolId}`;
  const endpoints = domain === undefined ? undefined : `https://${hostOf(domain)}/oauth2`;
  return {
    name: 'Amazon Cognito',
    issuer,
    tokenEndpoint: endpoints && `${endpoints}/token`,
    revocationEndpoint: endpoints && `${endpoints}/revoke`,
    clientSecretMethod: 'client_secret_basic',
    jwksUri: `${issuer}/.well-known/jwks.json`,
    accessToken: ACCESS_TOKEN,
    faults: (http) => presetFaults(options, schema, [], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: ['RS256'],
  tokenTypes: [undefined, 'jwt'],
  clientIdClaims: ['client_id'],
  requiredClaims: ['token_use', 'client_id', 'iat'],
  isAccessToken: allOf({ claim: 'token_use', expected: 'access', holds: ({ token_use: use }) => use === 'access' }),
  isMachine: allOf(absent('username'), {
    claim: 'sub',
    expected: 'equal to client_id',
    holds: (claims) => claims.sub === claims.client_id,
  }),
  requiresNamedClients: true,
  hasNoAudience: true,
};
