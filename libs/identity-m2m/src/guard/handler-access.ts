import type { ExecutionContext, Type } from '@nestjs/common';
import { accessMetadata, unknownRules, type RouteAccess, routeAccess } from './access-rules.js';

/** What the guard knows of a handler. */
export interface HandlerRules {
  /** `unknown`: the handler is not a method of its class, and names none; or it has rules that are not known here. */
  readonly access: RouteAccess | 'unknown';
  /** Rules of decorators of a newer version, by their metadata's keys. None may be passed over. */
  readonly unknownRules: readonly string[];
  /** Whether Nest's router calls it. Everything else of type `http` comes from another caller, with other arguments. */
  readonly isRoute: boolean;
}

type Handler = ReturnType<ExecutionContext['getHandler']>;

const UNKNOWN: HandlerRules = { access: 'unknown', unknownRules: [], isRoute: true };

const known = new WeakMap<Type, WeakMap<Handler, HandlerRules>>();

/** Returns the rules of a handler. Decorators do not change while an application runs, so they are read once. */
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

/** Key under which a method says in its metadata where it is defined. */
const PLACES = 'nestjs-identity-m2m:places';
/** Key that Nest's decorators of routes leave their metadata under. */
const PATH = 'path';

export interface MethodPlace {
  readonly prototype: object;
  readonly name: string | symbol;
}

/**
 * Writes into a method's metadata where it is defined.
 *
 * Instrumentations, those of OpenTelemetry and Sentry among them, call a handler through a function of their own, which
 * gets a copy of the handler's metadata. The copy leads back to the method, and so to its rules.
 */
export function recordPlace({ prototype, name }: MethodPlace, method: object): void {
  const places = placesIn(method);
  if (places.some((place) => place.prototype === prototype && place.name === name)) return;
  Reflect.defineMetadata(PLACES, [...places, { prototype, name }], method);
}

export function isRoute(method: object): boolean {
  return Reflect.hasMetadata(PATH, method);
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

/** Finds where a handler is defined, among its class and the bases of that. */
function placeOf(ofClass: Type, handler: Handler): MethodPlace | undefined {
  const prototypes = prototypesOf(ofClass);
  for (const prototype of prototypes) {
    const name = Reflect.ownKeys(prototype).find((key) => methodAt(prototype, key) === handler);
    if (name !== undefined) return { prototype, name };
  }
  return recordedPlace(prototypes, handler) ?? boundPlace(prototypes, handler);
}

/** A function that took the method's place carries its metadata. */
function recordedPlace(prototypes: readonly object[], handler: Handler): MethodPlace | undefined {
  const places = placesIn(handler);
  const prototype = prototypes.find((each) => places.some((place) => place.prototype === each));
  return places.find((place) => place.prototype === prototype);
}

function placesIn(method: object): readonly MethodPlace[] {
  return (Reflect.getMetadata(PLACES, method) ?? []) as readonly MethodPlace[];
}

/** Bound to its instance, by the constructor or by a caller of handlers: the same method, as another function. */
function boundPlace(prototypes: readonly object[], handler: Handler): MethodPlace | undefined {
  const name = /^bound (.+)$/.exec(handler.name)?.[1];
  const prototype = name !== undefined && prototypes.find((each) => methodAt(each, name));
  return prototype ? { prototype, name } : undefined;
}

/** Lists the prototypes of a class from its own to that of its last base. */
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
