import { z } from 'zod';
import { flag } from '../foundation/option-check.js';
import { type AccessTokenProfile, allOf, absent, SIGNATURE_ALGORITHMS, type KnownIssuer } from './identity-provider.js';
import { presetFaults, withoutTrailingSlash } from './preset-options.js';

export interface DuendeOptions {
  /** Issuer, exactly as in the tokens: usually the address of the server, without a trailing slash. */
  readonly issuer: string;
  /**
   * Accepts tokens and introspection responses without `aud` for this API. An `aud` that is present must match.
   * Default: false.
   *
   * A token has no `aud` if its scopes belong to no API resource. Prefer an `ApiResource` with the scopes of this API.
   * `EmitStaticAudienceClaim` instead writes the same audience, `<issuer>/resources`, into every token.
   */
  readonly hasNoAudience?: boolean;
  /**
   * Address of the key set inside your own network, if the guard can't reach the issuer. It may be plain http. Default:
   * the key set at the issuer.
   */
  readonly internalJwksUri?: string;
}

const schema = z.strictObject({
  issuer: z.unknown().optional(),
  internalJwksUri: z.unknown().optional(),
  hasNoAudience: flag.optional(),
});

/** A Duende IdentityServer. */
export function duende(options: DuendeOptions): KnownIssuer {
  const url = withoutTrailingSlash(options.issuer);
  return {
    name: 'Duende IdentityServer',
    issuer: options.issuer,
    tokenEndpoint: `${url}/connect/token`,
    revocationEndpoint: `${url}/connect/revocation`,
    introspectionEndpoint: `${url}/connect/introspect`,
    clientSecretMethod: 'client_secret_basic',
    jwksUri: `${url}/.well-known/openid-configuration/jwks`,
    internalJwksUri: options.internalJwksUri,
    accessToken: { ...ACCESS_TOKEN, hasNoAudience: options.hasNoAudience },
    faults: (http) => presetFaults(options, schema, ['issuer'], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: SIGNATURE_ALGORITHMS,
  tokenTypes: ['at+jwt'],
  clientIdClaims: ['client_id', 'azp'],
  requiredClaims: ['client_id', 'iat'],
  // Only tokens of persons have a subject.
  isMachine: allOf(absent('sub')),
};
