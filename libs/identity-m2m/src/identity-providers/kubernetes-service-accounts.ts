import { z } from 'zod';
import { text } from '../foundation/option-field.js';
import { type AccessTokenProfile, allOf } from './access-token-profile.js';
import type { IdentityProvider } from './identity-provider.js';
import { presetFaults } from './preset-options.js';

export interface KubernetesServiceAccountsOptions {
  /** The cluster's service account issuer, to the letter (`kubectl get --raw /.well-known/openid-configuration`). */
  readonly issuer: string;
  /** Address of the key set, where it is not on the issuer's own origin. */
  readonly jwksUri?: string;
  /** Path of a file with the key set, where the issuer can't be reached or asks for a certificate of the cluster's own. */
  readonly jwksFile?: string;
}

const schema = z.strictObject({
  issuer: z.unknown().optional(),
  jwksUri: z.unknown().optional(),
  jwksFile: text('a path').optional(),
});

/**
 * The service accounts of a Kubernetes cluster, by their projected tokens. A client is called
 * `system:serviceaccount:<namespace>:<name>`.
 *
 * Clients must be named in the guard's options: every pod can get a token for any audience.
 */
export function kubernetesServiceAccounts(options: KubernetesServiceAccountsOptions): IdentityProvider {
  return {
    name: 'Kubernetes',
    issuer: options.issuer,
    clientSecretMethod: 'client_secret_basic',
    tokenRequestHeaders: {},
    jwksUri: options.jwksUri,
    jwksFile: options.jwksFile,
    accessToken: ACCESS_TOKEN,
    faults: (http) =>
      presetFaults(options, schema, options.jwksUri === undefined ? ['issuer'] : ['issuer', 'jwksUri'], http),
  };
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'],
  tokenTypes: [undefined, 'jwt'],
  clientIdClaims: ['sub'],
  requiredClaims: ['sub', 'iat', 'kubernetes.io'],
  foreignClaims: [],
  isMachine: allOf({
    claim: 'sub',
    expected: 'system:serviceaccount:<namespace>:<name>',
    holds: ({ sub }) => typeof sub === 'string' && /^system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+$/.test(sub),
  }),
  requiresNamedClients: true,
};
