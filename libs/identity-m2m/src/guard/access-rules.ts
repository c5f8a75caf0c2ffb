import { applyDecorators, type ExecutionContext, type Type } from '@nestjs/common';
import { definedOnly } from '../foundation/plain-objects.js';
import { isScopeName, strayCharacters } from '../foundation/text.js';
import { type ClaimRules, isClaimRules, type RoutePolicy } from '../verification/route-policy.js';

/** The access rules that the decorators on one class or one method set. */
export interface AccessMetadata {
  readonly public?: true;
  readonly scopes?: readonly string[];
  /** Present wherever `scopes` is. */
  readonly scopesMode?: 'all' | 'any';
  readonly clients?: readonly string[];
  readonly claims?: ClaimRules;
  readonly sensitive?: boolean;
}

export type RouteAccess = 'public' | RoutePolicy;

/**
 * Merges the rules of a method with those of its class.
 *
 * A class or method with any restriction is not public; neither is a restricted method of a public class. Otherwise,
 * each rule of the method replaces the same rule of the class, and the other rules of the class apply.
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

/** Metadata keys, the same in every copy and version of this package: a guard reads the decorators of another copy. */
const KEYS = {
  public: `${PREFIX}public`,
  scopes: `${PREFIX}scopes`,
  scopesMode: `${PREFIX}scopes-mode`,
  clients: `${PREFIX}clients`,
  claims: `${PREFIX}claims`,
  sensitive: `${PREFIX}sensitive`,
} as const;

/**
 * Creates a decorator for classes and methods that sets one access rule.
 *
 * The rule of a method is stored under the method's name and not on its function, unlike those of Nest: another
 * decorator may replace the function, and the rule must not be lost with it.
 */
function accessRule<Rule extends keyof AccessMetadata>(
  rule: Rule,
  value: AccessMetadata[Rule],
): ClassDecorator & MethodDecorator {
  return (target: object, method?: string | symbol) =>
    method === undefined
      ? Reflect.defineMetadata(KEYS[rule], value, target)
      : Reflect.defineMetadata(KEYS[rule], value, target, method);
}

/**
 * Returns the access rules of a class, or of a method of a prototype.
 *
 * Restrictions are inherited, each from the nearest base class that sets it, even if a method is overridden.
 * `@Public()` is not: a class or method is public only if its own source says so.
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

/** Lists the access rules that this version does not know, because their decorators come from a newer copy. */
function unknownRules(target: object, method?: string | symbol): readonly string[] {
  const known: readonly unknown[] = Object.values(KEYS);
  const isUnknown = (key: unknown): key is string =>
    typeof key === 'string' && key.startsWith(PREFIX) && !known.includes(key);
  return Reflect.getMetadataKeys(target, method!).filter(isUnknown);
}

/**
 * Allows only these of the clients that the guard accepts, by their identifiers; other clients get 403.
 *
 * On a method, it replaces the list of the class.
 *
 * @throws TypeError when the class is defined, if there is no client or an invalid identifier: one that is empty, has
 * control characters or surrounding whitespace, as in a list that was split at its commas.
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
 * Requires all of these scopes in the token (RFC 6749 §3.3), or one of them with `{ any: […] }`. Other callers get 403,
 * and the challenge names the scopes.
 *
 * On a method, it replaces the scopes of the class.
 *
 * @throws TypeError when the class is defined, if a name can't be a scope or there is none: an empty list would allow
 * every caller.
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
 * Requires claims in the token; other callers get 403.
 *
 * A claim must equal the value, or one of the values, of its rule; a list must have such a member. A nested object has
 * the rules for the members of a claim: `{ tenant: 'acme', realm_access: { roles: ['admin'] } }`.
 *
 * On a method, it replaces the rules of the class.
 *
 * @throws TypeError when the class is defined, if there is no rule, or a rule that no claim can meet.
 */
export function RequireClaims(rules: ClaimRules): ClassDecorator & MethodDecorator {
  if (!isClaimRules(rules)) {
    throw new TypeError(
      `@RequireClaims() takes an object of claims, each with a value, a list of values or an object; found ${JSON.stringify(rules)}`,
    );
  }
  return accessRule('claims', rules);
}

/**
 * Checks the token with its issuer (introspection, RFC 7662) in addition to its signature, so that a revoked token is
 * refused within a minute. Callers get 503 if the issuer can't be reached, or if `introspection` is not configured for
 * it.
 *
 * On a method, it replaces the setting of the class; `@Sensitive(false)` turns it off.
 */
export function Sensitive(sensitive = true): ClassDecorator & MethodDecorator {
  return accessRule('sensitive', sensitive);
}

/**
 * Allows every caller, with or without a token. On a class, it applies to methods without access rules of their own.
 */
export function Public(): ClassDecorator & MethodDecorator {
  return accessRule('public', true);
}

/** The access rules of a handler, and how Nest calls it. */
export interface HandlerRules {
  /**
   * `unknown`: the handler can't be traced to a method of its class, or it has rules that this version does not know.
   */
  readonly access: RouteAccess | 'unknown';
  /** Metadata keys of the rules that decorators of a newer version set. */
  readonly unknownRules: readonly string[];
  /**
   * Whether Nest's router calls it. Other code may also call handlers with the type `http`, but with other arguments.
   */
  readonly isRoute: boolean;
}

/** Whether a call is a request that Nest's router handles. */
export function isRoutedRequest(context: ExecutionContext, { isRoute }: HandlerRules): boolean {
  return isRoute && context.getType() === 'http';
}

type Handler = ReturnType<ExecutionContext['getHandler']>;

const UNKNOWN: HandlerRules = { access: 'unknown', unknownRules: [], isRoute: true };

const known = new WeakMap<Type, WeakMap<Handler, HandlerRules>>();

/** Returns the rules of a handler. They are read once: decorators do not change while an application runs. */
export function handlerRulesOf(context: ExecutionContext): HandlerRules {
  const ofClass = context.getClass() as Type | null;
  if (!ofClass) return UNKNOWN;
  let ofHandlers = known.get(ofClass);
  if (!ofHandlers) known.set(ofClass, (ofHandlers = new WeakMap()));
  const handler = context.getHandler();
  let rules = ofHandlers.get(handler);
  if (!rules) ofHandlers.set(handler, (rules = handlerRules(ofClass, handler)));
  return rules;
}

function handlerRules(ofClass: Type, handler: Handler): HandlerRules {
  const place = placeOf(ofClass, handler);
  if (!place) return UNKNOWN;
  const { prototype, name } = place;
  const strange = [...unknownRules(prototype, name), ...unknownRules(ofClass)];
  return {
    access: strange.length > 0 ? 'unknown' : routeAccess(accessMetadata(prototype, name), accessMetadata(ofClass)),
    unknownRules: strange,
    isRoute: isRoute(handler) || isRoute(methodAt(prototype, name) ?? handler),
  };
}

/** Metadata key of the place where a method is defined. */
const PLACES = 'nestjs-identity-m2m:places';
/** Metadata key of Nest's decorators for routes. */
const PATH = 'path';

/** Where a method is defined. */
interface MethodPlace {
  readonly prototype: object;
  readonly name: string | symbol;
}

/**
 * Records in a method's metadata where the method is defined.
 *
 * Instrumentations such as OpenTelemetry and Sentry replace a handler with their own function and copy the metadata.
 * The copied record leads back to the method, and so to its rules.
 */
export function recordPlace({ prototype, name }: MethodPlace, method: object): void {
  const places = placesIn(method);
  if (places.some((place) => place.prototype === prototype && place.name === name)) return;
  Reflect.defineMetadata(PLACES, [...places, { prototype, name }], method);
}

export function isRoute(method: object): boolean {
  return Reflect.hasMetadata(PATH, method);
}

/** Finds where a handler is defined, in its class or a base class. */
function placeOf(ofClass: Type, handler: Handler): MethodPlace | undefined {
  const prototypes = prototypesOf(ofClass);
  for (const prototype of prototypes) {
    const name = Reflect.ownKeys(prototype).find((key) => methodAt(prototype, key) === handler);
    if (name !== undefined) return { prototype, name };
  }
  return recordedPlace(prototypes, handler) ?? boundPlace(prototypes, handler);
}

/** Finds the place in the metadata that a wrapper function has copied. */
function recordedPlace(prototypes: readonly object[], handler: Handler): MethodPlace | undefined {
  const places = placesIn(handler);
  const prototype = prototypes.find((each) => places.some((place) => place.prototype === each));
  return places.find((place) => place.prototype === prototype);
}

function placesIn(method: object): readonly MethodPlace[] {
  return (Reflect.getMetadata(PLACES, method) ?? []) as readonly MethodPlace[];
}

/** Finds a method that was bound to its instance, by the constructor or by the code that calls handlers. */
function boundPlace(prototypes: readonly object[], handler: Handler): MethodPlace | undefined {
  const name = /^bound (.+)$/.exec(handler.name)?.[1];
  const prototype = name !== undefined && prototypes.find((each) => methodAt(each, name));
  return prototype ? { prototype, name } : undefined;
}

/** Lists the prototypes of a class, from its own to that of its last base class. */
export function prototypesOf(ofClass: Type): object[] {
  const prototypes: object[] = [];
  let prototype = ofClass.prototype as object | null;
  while (prototype && prototype !== Object.prototype) {
    prototypes.push(prototype);
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  return prototypes;
}

export function methodAt(prototype: object, name: string | symbol): object | undefined {
  const value: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
  return typeof value === 'function' && name !== 'constructor' ? value : undefined;
}
