import type { ClaimRules } from '../verification/claim-rule.js';
import type { RoutePolicy } from '../verification/route-policy.js';

/** What the decorators on one class or one method say. */
export interface AccessMetadata {
  readonly public?: true;
  readonly scopes?: readonly string[];
  /** Stands wherever `scopes` does. */
  readonly scopesMode?: 'all' | 'any';
  readonly clients?: readonly string[];
  readonly claims?: ClaimRules;
  readonly sensitive?: boolean;
}

export type RouteAccess = 'public' | RoutePolicy;

/**
 * Who may call a method: what its own decorators say, then those of its class.
 *
 * A level that says anything about who may come is not public, whatever else it says; neither is a method that does, in a
 * public class. Otherwise each rule of the method takes the place of the same rule of the class, and what the method does
 * not mention stays as the class has it.
 */
export function routeAccess(method: AccessMetadata, ofClass: AccessMetadata): RouteAccess {
  if (isRestricted(method)) return restricted(method, ofClass);
  if (method.public) return 'public';
  if (ofClass.public && !isRestricted(ofClass)) return 'public';
  return restricted(method, ofClass);
}

export function isRestricted({ scopes, clients, claims, sensitive }: AccessMetadata): boolean {
  return scopes !== undefined || clients !== undefined || claims !== undefined || sensitive !== undefined;
}

function restricted(method: AccessMetadata, ofClass: AccessMetadata): RoutePolicy {
  const { scopes = [], scopesMode } = method.scopes ? method : ofClass;
  return {
    scopes,
    scopesMode,
    clients: method.clients ?? ofClass.clients,
    claims: method.claims ?? ofClass.claims,
    sensitive: method.sensitive ?? ofClass.sensitive,
  };
}
