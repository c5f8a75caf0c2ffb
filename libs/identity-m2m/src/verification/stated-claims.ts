import type { Claims } from '../identity-providers/access-token-profile.js';

/**
 * Claims that count by their mere presence, null or not: a token that is bound to a key, or that one party uses for another,
 * must never pass as a plain one because its issuer wrote the claim in a way that says nothing.
 */
const COUNT_BY_PRESENCE = ['cnf', 'act'];

/**
 * The claims without those that are null: several issuers write a claim that they have no value for as null, which RFC 7519
 * gives no meaning to. Such a claim is absent; where it is required, it is missing.
 */
export function statedClaims(claims: Claims): Claims {
  const isUnstated = (name: string) => claims[name] === null && !COUNT_BY_PRESENCE.includes(name);
  const names = Object.keys(claims);
  if (!names.some(isUnstated)) return claims;
  return Object.fromEntries(names.filter((name) => !isUnstated(name)).map((name) => [name, claims[name]]));
}
