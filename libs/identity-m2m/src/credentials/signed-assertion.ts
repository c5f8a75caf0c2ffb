import { decodeJwt, decodeProtectedHeader } from 'jose';
import { readSecret, type SecretInput, type SecretSource, toSecretSource } from '../foundation/secret-source.js';
import { secretFingerprint, SensitiveValue } from '../foundation/sensitive-value.js';
import { addClientAssertion } from './client-assertion.js';
import type { ClientAuthentication, ClientCredential } from './client-authentication.js';

/**
 * An assertion that another issuer has signed for the client (RFC 7521 §4).
 *
 * Its fingerprint covers issuer, subject, audience and key, but no times: platforms renew assertions every few minutes,
 * or create one for each request. An identity provider that refuses one does not trust its issuer or subject. So it
 * would refuse the next one as well.
 */
export class SignedAssertion extends SensitiveValue {
  /** When it expires, if that can be read. */
  readonly expiresAt: Date | undefined;

  constructor(text: string) {
    const { identity, expiresAt } = readable(text);
    super(text, secretFingerprint(identity));
    this.expiresAt = expiresAt;
  }
}

/** Reads the current assertion. */
export async function readSignedAssertion(source: SecretSource): Promise<SignedAssertion> {
  return new SignedAssertion((await readSecret(source)).reveal());
}

/** Reads claims without verifying the signature, which the identity provider does. */
function readable(text: string): { identity: string; expiresAt?: Date } {
  try {
    const { iss, sub, aud, exp } = decodeJwt(text);
    const identity = JSON.stringify([decodeProtectedHeader(text).kid, iss, sub, aud]);
    return { identity, ...(typeof exp === 'number' && { expiresAt: new Date(exp * 1000) }) };
  } catch {
    return { identity: text };
  }
}

/**
 * Authenticates the client with an assertion of another issuer (RFC 7521 §4.2): a projected service account token of
 * Kubernetes, or a token of the platform it runs on. The client needs no long-lived secret.
 *
 * @param assertion Read for each token request, because the platform renews it: `fromFile('/var/run/secrets/…/token')`,
 * or a function. The client does not send an expired assertion.
 */
export function federatedAssertion(assertion: SecretInput): ClientAuthentication {
  const source = toSecretSource(assertion);
  return {
    method: 'federated_assertion',
    fault: () => source.fault(),
    credentials: [async () => credential(await readSignedAssertion(source))],
  };
}

function credential(assertion: SignedAssertion): ClientCredential {
  return {
    fingerprint: assertion.fingerprint,
    secrets: [assertion],
    isTimed: false,
    expiresAt: assertion.expiresAt,
    authenticate: () => (_server, client, body) => addClientAssertion(body, client.client_id, assertion.reveal()),
  };
}
