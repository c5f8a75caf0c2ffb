import { type SecretInput, toSecretSource } from './secret-source.js';
import { readSignedAssertion, type SignedAssertion } from './signed-assertion.js';

/** What a client asks for a token with (RFC 6749 §1.3). */
export interface TokenGrant {
  readonly grantType: string;
  fault(): string | undefined;
  /** The assertion that is the grant, where the type has one. Read for each attempt. */
  readAssertion(): Promise<SignedAssertion | undefined>;
}

/** The client's own credentials (RFC 6749 §4.4). */
export const clientCredentials: TokenGrant = {
  grantType: 'client_credentials',
  fault: () => undefined,
  readAssertion: async () => undefined,
};

/**
 * A JWT that somebody the identity provider trusts has issued (RFC 7523 §2.1), such as a projected service account token.
 *
 * @param assertion Read for each token request: `fromFile('/var/run/secrets/…/token')`, or a function. One that has
 * expired is not shown.
 */
export function jwtBearer(assertion: SecretInput): TokenGrant {
  const source = toSecretSource(assertion);
  return {
    grantType: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    fault: () => source.fault(),
    readAssertion: () => readSignedAssertion(source),
  };
}
