import { type Application, PLATFORM_APPLICATION_ID } from '../config/application.js';

/** The base URL of the tenant, known once it listens. Every issuer and every endpoint starts with it. */
export class TenantAddress {
  /** Without a trailing slash. */
  url = '';

  /** Returns the issuer of an application's tokens, with a trailing slash. */
  issuerOf(applicationId: string): string {
    return `${this.url}/${applicationId}/`;
  }
}

/**
 * Returns the metadata of an application, with the members that a real tenant is known to send. The auth methods of the
 * token endpoint, the introspection endpoint and the revocation endpoint are not among them.
 */
export function applicationMetadata({ id, scopes }: Application, address: TenantAddress) {
  return {
    issuer: address.issuerOf(id),
    authorization_endpoint: `${address.url}/OAuth2/Authorize/${id}`,
    token_endpoint: `${address.url}/OAuth2/Token/${id}`,
    userinfo_endpoint: `${address.url}/OAuth2/UserInfo/${id}`,
    jwks_uri: `${address.url}/OAuth2/Keys/${id}`,
    scopes_supported: [...scopes.keys()],
    response_types_supported: [
      'code',
      'id_token',
      'id_token token',
      'code id_token',
      'code token',
      'code id_token token',
    ],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    code_challenge_methods_supported: ['S256'],
  };
}

/** Returns the metadata of the tenant. Its issuer differs from that of every application and so of every token. */
export function tenantMetadata(address: TenantAddress) {
  return {
    issuer: `${address.url}/`,
    authorization_endpoint: `${address.url}/OAuth2/Authorize/${PLATFORM_APPLICATION_ID}`,
    token_endpoint: `${address.url}/OAuth2/PlatformToken`,
    userinfo_endpoint: `${address.url}/OAuth2/UserInfo/${PLATFORM_APPLICATION_ID}`,
    jwks_uri: `${address.url}/OAuth2/Keys/${PLATFORM_APPLICATION_ID}`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    code_challenge_methods_supported: ['S256'],
  };
}
