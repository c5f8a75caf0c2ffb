import type { Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { accessMetadata, isRestricted, type RouteAccess, routeAccess } from './access-rules.js';
import { isRoute, methodAt, prototypesOf } from './handler-access.js';
import { isMessageHandler } from './message-handler.js';
/** A module of the application, as Nest keeps it. */
export type ApplicationModule = ModulesContainer extends Map<string, infer Each> ? Each : never;

/** Keys that the decorators of `@nestjs/websockets` and `@nestjs/graphql` leave their metadata under. */
const IS_GATEWAY = 'websockets:is_gateway';
const IS_SUBSCRIBER = 'websockets:message_mapping';
const RESOLVER_TYPE = 'graphql:resolver_type';
/** Types of resolvers that guards stand before. For others they do where `fieldResolverEnhancers` says so. */
const ROOT_FIELDS: readonly unknown[] = ['Query', 'Mutation', 'Subscription'];

/** Who calls a method: Nest's router, a message server, a WebSocket gateway, GraphQL, or somebody unknown. */
export type HandlerKind = 'route' | 'message' | 'websocket' | 'graphql' | 'unknown';

/** A method of a controller or provider. */
export class ApplicationHandler {
  constructor(
    readonly module: ApplicationModule,
    readonly ofClass: Type<object>,
    readonly prototype: object,
    readonly key: string | symbol,
    readonly method: object,
    readonly kind: HandlerKind,
  ) {}

  get name(): string {
    return `${this.ofClass.name}.${String(this.key)}`;
  }

  get access(): RouteAccess {
    return routeAccess(accessMetadata(this.prototype, this.key), accessMetadata(this.ofClass));
  }

  /** Whether anything may call it. Libraries leave metadata on the methods that they call. */
  get isHandler(): boolean {
    return this.kind !== 'unknown' || Reflect.getMetadataKeys(this.method).length > 0;
  }

  /** Whether decorators say who may call it. */
  get isRuled(): boolean {
    if (isRestricted(accessMetadata(this.prototype, this.key))) return true;
    return this.isHandler && isRestricted(accessMetadata(this.ofClass));
  }
}

/** Lists the methods of an application's classes: their own, and those of bases that they do not override. */
export function* applicationHandlers(modules: ModulesContainer): Iterable<ApplicationHandler> {
  for (const module of modules.values()) {
    for (const ofClass of classesOf(module.controllers)) yield* handlersOf(module, ofClass, controllerKind);
    for (const ofClass of classesOf(module.providers)) yield* handlersOf(module, ofClass, providerKind);
  }
}

function* classesOf(wrappers: ReadonlyMap<unknown, { readonly metatype: unknown }>): Iterable<Type<object>> {
  for (const { metatype } of wrappers.values()) {
    // A factory's metatype is the factory, and an arrow function has no prototype.
    if (typeof metatype === 'function' && metatype.prototype) yield metatype as Type<object>;
  }
}

type KindOf = (method: object, ofClass: Type<object>) => HandlerKind;

function* handlersOf(module: ApplicationModule, ofClass: Type<object>, kindOf: KindOf): Iterable<ApplicationHandler> {
  const seen = new Set<string | symbol>();
  for (const prototype of prototypesOf(ofClass)) {
    for (const key of Reflect.ownKeys(prototype)) {
      const method = methodAt(prototype, key);
      if (!method || seen.has(key)) continue;
      seen.add(key);
      yield new ApplicationHandler(module, ofClass, prototype, key, method, kindOf(method, ofClass));
    }
  }
}

function controllerKind(method: object): HandlerKind {
  if (isMessageHandler(method)) return 'message';
  return isRoute(method) ? 'route' : 'unknown';
}

function providerKind(method: object, ofClass: Type<object>): HandlerKind {
  if (Reflect.hasMetadata(IS_SUBSCRIBER, method) && Reflect.hasMetadata(IS_GATEWAY, ofClass)) return 'websocket';
  return ROOT_FIELDS.includes(Reflect.getMetadata(RESOLVER_TYPE, method)) ? 'graphql' : 'unknown';
}
