import { CLIENT_ASSERTION_TYPE } from './client-assertion.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';
import { type SecretInput, toSecretSource } from './secret-source.js';
import { readSignedAssertion, type SignedAssertion } from './signed-assertion.js';

/**
 * Proves the client by an assertion that somebody else has signed for it (RFC 7521 §4.2): a projected service account
 * token of Kubernetes, a token of the platform it runs on. There is nothing to keep secret for longer than minutes.
 *
 * @param assertion Read for each token request, because the platform renews it: `fromFile('/var/run/secrets/…/token')`,
 * or a function. One that has expired is not shown.
 */
export function federatedAssertion(assertion: SecretInput): ClientAuthentication {
  const source = toSecretSource(assertion);
  return {
    method: 'federated_assertion',
    fault: () => source.fault(),
    credentials: [async () => credential(await readSignedAssertion(source))],
  };
}

function credential(signed: SignedAssertion): ClientCredential {
  return {
    fingerprint: signed.fingerprint,
    secrets: [signed],
    isTimed: false,
    expiresAt: signed.expiresAt,
    proof: () => (_server, client, body) => {
      body.set('client_id', client.client_id);
      body.set('client_assertion_type', CLIENT_ASSERTION_TYPE);
      body.set('client_assertion', signed.reveal());
    },
  };
}
