import type { Claims } from '../identity-providers/identity-provider.js';
import type { MachineCaller } from './machine-caller.js';
import { oneOf, type Refusal, type RefusalDetail, refuse, shown, shownClaim } from './refusal.js';

/** What a route requires besides a valid token. */
export interface RoutePolicy {
  /** Required scopes. Default: none. */
  readonly scopes?: readonly string[] | undefined;
  /** Whether the token must have all of them, or any one. Default: `all`. */
  readonly scopesMode?: 'all' | 'any' | undefined;
  /** Clients that may call. Default: every client that the guard accepts. */
  readonly clients?: readonly string[] | undefined;
  /** Rules for the token's claims. Default: none. */
  readonly claims?: ClaimRules | undefined;
  /** Whether the token must be checked with its issuer as well, by introspection. Default: false. */
  readonly sensitive?: boolean | undefined;
}

/** What a route's rights depend on besides the caller. */
export interface RightsContext {
  /** Whether several issuers are trusted, so that a bare client identifier may mean more than one client. */
  readonly hasSeveralIssuers: boolean;
}

declare const rightsWereChecked: unique symbol;

/** An allowed call. Only {@link routeVerdict} creates one, so that no caller passes with unchecked rights. */
export interface AllowedCall {
  readonly ok: true;
  readonly caller: MachineCaller;
  readonly [rightsWereChecked]: true;
}

/** The decision about one call. */
export type Verdict = AllowedCall | Refusal;

/**
 * Allows a caller that meets a route's policy, and refuses any other. A sensitive route allows only a caller whose
 * token was checked with its issuer.
 */
export function routeVerdict(caller: MachineCaller, policy: RoutePolicy, context: RightsContext): Verdict {
  const refusal = rightsRefusal(caller, policy, context);
  if (refusal) return refusal;
  if (policy.sensitive && !caller.isIntrospected) return refuse('introspection_unavailable', NOT_INTROSPECTED);
  return { ok: true, caller } as AllowedCall;
}

const NOT_INTROSPECTED: RefusalDetail = { expected: 'introspection by its issuer, because the route is @Sensitive()' };

/** Returns why a caller's client, scopes or claims do not meet a policy; undefined if they do. */
function rightsRefusal(
  caller: MachineCaller,
  policy: RoutePolicy,
  { hasSeveralIssuers }: RightsContext,
): Refusal | undefined {
  const { clients, scopes = [], scopesMode, claims } = policy;
  // The guard's options name a client together with its issuer.
  const isUnmistakable = caller.isNamed || !hasSeveralIssuers;
  if (clients && !(isUnmistakable && clients.includes(caller.clientId))) {
    const expected = isUnmistakable
      ? oneOf(clients)
      : 'a client in the options of the guard, because the guard trusts several issuers';
    return { ...refuse('client_not_allowed', { claim: 'client id', found: shown(caller.clientId), expected }), caller };
  }
  if (scopes.length > 0 && !hasScopes(caller, scopes, scopesMode)) {
    const expected = oneOf(scopes, scopesMode === 'any' ? 'or' : 'and');
    return { ...refuse('scope_insufficient', { claim: 'scope', found: shown(caller.scopes), expected }), caller };
  }
  const unmet = claims && unmetRule(caller.claims, claims);
  if (unmet === undefined) return undefined;
  const detail = { ...shownClaim(caller.claims, unmet), expected: shownRule(claims![unmet]!) };
  return { ...refuse('claims_insufficient', detail), caller };
}

function hasScopes(caller: MachineCaller, scopes: readonly string[], mode: RoutePolicy['scopesMode']): boolean {
  const has = (scope: string) => caller.scopes.includes(scope);
  return mode === 'any' ? scopes.some(has) : scopes.every(has);
}

/** Formats a rule. It is part of the application's source, so it holds no secret. */
function shownRule(rule: ClaimRule): string {
  return typeof rule === 'object' && !Array.isArray(rule) ? 'an object with the members of the rule' : shown(rule);
}

export type ClaimValue = string | number | boolean;

/** The rule for a claim: a value, several accepted values, or rules for the members of an object. */
export type ClaimRule = ClaimValue | readonly ClaimValue[] | ClaimRules;

/** Rules by the exact names of claims. A dot in a name is not a path separator. */
export interface ClaimRules {
  readonly [name: string]: ClaimRule;
}

/**
 * Returns the name of the first claim that does not meet its rule; undefined if all do.
 *
 * Values must be equal and of the same type. A list passes if it has such a member. A string is not searched, so
 * `admin` is not found in `administrator`. Only a claim's own members count.
 */
function unmetRule(claims: Claims, rules: ClaimRules): string | undefined {
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

/** Whether a value is an object of rules that can both refuse and allow a caller. */
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
