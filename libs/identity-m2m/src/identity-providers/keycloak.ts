import { z } from 'zod';
import { type AccessTokenProfile, allOf, type Claims, no, SIGNATURE_ALGORITHMS } from './access-token-profile.js';
import type { IdentityProvider } from './identity-provider.js';
import { pathSegment, presetFaults, withoutTrailingSlash } from './preset-options.js';

export interface KeycloakOptions {
  /** Address of the server as its tokens name it, with its relative path where it has one: `https://id.example/auth`. */
  readonly url: string;
  readonly realm: string;
}

const schema = z.strictObject({ url: z.unknown().optional(), realm: pathSegment('the name of a realm') });

/**
 * A realm of Keycloak.
 *
 * Tokens are for the audience `account` until the client has an audience mapper for your API. Clients must be named in
 * the guard's options: anybody who may register users could make one that is called like a service account. Their tokens
 * need the claims of the client scope `service_account` (before version 24: of the client's own mappers) or those of
 * `profile`: without, a machine can't be told from a person.
 */
export function keycloak(options: KeycloakOptions): IdentityProvider {
  const issuer = `${withoutTrailingSlash(options.url)}/realms/${encodeURIComponent(options.realm)}`;
  const endpoints = `${issuer}/protocol/openid-connect`;
  return {
    name: 'Keycloak',
    issuer,
    tokenEndpoint: `${endpoints}/token`,
    revocationEndpoint: `${endpoints}/revoke`,
    introspectionEndpoint: `${endpoints}/token/introspect`,
    clientSecretMethod: 'client_secret_basic',
    tokenRequestHeaders: {},
    jwksUri: `${endpoints}/certs`,
    accessToken: ACCESS_TOKEN,
    faults: (http) => presetFaults(options, schema, ['url'], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: SIGNATURE_ALGORITHMS,
  tokenTypes: ['jwt', 'at+jwt'],
  // `clientId` is how versions before 24 wrote it.
  clientIdClaims: ['azp', 'client_id', 'clientId'],
  requiredClaims: ['azp', 'iat'],
  foreignClaims: [],
  // ID, refresh, logout and other tokens of a realm have another `typ` among their claims.
  isAccessToken: allOf({ claim: 'typ', expected: 'Bearer', holds: ({ typ }) => typ === 'Bearer' }),
  isMachine: allOf(
    no('sid'),
    no('session_state'),
    { claim: 'azp', expected: 'a client id', holds: ({ azp }) => typeof azp === 'string' },
    {
      claim: 'preferred_username',
      expected: 'service-account-<azp>; or none, and client_id equal to azp',
      holds: isServiceAccount,
    },
  ),
  requiresNamedClients: true,
};

/**
 * A person has a session, but not in a token that a client has exchanged: so it has to be shown that there is none. The
 * user behind a client has a name that is made of the client's, in lower case; and only a token of its own repeats the
 * client beside `azp`.
 */
function isServiceAccount(claims: Claims): boolean {
  const { preferred_username: userName, azp, client_id: client = claims.clientId } = claims;
  return userName === undefined ? client === azp : userName === `service-account-${String(azp).toLowerCase()}`;
}
