import { applyDecorators } from '@nestjs/common';
import { definedOnly } from '../foundation/plain-objects.js';
import { isScopeName, strayCharacters } from '../foundation/text.js';
import { type ClaimRules, isClaimRules, type RoutePolicy } from '../verification/route-policy.js';

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

const PREFIX = 'nestjs-identity-m2m:';

/** The same in all copies and versions of this package: decorators of one are read by the guard of another. */
const KEYS = {
  public: `${PREFIX}public`,
  scopes: `${PREFIX}scopes`,
  scopesMode: `${PREFIX}scopes-mode`,
  clients: `${PREFIX}clients`,
  claims: `${PREFIX}claims`,
  sensitive: `${PREFIX}sensitive`,
} as const;

/**
 * A decorator for classes and methods that states one access rule.
 *
 * What it says of a method is kept by the method's name and not on the function, as other decorators of Nest do: a
 * decorator above it may put another function in its place, and a rule that went with the first would be gone.
 */
export function accessRule<Rule extends keyof AccessMetadata>(
  rule: Rule,
  value: AccessMetadata[Rule],
): ClassDecorator & MethodDecorator {
  return (target: object, method?: string | symbol) =>
    method === undefined
      ? Reflect.defineMetadata(KEYS[rule], value, target)
      : Reflect.defineMetadata(KEYS[rule], value, target, method);
}

/**
 * The access rules that stand on a class, or on a method of a prototype.
 *
 * Restrictions are inherited, each from the nearest base class that states it, also where the method is overridden; that
 * it is public is not, so that a class or method is open only where that can be read on it.
 */
export function accessMetadata(target: object, method?: string | symbol): AccessMetadata {
  const rule = (key: string) => Reflect.getMetadata(key, target, method!) as never;
  return {
    ...definedOnly({
      scopes: rule(KEYS.scopes),
      scopesMode: rule(KEYS.scopesMode),
      clients: rule(KEYS.clients),
      claims: rule(KEYS.claims),
      sensitive: rule(KEYS.sensitive),
    }),
    ...(Reflect.hasOwnMetadata(KEYS.public, target, method!) && { public: true }),
  };
}

/** Lists the access rules on a class or method that this version does not know: their decorators are of a newer copy. */
export function unknownRules(target: object, method?: string | symbol): readonly string[] {
  const known: readonly unknown[] = Object.values(KEYS);
  const isUnknown = (key: unknown): key is string =>
    typeof key === 'string' && key.startsWith(PREFIX) && !known.includes(key);
  return Reflect.getMetadataKeys(target, method!).filter(isUnknown);
}

/**
 * Lets in only these clients, by their identifier, out of those that the guard lets in at all; others get 403.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where there is no client or an empty one, or one with blanks at its
 * ends or control characters: a list that was split at its commas, say.
 */
export function AllowClients(...clients: readonly [string, ...string[]]): ClassDecorator & MethodDecorator {
  if (clients.length === 0 || !clients.every(isClientId)) {
    throw new TypeError(`@AllowClients() takes one or more client identifiers; found ${JSON.stringify(clients)}`);
  }
  return accessRule('clients', clients);
}

function isClientId(client: unknown): boolean {
  return typeof client === 'string' && client !== '' && strayCharacters(client) === undefined;
}

/**
 * Lets in only callers whose token has all of these scopes (RFC 6749 §3.3), or with `{ any: […] }` one of them; others
 * get 403 with the scopes named.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where a name can't be a scope or there is none: a list left
 * empty by accident would let everybody in.
 */
export function RequireScopes(
  ...scopes: readonly [string, ...string[]] | readonly [{ readonly any: readonly string[] }]
): ClassDecorator & MethodDecorator {
  const [first] = scopes;
  const isAny = typeof first === 'object' && first !== null && Array.isArray(first.any) && scopes.length === 1;
  const names: readonly unknown[] = isAny ? first.any : scopes;
  if (names.length === 0 || !names.every(isScopeName)) {
    throw new TypeError(
      `@RequireScopes() takes one or more scopes of printable ASCII, or { any: [ … ] }; found ${JSON.stringify(scopes)}`,
    );
  }
  return applyDecorators(accessRule('scopes', names), accessRule('scopesMode', isAny ? 'any' : 'all'));
}

/**
 * Lets in only callers whose token has these claims; others get 403.
 *
 * Each claim has to have the value, or one of the values, that stand for it; a claim that is a list has to have it among
 * its members. Members of an object are named in an object: `{ tenant: 'acme', realm_access: { roles: ['admin'] } }`.
 *
 * On a method it takes the place of what stands on the class.
 *
 * @throws TypeError, while the class is being defined, where nothing is asked for, or something that no claim can be.
 */
export function RequireClaims(rules: ClaimRules): ClassDecorator & MethodDecorator {
  if (!isClaimRules(rules)) {
    throw new TypeError(
      `@RequireClaims() takes claims with a value, several values or an object each; found ${JSON.stringify(rules)}`,
    );
  }
  return accessRule('claims', rules);
}

/**
 * Has the issuer asked about the token (RFC 7662), besides verifying its signature, so that a token which was revoked a
 * minute ago does not come through. Callers get 503 where the issuer can't be asked, or `introspection` is not configured
 * for it.
 *
 * On a method it takes the place of what stands on the class: `@Sensitive(false)` takes it back.
 */
export function Sensitive(sensitive = true): ClassDecorator & MethodDecorator {
  return accessRule('sensitive', sensitive);
}

/** Lets everybody in, with a token or without. On a class it holds for methods that say nothing else about access. */
export function Public(): ClassDecorator & MethodDecorator {
  return accessRule('public', true);
}
