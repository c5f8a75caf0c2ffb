/**
 * Returns the value that all copies of this package in a process share by name, whatever their versions. Package
 * managers install several copies if two dependencies need incompatible versions.
 *
 * For values that one copy writes and another reads, not for values that decide about access: each copy decides for
 * itself.
 */
export function processWide<Value extends object>(name: string, make: () => Value): Value {
  const key = Symbol.for(`nestjs-identity-m2m:${name}`);
  const present: unknown = Reflect.get(globalThis, key);
  if (present !== undefined) return present as Value;
  const value = make();
  Object.defineProperty(globalThis, key, { value });
  return value;
}
