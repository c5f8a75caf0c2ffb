import type { AccessTokenProfile, Claims } from '../identity-providers/access-token-profile.js';
import { type Refusal, refuse } from './refusal.js';

/** What a token's claims are measured against. */
export interface ClaimsPolicy {
  /** Names of this API, one of which `aud` must have. */
  readonly audiences: readonly string[];
  /** How far the clocks of issuer and guard may differ, in seconds. */
  readonly clockToleranceSeconds: number;
  /** Longest time from `iat` to `exp`, in seconds; undefined: any. */
  readonly maxTokenLifetimeSeconds: number | undefined;
  readonly profile: AccessTokenProfile;
}

/**
 * What stands against a token's claims at a moment; undefined where nothing does. Depends on its arguments alone, so
 * that a claim judged good once can be judged again at any later time.
 *
 * @param nowSeconds Seconds since the epoch.
 */
export function claimsRefusal(claims: Claims, policy: ClaimsPolicy, nowSeconds: number): Refusal | undefined {
  return (
    timeRefusal(claims, policy, nowSeconds) ??
    audienceRefusal(claims.aud, policy) ??
    kindRefusal(claims, policy.profile)
  );
}

/** RFC 7519 §4.1.4 to §4.1.6. `exp` must be there: a token that never ends can't be taken back. */
function timeRefusal({ exp, nbf, iat }: Claims, policy: ClaimsPolicy, now: number): Refusal | undefined {
  if (
    !isTime(exp) ||
    !Number.isInteger(exp) ||
    (nbf !== undefined && !isTime(nbf)) ||
    (iat !== undefined && !isTime(iat))
  ) {
    return refuse('time_claim_malformed');
  }
  const { clockToleranceSeconds: tolerance, maxTokenLifetimeSeconds: maxLifetime } = policy;
  if (now >= exp + tolerance) return refuse('token_expired');
  if (iat !== undefined && exp < iat) return refuse('time_claim_malformed');
  // A token from the future was made by a clock that nothing else about it can be believed from.
  if (nbf !== undefined && now < nbf - tolerance) return refuse('token_not_yet_valid');
  if (iat !== undefined && now < iat - tolerance) return refuse('token_not_yet_valid');
  if (maxLifetime !== undefined && (iat === undefined || exp - iat > maxLifetime)) {
    return refuse('token_lifetime_excessive');
  }
  return undefined;
}

/** Far enough for any clock (the end of the year 9999), near enough for any arithmetic. */
const LATEST_TIME = 253_402_300_799;

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LATEST_TIME;
}

/** RFC 7519 §4.1.3: a text or a list of texts, one of which is a name of this API, to the letter. */
function audienceRefusal(aud: unknown, { audiences, profile }: ClaimsPolicy): Refusal | undefined {
  if (typeof aud === 'string') return audiences.includes(aud) ? undefined : refuse('audience_mismatch');
  if (aud === undefined && profile.hasNoAudience) return undefined;
  const isForUs =
    Array.isArray(aud) && aud.every((name) => typeof name === 'string') && aud.some((name) => audiences.includes(name));
  return isForUs ? undefined : refuse('audience_mismatch');
}

/** Claims of ID tokens (OpenID Connect Core §2, §3.3.2.11), of security events and logout tokens (RFC 8417), of RFC 9701. */
const FOREIGN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events', 'token_introspection'];

function kindRefusal(claims: Claims, profile: AccessTokenProfile): Refusal | undefined {
  for (const name of FOREIGN_CLAIMS) if (Object.hasOwn(claims, name)) return refuse('foreign_token');
  for (const name of profile.foreignClaims) if (Object.hasOwn(claims, name)) return refuse('foreign_token');
  for (const name of profile.requiredClaims) if (!Object.hasOwn(claims, name)) return refuse('claim_missing');
  if (profile.isAccessToken && !saysYes(profile.isAccessToken, claims)) return refuse('foreign_token');
  // The token is bound to a key (RFC 7800) that nobody here asks the caller to prove: it must not pass as a plain one.
  if (Object.hasOwn(claims, 'cnf')) return refuse('confirmation_unsupported');
  return undefined;
}

/** The profile may be the user's own; where it fails, or answers anything but true, it has not said yes. */
export function saysYes(test: (claims: Claims) => unknown, claims: Claims): boolean {
  try {
    return test(claims) === true;
  } catch {
    return false;
  }
}
