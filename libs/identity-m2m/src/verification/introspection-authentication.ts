import { basicAuthorization } from '../foundation/basic-authorization.js';
import { readSecret, type SecretInput, toSecretSource } from '../foundation/secret-source.js';

/** A request to an introspection endpoint, before it is authenticated. */
export interface IntrospectionRequest {
  readonly endpoint: string;
}

/** The guard's credentials for an introspection request: headers, form fields, or both. */
export interface IntrospectionProof {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, string>>;
}

/**
 * Authenticates the guard at an introspection endpoint (RFC 7662 §2.1). Called for each request. If it throws, callers
 * get 503.
 */
export type IntrospectionAuthentication = (
  request: IntrospectionRequest,
) => IntrospectionProof | Promise<IntrospectionProof>;

/** Ways to send the secret. */
export const INTROSPECTION_METHODS = ['client_secret_basic', 'client_secret_basic_raw', 'client_secret_post'] as const;

export type IntrospectionMethod = (typeof INTROSPECTION_METHODS)[number];

export interface IntrospectionClient {
  readonly clientId: string;
  readonly clientSecret: SecretInput;
  readonly method: IntrospectionMethod;
}

/** Authenticates with a client identifier and a secret, as at a token endpoint (RFC 6749 §2.3.1). */
export function introspectionClient({
  clientId,
  clientSecret,
  method,
}: IntrospectionClient): IntrospectionAuthentication {
  const source = toSecretSource(clientSecret);
  return async () => {
    const secret = (await readSecret(source)).reveal();
    if (method === 'client_secret_post') return { body: { client_id: clientId, client_secret: secret } };
    const encoding = method === 'client_secret_basic' ? 'form' : 'raw';
    return { headers: { authorization: basicAuthorization(clientId, secret, encoding) } };
  };
}
