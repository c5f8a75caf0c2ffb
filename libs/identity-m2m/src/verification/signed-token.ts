import type { Claims } from '../identity-providers/access-token-profile.js';
import { parseCompactJws } from './compact-jws.js';
import { type Refusal, refuse } from './refusal.js';
import { oneOf, shownClaim } from './refusal-detail.js';
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
 * @param maxLength Longest token read, in characters.
 */
export function readSignedToken(token: string, issuers: TrustedIssuers, maxLength: number): SignedToken | Refusal {
  const jws = parseCompactJws(token, maxLength);
  if (!jws.ok) return jws;
  const claims = statedClaims(jws.claims);
  const issuer = typeof claims.iss === 'string' ? issuers.find(claims.iss) : undefined;
  if (!issuer) return issuerUnknown(claims, issuers.names);
  const header = readTokenHeader(jws.header, issuer.policy.profile);
  return header.ok ? { ok: true, token, issuer, header, claims } : header;
}

/** @param trusted Identifiers of the issuers that the guard trusts. */
export function issuerUnknown(claims: Claims, trusted: readonly string[]): Refusal {
  return refuse('issuer_unknown', { ...shownClaim(claims, 'iss'), expected: oneOf(trusted) });
}
