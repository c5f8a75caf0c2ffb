import type { ExecutionContext, Type } from '@nestjs/common';
import { accessMetadata } from './access-metadata.js';
import { type RouteAccess, routeAccess } from './route-access.js';

/** `unknown`: nobody can tell what its decorators say, because it is not a method of its class. */
export type HandlerAccess = RouteAccess | 'unknown';

type Handler = ReturnType<ExecutionContext['getHandler']>;

/** Who may call each handler. Decorators do not change while an application runs, so each is read once. */
export class HandlerAccessRules {
  readonly #known = new WeakMap<Type, WeakMap<Handler, HandlerAccess>>();

  of(context: ExecutionContext): HandlerAccess {
    const ofClass = context.getClass();
    let known = this.#known.get(ofClass);
    if (!known) this.#known.set(ofClass, (known = new WeakMap()));
    const handler = context.getHandler();
    let access = known.get(handler);
    if (access === undefined) known.set(handler, (access = handlerAccess(ofClass, handler)));
    return access;
  }
}

function handlerAccess(ofClass: Type, handler: Handler): HandlerAccess {
  const place = placeOf(ofClass, handler);
  return place ? routeAccess(accessMetadata(place.prototype, place.name), accessMetadata(ofClass)) : 'unknown';
}

interface MethodPlace {
  readonly prototype: object;
  readonly name: string | symbol;
}

/** Where a handler is defined, among the class and its bases. */
function placeOf(ofClass: Type, handler: Handler): MethodPlace | undefined {
  for (const prototype of prototypesOf(ofClass)) {
    const name = Reflect.ownKeys(prototype).find((key) => methodAt(prototype, key) === handler);
    if (name !== undefined) return { prototype, name };
  }
  // Bound to its instance by the constructor: the same method, as another function.
  const name = /^bound (.+)$/.exec(handler.name)?.[1];
  const prototype = name !== undefined && prototypesOf(ofClass).find((each) => methodAt(each, name));
  return prototype ? { prototype, name } : undefined;
}

/** From the class's own to that of the last base that is somebody's. */
function prototypesOf(ofClass: Type): object[] {
  const prototypes: object[] = [];
  let prototype = ofClass.prototype as object | null;
  while (prototype && prototype !== Object.prototype) {
    prototypes.push(prototype);
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  return prototypes;
}

function methodAt(prototype: object, name: string | symbol): unknown {
  const value: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
  return typeof value === 'function' && name !== 'constructor' ? value : undefined;
}
