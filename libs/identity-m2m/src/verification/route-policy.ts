import { type ClaimRules, meetsRules } from './claim-rule.js';
import type { MachineCaller } from './machine-caller.js';
import { type Refusal, type RefusalReason, refuse } from './refusal.js';

/** What a route asks for besides a good token. */
export interface RoutePolicy {
  /** Scopes that the token must have; undefined: none. */
  readonly scopes?: readonly string[] | undefined;
  /** Whether it must have all of them or any one. Default: all. */
  readonly scopesMode?: 'all' | 'any' | undefined;
  /** Clients, one of which the caller must be; undefined: whomever the guard lets in. */
  readonly clients?: readonly string[] | undefined;
  /** What the token's claims must be. */
  readonly claims?: ClaimRules | undefined;
  /** Whether the issuer must be asked about the token even where its signature is good. Default: false. */
  readonly sensitive?: boolean | undefined;
}

/** What a guard knows that its routes do not. */
export interface RouteSurroundings {
  /** Whether several issuers are trusted, so that a bare client identifier may mean more than one client. */
  readonly hasSeveralIssuers: boolean;
}

/** What a route has against a caller; undefined where nothing. */
export function routeRefusal(
  caller: MachineCaller,
  policy: RoutePolicy,
  surroundings: RouteSurroundings,
): Refusal | undefined {
  const reason = rightsFault(caller, policy, surroundings);
  if (reason) return { ...refuse(reason), caller };
  // Whoever forgets to ask the issuer does not get through.
  if (policy.sensitive && !caller.isIntrospected) return { ...refuse('introspection_unavailable'), caller };
  return undefined;
}

/** The same without the question whether the issuer was asked. */
export function rightsFault(
  caller: MachineCaller,
  policy: RoutePolicy,
  { hasSeveralIssuers }: RouteSurroundings,
): RefusalReason | undefined {
  // A client that the guard's options name was named together with its issuer.
  const isUnmistakable = caller.isNamed || !hasSeveralIssuers;
  if (policy.clients && !(isUnmistakable && policy.clients.includes(caller.clientId))) return 'client_not_allowed';
  if (policy.scopes && policy.scopes.length > 0 && !hasScopes(caller, policy.scopes, policy.scopesMode)) {
    return 'scope_insufficient';
  }
  if (policy.claims && !meetsRules(caller.claims, policy.claims)) return 'claims_insufficient';
  return undefined;
}

function hasScopes(caller: MachineCaller, scopes: readonly string[], mode: RoutePolicy['scopesMode']): boolean {
  const has = (scope: string) => caller.scopes.includes(scope);
  return mode === 'any' ? scopes.some(has) : scopes.every(has);
}
