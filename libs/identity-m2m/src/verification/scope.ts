import { isScopeName } from '../foundation/scope-name.js';
import type { Claims } from '../identity-providers/access-token-profile.js';
import { type Refusal, refuse } from './refusal.js';
import { shownClaim } from './refusal-detail.js';

const USUAL_CLAIMS: readonly string[] = ['scope', 'scp'];

/**
 * The scopes of a token: a string of names separated by blanks (RFC 6749 §3.3, RFC 8693 §4.2), or a list of names, as some
 * servers write it. Several issuers write more blanks than the single ones of the RFC: these separate nothing.
 *
 * @param names Claims that may hold them.
 * @returns A refusal where a claim has any other form, or two claims differ: half-understood rights are worse than none.
 */
export function readScopes(
  claims: Claims,
  names: readonly string[] = USUAL_CLAIMS,
): { readonly ok: true; readonly granted: readonly string[] } | Refusal {
  let granted: readonly string[] | undefined;
  for (const name of names) {
    if (!Object.hasOwn(claims, name)) continue;
    const scopes = namesIn(claims[name]);
    if (!scopes) return malformed(claims, name, names, 'scopes, separated by blanks or as a list');
    if (granted && !isSameSet(granted, scopes)) return malformed(claims, name, names, 'the scopes of the other claim');
    granted ??= scopes;
  }
  return { ok: true, granted: Object.freeze([...new Set(granted)]) };
}

function malformed(claims: Claims, name: string, names: readonly string[], expected: string): Refusal {
  return refuse('scope_malformed', { ...shownClaim(claims, name, names), expected });
}

function namesIn(claim: unknown): string[] | undefined {
  const names: unknown = typeof claim === 'string' ? claim.split(' ').filter((name) => name !== '') : claim;
  return Array.isArray(names) && names.every(isScopeName) ? names : undefined;
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size;
}
