import type { KeySet, VerificationKeys } from './key-set.js';
import { refuse, type Refusal, type RefusalDetail, shown } from './refusal.js';
import { compactVerify } from 'jose';

/** Verifies a JWS in compact serialisation. Returns the key that signed it and the key set that holds the key. */
export async function verifyJws(
  jws: string,
  { kid, algorithm }: { readonly kid: string | undefined; readonly algorithm: string },
  keys: KeySet,
) {
  let tried: VerificationKeys | undefined;
  for (;;) {
    const lookup = await keys.find(kid, algorithm, tried);
    if (lookup.kind === 'unknown') return tried && kid === undefined ? invalid(kid) : unknown(kid, algorithm);
    if (lookup.kind === 'unavailable') {
      return { ...refuse('issuer_unavailable'), retryAfterSeconds: lookup.retryAfterSeconds };
    }
    for (const key of lookup.keys) {
      try {
        await compactVerify(jws, key.key, { algorithms: [algorithm] });
        return { key, set: lookup.set };
      } catch {
        // Not this key; perhaps the next one with the same identifier.
      }
    }
    if (lookup.areNamed || tried) return invalid(kid);
    // Perhaps a key that the issuer has published since: its key set is read, as for an unknown kid.
    tried = lookup.set;
  }
}

function invalid(kid: string | undefined): Refusal {
  return refuse('signature_invalid', { ...aboutKey(kid), expected: 'a signature by a key of the issuer' });
}

function unknown(kid: string | undefined, algorithm: string): Refusal {
  return refuse('key_unknown', { ...aboutKey(kid), expected: `a key of the issuer for ${algorithm}` });
}

function aboutKey(kid: string | undefined): RefusalDetail {
  return { claim: 'kid', ...(kid !== undefined && { found: shown(kid) }) };
}
