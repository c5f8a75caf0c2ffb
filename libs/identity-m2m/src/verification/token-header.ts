import { type AccessTokenProfile, SIGNATURE_ALGORITHMS } from '../identity-providers/access-token-profile.js';
import { isForeignTokenType } from '../identity-providers/foreign-token-types.js';
import { type Refusal, refuse } from './refusal.js';
import { NOT_SHOWN, oneOf, shown } from './refusal-detail.js';
import { MAX_KID_LENGTH } from './verification-key.js';

/** What a token's header says, as far as it has a say: where keys come from is never for the token to decide. */
export interface TokenHeader {
  readonly ok: true;
  readonly algorithm: string;
  readonly kid: string | undefined;
}

/**
 * Members that ask for something that is not done here: keys or addresses of keys that the token itself brings (RFC 8725
 * §3.10), extensions that must be understood (RFC 7515 §4.1.11), and payloads in another encoding (RFC 7797).
 */
const REFUSED_MEMBERS = ['crit', 'b64', 'jwk', 'jku', 'x5u'];

/**
 * Reads the header of a token by the rules of its issuer (RFC 8725 §3.1, §3.11). Certificates in it (`x5c`, `x5t`), which
 * some issuers send along, are not read at all.
 *
 * @param profile undefined: by what holds for every issuer.
 */
export function readTokenHeader(
  header: Readonly<Record<string, unknown>>,
  { algorithms, tokenTypes }: Partial<AccessTokenProfile> = {},
): TokenHeader | Refusal {
  const refused = REFUSED_MEMBERS.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) {
    return refuse('token_header_refused', { claim: refused, found: NOT_SHOWN, expected: 'none' });
  }
  const { alg, kid, typ } = header;
  const accepted = algorithms ?? SIGNATURE_ALGORITHMS;
  if (typeof alg !== 'string' || !accepted.some((algorithm) => algorithm === alg)) {
    return refuse('algorithm_refused', { claim: 'alg', ...found(alg), expected: oneOf(accepted) });
  }
  const type = mediaType(typ);
  const isAccepted = tokenTypes ? tokenTypes.includes(type) : type !== NO_TYPE;
  if (!isAccepted || (type !== undefined && isForeignTokenType(type))) {
    const expected = tokenTypes ? oneOf(tokenTypes) : 'the type of an access token, or none';
    return refuse('token_type_refused', { claim: 'typ', ...found(typ), expected });
  }
  if (kid === undefined) return { ok: true, algorithm: alg, kid };
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_KID_LENGTH) {
    const expected = `a string of 1 to ${MAX_KID_LENGTH} characters`;
    return refuse('token_header_refused', { claim: 'kid', ...found(kid), expected });
  }
  return { ok: true, algorithm: alg, kid };
}

function found(value: unknown): { readonly found?: string } {
  return value === undefined ? {} : { found: shown(value) };
}

const NO_TYPE = 'not a text';

/** RFC 7515 §4.1.9: compared without regard to case, and `application/` may be left out. */
function mediaType(typ: unknown): string | undefined {
  if (typ === undefined) return undefined;
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : NO_TYPE;
}
