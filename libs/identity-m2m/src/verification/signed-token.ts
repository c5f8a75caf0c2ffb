import type { Claims } from '../identity-providers/access-token-profile.js';
import { isIssuerName } from '../identity-providers/issuer-fault.js';
import { type CompactJws, parseCompactJws } from './compact-jws.js';
import { type Refusal, refuse } from './refusal.js';
import { oneOf, shownClaim } from './refusal-detail.js';
import type { IssuerResolution } from './resolved-issuers.js';
import { statedClaims } from './stated-claims.js';
import { readTokenHeader, type TokenHeader } from './token-header.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import type { TrustedIssuers } from './trusted-issuers.js';

/** A token that could be one of an issuer's, by its form and header. Its claims are still a stranger's words. */
export interface SignedToken {
  readonly ok: true;
  readonly token: string;
  readonly issuer: TrustedIssuer;
  readonly header: TokenHeader;
  readonly claims: Claims;
}

/**
 * Reads the form and the header of a token, and finds its issuer. Answers without a promise unless the resolver has to be
 * asked, which it is only about a token whose form and header could be right.
 *
 * @param maxLength Longest token read, in characters.
 */
export function readSignedToken(
  token: string,
  issuers: TrustedIssuers,
  maxLength: number,
): SignedToken | Refusal | Promise<SignedToken | Refusal> {
  const jws = parseCompactJws(token, maxLength);
  if (!jws.ok) return jws;
  const read = { token, header: jws.header, claims: statedClaims(jws.claims) };
  const { iss } = read.claims;
  const named = typeof iss === 'string' ? issuers.find(iss) : undefined;
  if (named) return ofIssuer(read, named);
  if (!issuers.resolved || !isIssuerName(iss)) return issuerUnknown(read.claims, issuers.names);
  const header = readTokenHeader(jws.header);
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
  const header = readTokenHeader(members, issuer.policy.profile);
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
