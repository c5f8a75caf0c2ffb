import { z } from 'zod';
import { type OptionFault, text } from '../foundation/option-check.js';
import type { PlainHttp } from '../foundation/url.js';
import { type AccessTokenProfile, allOf, type KnownIssuer } from './identity-provider.js';
import { addressFault, issuerFault, presetFaults } from './preset-options.js';

export interface KubernetesServiceAccountsOptions {
  /**
   * The cluster's service account issuer, exactly as `kubectl get --raw /.well-known/openid-configuration` shows it.
   */
  readonly issuer: string;
  /** Address of the key set. Required if it is not on the issuer's own origin. */
  readonly jwksUri?: string;
  /** Address of the key set inside the cluster. It may be plain http. */
  readonly internalJwksUri?: string;
  /**
   * Path of a file with the key set, if the guard can't reach the issuer or would need a certificate of the cluster.
   */
  readonly jwksFile?: string;
}

const schema = z.strictObject({
  issuer: z.unknown().optional(),
  jwksUri: z.unknown().optional(),
  internalJwksUri: z.unknown().optional(),
  jwksFile: text('a path').optional(),
});

/**
 * The service accounts of a Kubernetes cluster, by their projected tokens. The client identifier is
 * `system:serviceaccount:<namespace>:<name>`.
 *
 * The guard's options must name the clients: every pod can get a token for any audience.
 */
export function kubernetesServiceAccounts(options: KubernetesServiceAccountsOptions): KnownIssuer {
  return {
    name: 'Kubernetes',
    issuer: options.issuer,
    clientSecretMethod: 'client_secret_basic',
    jwksUri: options.jwksUri,
    internalJwksUri: options.internalJwksUri,
    jwksFile: options.jwksFile,
    accessToken: ACCESS_TOKEN,
    faults: (http) => faults(options, http),
  };
}

/** The issuer may be any name, such as `kubernetes/serviceaccount`, if the options locate the keys. */
function faults(options: KubernetesServiceAccountsOptions, plainHttp: PlainHttp): OptionFault[] {
  const { issuer, jwksUri, internalJwksUri, jwksFile } = options;
  const hasKeys = [jwksUri, internalJwksUri, jwksFile].some((place) => place !== undefined);
  return [
    ...presetFaults(options, schema, [], plainHttp),
    ...(hasKeys ? issuerFault('issuer', issuer) : addressFault('issuer', issuer, plainHttp)),
  ];
}

const ACCESS_TOKEN: AccessTokenProfile = {
  algorithms: ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'],
  tokenTypes: [undefined, 'jwt'],
  clientIdClaims: ['sub'],
  requiredClaims: ['sub', 'iat', 'kubernetes.io'],
  isMachine: allOf({
    claim: 'sub',
    expected: 'system:serviceaccount:<namespace>:<name>',
    holds: ({ sub }) => typeof sub === 'string' && /^system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+$/.test(sub),
  }),
  requiresNamedClients: true,
};
