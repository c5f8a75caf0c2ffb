/**
 * Returns what all copies of this package in a process share under a name, whatever their versions. Package managers leave
 * several where two dependencies ask for versions that do not agree.
 *
 * For what one copy writes and another has to find, never for what a decision rests on: each copy decides for itself.
 */
export function processWide<Value extends object>(name: string, make: () => Value): Value {
  const key = Symbol.for(`nestjs-identity-m2m:${name}`);
  const present: unknown = Reflect.get(globalThis, key);
  if (present !== undefined) return present as Value;
  const value = make();
  Object.defineProperty(globalThis, key, { value });
  return value;
}
