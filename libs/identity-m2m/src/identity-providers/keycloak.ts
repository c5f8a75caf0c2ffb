import { z } from 'zod';
import { flag } from '../foundation/option-check.js';
import {
  type AccessTokenProfile,
  allOf,
  type ClaimCondition,
  type Claims,
  absent,
  SIGNATURE_ALGORITHMS,
  type KnownIssuer,
} from './identity-provider.js';
import { encodedSegment, pathSegment, presetFaults, withoutTrailingSlash } from './preset-options.js';

export interface KeycloakOptions {
  /**
   * Address of the server as it appears in its tokens, with the relative path if there is one:
   * `https://id.example/auth`.
   */
  readonly url: string;
  /** Name of the realm as the admin console shows it. Spaces and umlauts are percent-encoded for you. */
  readonly realm: string;
  /**
   * Whether the tokens of service accounts have a session (`sid`), as they do with the client setting *Use refresh
   * tokens for client credentials grant*. Default: false: the guard refuses a token with a session as `not_a_machine`,
   * because it belongs to a person, or was exchanged for the token of one.
   *
   * With true, a token with a session must name its client three times: in `azp`, in `client_id` and in the user name
   * `service-account-<azp>`. Prefer to turn the setting off at the client.
   */
  readonly serviceAccountSessions?: boolean;
  /**
   * Accepts tokens and introspection responses without `aud` for this API. An `aud` that is present must match.
   * Default: false. Prefer an audience mapper.
   */
  readonly hasNoAudience?: boolean;
  /**
   * Address of the key set inside your own network, such as
   * `http://keycloak:8080/realms/acme/protocol/openid-connect/certs`, if the guard can't reach `url`. It may be plain
   * http. `url` stays the issuer of the tokens. Default: the key set at `url`.
   */
  readonly internalJwksUri?: string;
}

const schema = z.strictObject({
  url: z.unknown().optional(),
  realm: pathSegment('the name of a realm'),
  serviceAccountSessions: flag.optional(),
  hasNoAudience: flag.optional(),
  internalJwksUri: z.unknown().optional(),
});

/**
 * A realm of Keycloak.
 *
 * Tokens have the audience `account` until the client has an audience mapper for your API. The guard's options must
 * name the clients: a user who may register users could register one with the name of a service account. Tokens need
 * the claims of the client scope `service_account` (before version 24, of the client's own mappers) or of `profile`.
 * Without them, the guard can't tell a machine from a person.
 */
export function keycloak(options: KeycloakOptions): KnownIssuer {
  const issuer = `${withoutTrailingSlash(options.url)}/realms/${encodedSegment(options.realm)}`;
  const endpoints = `${issuer}/protocol/openid-connect`;
  return {
    name: 'Keycloak',
    issuer,
    tokenEndpoint: `${endpoints}/token`,
    revocationEndpoint: `${endpoints}/revoke`,
    introspectionEndpoint: `${endpoints}/token/introspect`,
    clientSecretMethod: 'client_secret_basic',
    jwksUri: `${endpoints}/certs`,
    internalJwksUri: options.internalJwksUri,
    accessToken: accessToken(options),
    faults: (http) => presetFaults(options, schema, ['url'], http),
  };
}

function accessToken({ serviceAccountSessions, hasNoAudience }: KeycloakOptions): AccessTokenProfile {
  return {
    algorithms: SIGNATURE_ALGORITHMS,
    tokenTypes: ['jwt', 'at+jwt'],
    // Versions before 24 write `clientId`.
    clientIdClaims: ['azp', 'client_id', 'clientId'],
    requiredClaims: ['azp', 'iat'],
    // ID, refresh, logout and other tokens of a realm have another `typ` among their claims.
    isAccessToken: allOf({ claim: 'typ', expected: 'Bearer', holds: ({ typ }) => typ === 'Bearer' }),
    isMachine: allOf(
      ...SESSION_CLAIMS.map(serviceAccountSessions ? onlyOfServiceAccount : absent),
      { claim: 'azp', expected: 'a client id', holds: ({ azp }) => typeof azp === 'string' },
      {
        claim: 'preferred_username',
        expected: 'service-account-<azp>; or none, and client_id equal to azp',
        holds: isServiceAccount,
      },
    ),
    requiresNamedClients: true,
    hasNoAudience,
  };
}

const SESSION_CLAIMS = ['sid', 'session_state'];

/** An exchanged token has another user name, or names the client only in `azp`. */
function onlyOfServiceAccount(claim: string): ClaimCondition {
  return {
    claim,
    expected: 'none, unless client_id and preferred_username name the client of azp',
    holds: (claims) => {
      const { azp, client_id: client = claims.clientId } = claims;
      const isNamed = client === azp && userNames(claims).length > 0 && isServiceAccount(claims);
      return !Object.hasOwn(claims, claim) || isNamed;
    },
  };
}

/**
 * A person's token has a session, but not after a client has exchanged it. So the absence of a session proves nothing.
 * The user of a service account is named after the client, in lower case, and only its own tokens repeat the client
 * next to `azp`. Introspection repeats it for every token, but always has a user name.
 */
function isServiceAccount(claims: Claims): boolean {
  const { azp, client_id: client = claims.clientId } = claims;
  const names = userNames(claims);
  if (names.length === 0) return client === azp;
  return names.every((name) => name === `service-account-${String(azp).toLowerCase()}`);
}

/** Returns the user names, under the names that tokens and introspection use. */
function userNames({ preferred_username: inTokens, username }: Claims): unknown[] {
  return [inTokens, username].filter((name) => name !== undefined);
}
