import {
  type AccessTokenProfile,
  type Claims,
  isForeignTokenType,
  SIGNATURE_ALGORITHMS,
} from '../identity-providers/identity-provider.js';
import { isIssuerName } from '../identity-providers/preset-options.js';
import { type CompactJws, parseCompactJws } from './compact-jws.js';
import { NOT_SHOWN, oneOf, type Refusal, refuse, shown, shownClaim } from './refusal.js';
import type { IssuerResolution } from './resolved-issuers.js';
import { statedClaims } from './claims-policy.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { TrustedIssuers } from './trusted-issuers.js';
import { MAX_KID_LENGTH } from './verification-key.js';

/** A token whose form and header fit its issuer. Its signature is not verified yet. */
export interface SignedToken {
  readonly ok: true;
  readonly token: string;
  readonly issuer: TrustedIssuer;
  readonly header: JoseHeader;
  readonly claims: Claims;
}

/**
 * Checks the form and the header of a token, and finds its issuer. Returns a promise only if the resolver has to be
 * called, which happens only for a token with valid form and header.
 */
export function readSignedToken(
  token: string,
  issuers: TrustedIssuers,
): SignedToken | Refusal | Promise<SignedToken | Refusal> {
  const jws = parseCompactJws(token);
  if (!jws.ok) return jws;
  const read = { token, header: jws.header, claims: statedClaims(jws.claims) };
  const { iss } = read.claims;
  const named = typeof iss === 'string' ? issuers.find(iss) : undefined;
  if (named) return ofIssuer(read, named);
  if (!issuers.resolved || !isIssuerName(iss)) return issuerUnknown(read.claims, issuers.names);
  const header = readJoseHeader(jws.header);
  if (!header.ok) return header;
  const settle = (resolution: IssuerResolution): SignedToken | Refusal => {
    if (resolution.kind === 'accepted') return ofIssuer(read, resolution.issuer);
    if (resolution.kind === 'denied') return issuerDenied(read.claims);
    return { ...refuse('issuer_unavailable'), retryAfterSeconds: resolution.retryAfterSeconds };
  };
  const resolution = issuers.resolved.find(iss);
  return resolution instanceof Promise ? resolution.then(settle) : settle(resolution);
}

interface ReadToken {
  readonly token: string;
  readonly header: CompactJws['header'];
  readonly claims: Claims;
}

function ofIssuer({ token, header: members, claims }: ReadToken, issuer: TrustedIssuer): SignedToken | Refusal {
  const header = readJoseHeader(members, issuer.policy.profile);
  return header.ok ? { ok: true, token, issuer, header, claims } : header;
}

function issuerDenied(claims: Claims): Refusal {
  return refuse('issuer_unknown', {
    ...shownClaim(claims, 'iss'),
    expected: 'an issuer that the issuerResolver accepts',
  });
}

/** @param trusted Identifiers of the issuers that the guard trusts. */
export function issuerUnknown(claims: Claims, trusted: readonly string[]): Refusal {
  return refuse('issuer_unknown', { ...shownClaim(claims, 'iss'), expected: oneOf(trusted) });
}

/** The header parameters that are used. None of them locates keys: a token never decides where they come from. */
export interface JoseHeader {
  readonly ok: true;
  readonly algorithm: string;
  readonly kid: string | undefined;
}

/**
 * Parameters of unsupported features: keys or addresses of keys in the token itself (RFC 8725 §3.10), critical
 * extensions (RFC 7515 §4.1.11), and payloads in another encoding (RFC 7797).
 */
const REFUSED_MEMBERS = ['crit', 'b64', 'jwk', 'jku', 'x5u'];

/**
 * Reads the header of a token by the rules of its issuer (RFC 8725 §3.1, §3.11). Ignores certificates (`x5c`, `x5t`),
 * which some issuers send.
 *
 * @param profile Default: the rules for every issuer.
 */
function readJoseHeader(
  header: Readonly<Record<string, unknown>>,
  { algorithms, tokenTypes }: Partial<AccessTokenProfile> = {},
): JoseHeader | Refusal {
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

const NO_TYPE = 'not a string';

/** RFC 7515 §4.1.9: case-insensitive, and `application/` may be omitted. */
function mediaType(typ: unknown): string | undefined {
  if (typ === undefined) return undefined;
  return typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : NO_TYPE;
}
