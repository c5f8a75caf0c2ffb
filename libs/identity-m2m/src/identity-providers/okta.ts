import { z } from 'zod';
import { type AccessTokenProfile, allOf, absent, type KnownIssuer } from './identity-provider.js';
import { hostName, hostOf, encodedSegment, pathSegment, presetFaults } from './preset-options.js';

export interface OktaOptions {
  /** Domain of the organisation: `acme.okta.com`, or a custom domain. */
  readonly domain: string;
  /** Identifier of the custom authorization server. Default: `default`. */
  readonly authorizationServerId?: string;
}

const schema = z.strictObject({
  domain: hostName('a domain, such as acme.okta.com'),
  authorizationServerId: pathSegment('the identifier of an authorization server').optional(),
});

/**
 * A custom authorization server of Okta. Tokens of the org authorization server are for Okta's own API; no other API
 * can verify them.
 */
export function okta(options: OktaOptions): KnownIssuer {
  const server = encodedSegment(options.authorizationServerId ?? 'default');
  const issuer = `https://${hostOf(options.domain)}/oauth2/${server}`;
  return {
    name: 'Okta',
    issuer,
    tokenEndpoint: `${issuer}/v1/token`,
    revocationEndpoint: `${issuer}/v1/revoke`,
    introspectionEndpoint: `${issuer}/v1/introspect`,
    clientSecretMethod: 'client_secret_basic',
    assertionAudience: 'endpoint',
    jwksUri: `${issuer}/v1/keys`,
    accessToken: ACCESS_TOKEN,
    faults: (http) => presetFaults(options, schema, [], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: ['RS256'],
  tokenTypes: [undefined, 'jwt', 'at+jwt', 'okta-internal-at+jwt'],
  clientIdClaims: ['cid'],
  scopeClaims: ['scp'],
  requiredClaims: ['sub', 'iat', 'cid'],
  isMachine: allOf(absent('uid'), { claim: 'sub', expected: 'equal to cid', holds: ({ sub, cid }) => sub === cid }),
};
