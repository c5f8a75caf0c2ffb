import { isScopeName } from '../foundation/scope-name.js';

const USUAL_CLAIMS: readonly string[] = ['scope', 'scp'];

/**
 * The scopes of a token: a text of names divided by single blanks (RFC 6749 §3.3, RFC 8693 §4.2), or a list of names, as
 * some servers write it.
 *
 * @param names Claims that may hold them.
 * @returns undefined where a claim has any other form, or two do not say the same: half-understood rights are worse
 * than none.
 */
export function readScopes(
  claims: Readonly<Record<string, unknown>>,
  names: readonly string[] = USUAL_CLAIMS,
): readonly string[] | undefined {
  const present = names.filter((name) => Object.hasOwn(claims, name)).map((name) => namesIn(claims[name]));
  const [scopes = [], ...others] = present;
  if (present.includes(undefined) || others.some((other) => !isSameSet(other ?? [], scopes))) return undefined;
  return Object.freeze([...new Set(scopes)]);
}

function namesIn(claim: unknown): string[] | undefined {
  if (claim === '') return [];
  const names: unknown = typeof claim === 'string' ? claim.split(' ') : claim;
  return Array.isArray(names) && names.every(isScopeName) ? names : undefined;
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size;
}
