import { compactVerify } from 'jose';
import type { KeySet, VerificationKeys } from './key-set.js';
import { type Refusal, refuse } from './refusal.js';
import type { SignedToken } from './signed-token.js';
import { VerifiedToken } from './verified-token.js';

/** Verifies a token's signature with its issuer's keys: only these, and only by the algorithm that each is for. */
export async function verifySignature(signed: SignedToken): Promise<VerifiedToken | Refusal> {
  const { token, header, issuer } = signed;
  const verified = await signerOf(token, header, issuer.keys);
  return 'ok' in verified ? verified : new VerifiedToken(signed, verified.key, verified.set);
}

/** @returns The key that has signed a text in compact serialisation, and the set that it is of. */
export async function signerOf(
  jws: string,
  { kid, algorithm }: { readonly kid: string | undefined; readonly algorithm: string },
  keys: KeySet,
) {
  let tried: VerificationKeys | undefined;
  for (;;) {
    const lookup = await keys.find(kid, algorithm, tried);
    if (lookup.kind === 'unknown') return refuse(tried && kid === undefined ? 'signature_invalid' : 'key_unknown');
    if (lookup.kind === 'unavailable') {
      return { ...refuse('issuer_unavailable'), retryAfterSeconds: lookup.retryAfterSeconds };
    }
    for (const key of lookup.keys) {
      try {
        await compactVerify(jws, key.key, { algorithms: [algorithm] });
        return { key, set: lookup.set };
      } catch {
        // Not with this key; perhaps with the next of the same name.
      }
    }
    if (lookup.areNamed || tried) return refuse('signature_invalid');
    // Perhaps with a key that the issuer has published since: it is asked, as for a kid that is not held.
    tried = lookup.set;
  }
}
