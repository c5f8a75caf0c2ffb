import { decodeJwt, decodeProtectedHeader } from 'jose';
import { secretFingerprint, SensitiveValue } from '../foundation/sensitive-value.js';
import { readSecret, type SecretSource } from './secret-source.js';

/**
 * An assertion that somebody else has signed for the client (RFC 7521 §4).
 *
 * Its fingerprint says who vouches for whom, to whom and with which key, and not when: platforms renew assertions every
 * few minutes, or make one for each request. What an identity provider has refused is not the text but the trust, and a
 * new text of the same kind is no reason to ask it again at once.
 */
export class SignedAssertion extends SensitiveValue {
  /** When it ends, where it can be read. */
  readonly expiresAt: Date | undefined;

  constructor(text: string) {
    const { identity, expiresAt } = readable(text);
    super(text, secretFingerprint(identity));
    this.expiresAt = expiresAt;
  }
}

/** The assertion as it is now. */
export async function readSignedAssertion(source: SecretSource): Promise<SignedAssertion> {
  return new SignedAssertion((await readSecret(source)).reveal());
}

/** Not verified: that is for the identity provider. */
function readable(text: string): { identity: string; expiresAt?: Date } {
  try {
    const { iss, sub, aud, exp } = decodeJwt(text);
    const identity = JSON.stringify([decodeProtectedHeader(text).kid, iss, sub, aud]);
    return { identity, ...(typeof exp === 'number' && { expiresAt: new Date(exp * 1000) }) };
  } catch {
    return { identity: text };
  }
}
