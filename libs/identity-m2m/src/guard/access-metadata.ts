import { definedOnly } from '../foundation/defined-only.js';
import type { AccessMetadata } from './route-access.js';

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
