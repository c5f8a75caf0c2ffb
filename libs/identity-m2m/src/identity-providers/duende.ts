import { z } from 'zod';
import { type AccessTokenProfile, allOf, no, SIGNATURE_ALGORITHMS } from './access-token-profile.js';
import type { IdentityProvider } from './identity-provider.js';
import { presetFaults, withoutTrailingSlash } from './preset-options.js';

export interface DuendeOptions {
  /** Issuer, to the letter: usually the address of the server, without a slash at its end. */
  readonly issuer: string;
}

const schema = z.strictObject({ issuer: z.unknown().optional() });

/** A Duende IdentityServer. */
export function duende(options: DuendeOptions): IdentityProvider {
  const url = withoutTrailingSlash(options.issuer);
  return {
    name: 'Duende IdentityServer',
    issuer: options.issuer,
    tokenEndpoint: `${url}/connect/token`,
    revocationEndpoint: `${url}/connect/revocation`,
    introspectionEndpoint: `${url}/connect/introspect`,
    clientSecretMethod: 'client_secret_basic',
    tokenRequestHeaders: {},
    jwksUri: `${url}/.well-known/openid-configuration/jwks`,
    accessToken: ACCESS_TOKEN,
    faults: (http) => presetFaults(options, schema, ['issuer'], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: SIGNATURE_ALGORITHMS,
  tokenTypes: ['at+jwt'],
  clientIdClaims: ['client_id', 'azp'],
  requiredClaims: ['client_id', 'iat'],
  foreignClaims: [],
  // Only a person makes a subject.
  isMachine: allOf(no('sub')),
};
