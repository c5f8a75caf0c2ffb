import { secretFingerprint, SensitiveValue } from '../foundation/sensitive-value.js';

/** A client secret (RFC 6749 §2.3.1) as it was at one moment. Its fingerprint tells one version from the next. */
export class ClientSecret extends SensitiveValue {
  constructor(text: string) {
    super(text, secretFingerprint(text));
  }
}
