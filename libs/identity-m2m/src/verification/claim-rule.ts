import type { Claims } from '../identity-providers/access-token-profile.js';

export type ClaimValue = string | number | boolean;

/** What a claim has to be: a value, one of several values, or an object whose members have to be something each. */
export type ClaimRule = ClaimValue | readonly ClaimValue[] | ClaimRules;

/** What claims have to be, by their names to the letter: a dot in a name is a dot. */
export interface ClaimRules {
  readonly [name: string]: ClaimRule;
}

/**
 * The name of the first claim that does not meet its rule; undefined where all do.
 *
 * Values must be equal and of the same type. A claim that is a list passes where it has such a value among its members; a
 * string is not a list, so that `admin` is not found in `administrator`. Only a claim's own members count.
 */
export function unmetRule(claims: Claims, rules: ClaimRules): string | undefined {
  return Object.keys(rules).find((name) => !Object.hasOwn(claims, name) || !meets(claims[name], rules[name]!));
}

function meets(claim: unknown, rule: ClaimRule): boolean {
  if (isRules(rule)) {
    const isObject = typeof claim === 'object' && claim !== null && !Array.isArray(claim);
    return isObject && unmetRule(claim as Claims, rule) === undefined;
  }
  const accepted: readonly unknown[] = Array.isArray(rule) ? rule : [rule];
  return Array.isArray(claim) ? claim.some((value) => accepted.includes(value)) : accepted.includes(claim);
}

function isRules(rule: ClaimRule): rule is ClaimRules {
  return typeof rule === 'object' && !Array.isArray(rule);
}

/** Whether a value is a rule that can ever refuse somebody and let in somebody. */
export function isClaimRules(value: unknown): value is ClaimRules {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const rules = Object.values(value);
  return rules.length > 0 && rules.every((rule) => isClaimValue(rule) || isValueList(rule) || isClaimRules(rule));
}

function isValueList(rule: unknown): boolean {
  return Array.isArray(rule) && rule.length > 0 && rule.every(isClaimValue);
}

function isClaimValue(value: unknown): value is ClaimValue {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}
