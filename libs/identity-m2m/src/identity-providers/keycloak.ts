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
  /** Address of the server as its tokens write it, with its relative path if it has one: `https://id.example/auth`. */
  readonly url: string;
  /** Name of the realm, as the admin console shows it: blanks and umlauts are percent-encoded. */
  readonly realm: string;
  /**
   * Whether the tokens of service accounts have a session (`sid`), as they do where a client uses the setting *Use refresh
   * tokens for client credentials grant*. Default: false; a token with a session is refused as `not_a_machine`, because it
   * is a person's, or a client has exchanged a person's for it.
   *
   * With true, a token with a session must name its client three times: `azp`, `client_id` and the user name
   * `service-account-<azp>`. Prefer to switch the setting off at the client.
   */
  readonly serviceAccountSessions?: boolean;
  /**
   * Whether tokens, and responses of introspection, may have no `aud`: the guard then accepts them for this API. If there is
   * an `aud`, it must match. Default: false. Prefer an audience mapper.
   */
  readonly hasNoAudience?: boolean;
  /**
   * Address of the key set inside your own network, such as
   * `http://keycloak:8080/realms/acme/protocol/openid-connect/certs`, where the guard can't reach `url`. It may be plain
   * http. The issuer stays that of the tokens. Default: the key set at `url`.
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
 * Tokens have the audience `account` until the client has an audience mapper for your API. The guard's options must name
 * the clients: a user who may register users could register one that is named like a service account. Tokens need the
 * claims of the client scope `service_account` (before version 24: of the client's own mappers) or of `profile`; without
 * them the guard can't tell a machine from a person.
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
    // `clientId` is how versions before 24 wrote it.
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

/** An exchanged token has another user name, or no client beside `azp`. */
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
 * A token of a person has a session, but not if a client has exchanged it: so the absence of a session proves nothing. The
 * user of a service account has a name made of the client's, in lower case; and only its own tokens repeat the client beside
 * `azp`. Introspection repeats it for every token, but always has a user name.
 */
function isServiceAccount(claims: Claims): boolean {
  const { azp, client_id: client = claims.clientId } = claims;
  const names = userNames(claims);
  if (names.length === 0) return client === azp;
  return names.every((name) => name === `service-account-${String(azp).toLowerCase()}`);
}

/** Returns the user names, as tokens and as introspection name them. */
function userNames({ preferred_username: inTokens, username }: Claims): unknown[] {
  return [inTokens, username].filter((name) => name !== undefined);
}
