import { type SecretInput, toSecretSource } from '../foundation/secret-source.js';
import { readSignedAssertion, type SignedAssertion } from './signed-assertion.js';

/** The grant that a client requests tokens with (RFC 6749 §1.3). */
export interface TokenGrant {
  readonly grantType: string;
  /** Returns what is invalid in its options, as far as that is known synchronously; undefined if nothing is. */
  fault(): string | undefined;
  /** Returns the assertion of the grant, if its type has one. Called for each attempt. */
  readAssertion(): Promise<SignedAssertion | undefined>;
}

/** The client's own credentials (RFC 6749 §4.4). */
export const clientCredentials: TokenGrant = {
  grantType: 'client_credentials',
  fault: () => undefined,
  readAssertion: async () => undefined,
};

/**
 * A JWT of an issuer that the identity provider trusts (RFC 7523 §2.1), such as a projected service account token.
 *
 * @param assertion Read for each token request: `fromFile('/var/run/secrets/…/token')`, or a function. The client does
 * not send an expired assertion.
 */
export function jwtBearer(assertion: SecretInput): TokenGrant {
  const source = toSecretSource(assertion);
  return {
    grantType: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    fault: () => source.fault(),
    readAssertion: () => readSignedAssertion(source),
  };
}
