import type { AccessTokenProfile, Claims, ClaimsTest } from '../identity-providers/identity-provider.js';
import {
  oneOf,
  type Refusal,
  type RefusalDetail,
  type RefusalReason,
  refuse,
  shown,
  shownClaim,
  shownTime,
} from './refusal.js';

/** The rules for a token's claims. */
export interface ClaimsPolicy {
  /** Names of this API; `aud` must contain one. */
  readonly audiences: readonly string[];
  /** Tolerated difference between the clocks of issuer and guard, in seconds. */
  readonly clockToleranceSeconds: number;
  /** Longest accepted time from `iat` to `exp`, in seconds; undefined: no limit. */
  readonly maxTokenLifetimeSeconds: number | undefined;
  readonly profile: AccessTokenProfile;
}

/**
 * Returns why a token's claims are refused at a given time; undefined if they are not. Depends only on its arguments,
 * so that claims can be checked again at any time.
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

/**
 * RFC 7519 §4.1.4 to §4.1.6; times may have fractions of a second (§2, NumericDate). `exp` is required: a token that
 * never expires can't be revoked.
 */
function timeRefusal({ exp, nbf, iat }: Claims, policy: ClaimsPolicy, now: number): Refusal | undefined {
  if (!isTime(exp)) return malformed('exp', exp);
  if (nbf !== undefined && !isTime(nbf)) return malformed('nbf', nbf);
  if (iat !== undefined && !isTime(iat)) return malformed('iat', iat);
  const { clockToleranceSeconds: tolerance, maxTokenLifetimeSeconds: maxLifetime } = policy;
  if (now >= exp + tolerance) return refuse('token_expired', atTime('exp', exp, 'after', now - tolerance));
  if (iat !== undefined && exp < iat) return refuse('time_claim_malformed', atTime('exp', exp, 'not before iat', iat));
  // A token from the future was issued by a wrong clock, so its other times are wrong as well.
  const latest = now + tolerance;
  if (nbf !== undefined && nbf > latest) return refuse('token_not_yet_valid', atTime('nbf', nbf, 'up to', latest));
  if (iat !== undefined && iat > latest) return refuse('token_not_yet_valid', atTime('iat', iat, 'up to', latest));
  if (maxLifetime === undefined) return undefined;
  if (iat === undefined) return refuse('token_lifetime_excessive', { claim: 'iat', expected: 'a time' });
  if (exp - iat <= maxLifetime) return undefined;
  const expected = `at most ${maxLifetime} s after iat`;
  return refuse('token_lifetime_excessive', { claim: 'exp', found: `${exp - iat} s after iat`, expected });
}

/** The end of the year 9999: late enough for any clock, and safe in any arithmetic. */
const LATEST_TIME = 253_402_300_799;

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LATEST_TIME;
}

function malformed(claim: string, value: unknown): Refusal {
  const found = value === undefined ? undefined : { found: shown(value) };
  return refuse('time_claim_malformed', { claim, ...found, expected: 'seconds since the epoch, as a number' });
}

function atTime(claim: string, found: number, relation: string, limit: number): RefusalDetail {
  return { claim, found: shownTime(found), expected: `${relation} ${shownTime(limit)}` };
}

/** RFC 7519 §4.1.3: a string or a list of strings, one of which is exactly a name of this API. */
function audienceRefusal(aud: unknown, { audiences, profile }: ClaimsPolicy): Refusal | undefined {
  const isUnsaid = aud === undefined || (Array.isArray(aud) && aud.length === 0);
  if (isUnsaid && profile.hasNoAudience) return undefined;
  const isForUs =
    typeof aud === 'string'
      ? audiences.includes(aud)
      : Array.isArray(aud) &&
        aud.every((name) => typeof name === 'string') &&
        aud.some((name) => audiences.includes(name));
  if (isForUs) return undefined;
  const found = aud === undefined ? undefined : { found: shown(aud) };
  return refuse('audience_mismatch', { claim: 'aud', ...found, expected: oneOf(audiences) });
}

/**
 * Claims of ID tokens (OpenID Connect Core §2, §3.3.2.11), of security events and logout tokens (RFC 8417), of RFC
 * 9701.
 */
const FOREIGN_CLAIMS = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events', 'token_introspection'];

function kindRefusal(claims: Claims, profile: AccessTokenProfile): Refusal | undefined {
  for (const name of FOREIGN_CLAIMS) if (Object.hasOwn(claims, name)) return unwanted('foreign_token', claims, name);
  for (const name of profile.foreignClaims ?? []) {
    if (Object.hasOwn(claims, name)) return unwanted('foreign_token', claims, name);
  }
  for (const name of profile.requiredClaims) {
    if (!Object.hasOwn(claims, name)) {
      return refuse('claim_missing', { ...shownClaim(claims, name), expected: 'a value' });
    }
  }
  const fault = profile.isAccessToken && profileFault(profile.isAccessToken, claims, profile);
  if (fault) return refuse('foreign_token', fault);
  // The token is bound to a key (RFC 7800), and the guard checks no proof of it: it must not pass as a plain token.
  if (Object.hasOwn(claims, 'cnf')) return unwanted('confirmation_unsupported', claims, 'cnf');
  return undefined;
}

/** Refuses a claim that must be absent. */
export function unwanted(reason: RefusalReason, claims: Claims, name: string): Refusal {
  return refuse(reason, { ...shownClaim(claims, name), expected: 'none' });
}

/**
 * Returns why a profile's test rejects the claims; undefined if it accepts them. The test may be application code:
 * anything but true is a rejection, even an exception.
 */
export function profileFault(
  test: ClaimsTest,
  claims: Claims,
  { clientIdClaims, scopeClaims = [] }: AccessTokenProfile,
): RefusalDetail | undefined {
  if (accepts(test, claims)) return undefined;
  const unmet = test.conditions?.find(({ holds }) => !accepts(holds, claims));
  if (!unmet) return {};
  return { ...shownClaim(claims, unmet.claim, [...clientIdClaims, ...scopeClaims]), expected: unmet.expected };
}

function accepts(test: (claims: Claims) => unknown, claims: Claims): boolean {
  try {
    return test(claims) === true;
  } catch {
    return false;
  }
}

/**
 * Claims that count even with the value null: a token that is bound to a key, or that one party uses for another, must
 * never pass as a plain token.
 */
const COUNT_BY_PRESENCE = ['cnf', 'act'];

/**
 * Returns the claims without those that are null: several issuers write null for a claim without a value, which RFC
 * 7519 does not define. Such a claim counts as absent.
 */
export function statedClaims(claims: Claims): Claims {
  const isUnstated = (name: string) => claims[name] === null && !COUNT_BY_PRESENCE.includes(name);
  const names = Object.keys(claims);
  if (!names.some(isUnstated)) return claims;
  return Object.fromEntries(names.filter((name) => !isUnstated(name)).map((name) => [name, claims[name]]));
}
