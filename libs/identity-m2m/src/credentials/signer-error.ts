import { IdentityM2MError } from '../foundation/identity-m2m-error.js';

/** A key service did not sign. What it says is the cause: its text may hold an address with a token in it. */
export class SignerError extends IdentityM2MError {
  readonly code = 'M2M_SIGNER_FAILED';

  constructor(keyId: string, cause: unknown) {
    super(`the signer of key ${keyId} failed (see the cause)`, { cause });
  }
}
