import type { CanActivate, Type } from '@nestjs/common';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { type ApplicationModule, injectedInto, type ProviderWrapper, wrappersOf } from '../nest/providers.js';
import {
  accessMetadata,
  isRestricted,
  isRoute,
  methodAt,
  prototypesOf,
  recordPlace,
  type RouteAccess,
  routeAccess,
} from './access-rules.js';
import { CallerInterceptor } from './caller.js';
import { M2MAuthGuard } from './m2m-auth.guard.js';
import {
  isHandlerOf,
  isMessageHandler,
  MessageHandlerGuard,
  MessageRefusalFilter,
  UnguardedMessageHandlersError,
} from './message-handler.js';

/** Metadata keys of Nest's `@UseGuards()`, `@UseFilters()` and `@UseInterceptors()`. */
const GUARDS = '__guards__';
const FILTERS = '__exceptionFilters__';
const INTERCEPTORS = '__interceptors__';

/** Problems with the placement of an application's guards. Handlers are named by class and method. */
export interface GuardPlacement {
  /** Handlers with access rules that no guard checks: every caller is allowed. */
  readonly unchecked: readonly string[];
  /** Handlers behind `M2MAuthGuard` whose calls it cannot read: every caller is refused. */
  readonly unreadable: readonly string[];
  /** Handlers of gateways behind a global guard other than that of `globalGuard`. Nest 11 does not call it for them. */
  readonly skipped: readonly string[];
  /** Names the message handlers behind `M2MAuthGuard` that a server calls. */
  readonly guardedBy: (server: object) => readonly string[];
}

/**
 * Finds handlers that look guarded but are not, and guarded handlers that no caller can reach. Call it while modules
 * are initialised: by then, global guards are known, and no call has arrived yet.
 *
 * @param application.servesHttp Whether the application serves HTTP: then connected microservices do not get its global
 * guards.
 * @param application.hasMessageGuard Whether `globalGuard` is on.
 * @throws {@link UnguardedMessageHandlersError} if the guard was made global by `APP_GUARD` or `useGlobalGuards()`,
 * which do not reach the application's message handlers.
 */
export function guardPlacement(
  modules: ModulesContainer,
  application: { readonly servesHttp: boolean; readonly hasMessageGuard: boolean },
): GuardPlacement {
  const globalGuards = globalGuardsOf(modules);
  // This version of Nest has no readable configuration: the placement is unknown.
  if (!globalGuards) return { unchecked: [], unreadable: [], skipped: [], guardedBy: () => [] };
  const { hasMessageGuard, servesHttp } = application;
  const checkers = new RuleCheckers(modules);
  const isGlobal = hasMessageGuard || globalGuards.some((guard) => checkers.include(guard));
  const handlers = [...applicationHandlers(modules)];
  const isChecked = (handler: ApplicationHandler) =>
    isGlobal || guardsOn(handler).some((guard) => checkers.include(guard));
  const isByHand = !hasMessageGuard && globalGuards.some(isM2MAuthGuard);
  const isOpen = (handler: ApplicationHandler) => guardsOn(handler).length === 0 && handler.access !== 'public';
  const open = handlers.find((handler) => handler.kind === 'message' && isOpen(handler));
  if (open && isByHand && servesHttp) throw UnguardedMessageHandlersError.beyondGlobalGuard(open.ofClass.name);
  const guarded = handlers.filter((handler) => handler.access !== 'public' && isBehindGuard(handler, globalGuards));
  const unread = guarded.filter(({ kind }) => kind === 'websocket' || kind === 'graphql');
  const isSkipped = (handler: ApplicationHandler) =>
    isByHand && handler.kind === 'websocket' && !guardsOn(handler).some(isM2MAuthGuard);
  return {
    unchecked: namesOf(handlers.filter((handler) => handler.isRuled && !isChecked(handler))),
    unreadable: namesOf(unread.filter((handler) => !isSkipped(handler))),
    skipped: namesOf(unread.filter(isSkipped)),
    guardedBy: (server) =>
      namesOf(guarded.filter(({ kind, method }) => kind === 'message' && isHandlerOf(method, server))),
  };
}

/** Names the handlers with `M2MAuthGuard` that are known while providers are still being created. */
export function guardUses(modules: ModulesContainer): readonly string[] {
  const handlers = [...applicationHandlers(modules)];
  return namesOf(handlers.filter((handler) => handler.isHandler && guardsOn(handler).some(isM2MAuthGuard)));
}

/** Whether `M2MAuthGuard` is a global guard, however it was registered. Call it while modules are initialised. */
export function isGlobalGuard(modules: ModulesContainer): boolean {
  return globalGuardsOf(modules)?.some(isM2MAuthGuard) === true;
}

/** Nest exposes its configuration only to its own parts, but each module leads to it. */
function globalGuardsOf(modules: ModulesContainer): readonly (CanActivate | object)[] | undefined {
  const [module] = modules.values() as Iterable<{ readonly container?: { readonly applicationConfig?: unknown } }>;
  const config = module?.container?.applicationConfig as ApplicationConfig | undefined;
  return config && [...config.getGlobalGuards(), ...config.getGlobalRequestGuards()];
}

/** Returns the application's own guards on a handler and its class. */
function guardsOn({ ofClass, method }: ApplicationHandler): unknown[] {
  return [ofClass, method]
    .flatMap((target) => (Reflect.getMetadata(GUARDS, target) ?? []) as unknown[])
    .filter((guard) => guard !== MessageHandlerGuard);
}

function isBehindGuard(handler: ApplicationHandler, globalGuards: readonly unknown[]): boolean {
  return [...globalGuards, ...guardsOn(handler)].some(isM2MAuthGuard);
}

/** Names each handler once: several modules may provide its class. */
function namesOf(handlers: readonly ApplicationHandler[]): string[] {
  return [...new Set(handlers.map(({ name }) => name))];
}

/** Whether a guard, a class or an object, is `M2MAuthGuard` or derived from it. */
function isM2MAuthGuard(guard: unknown): boolean {
  if (guard instanceof M2MAuthGuard || guard === M2MAuthGuard) return true;
  return typeof guard === 'function' && guard.prototype instanceof M2MAuthGuard;
}

/**
 * The guards of an application that check access rules: `M2MAuthGuard`, and the application's own guards that have it
 * injected, directly or through other providers.
 */
class RuleCheckers {
  readonly #wrappers: readonly ProviderWrapper[];
  readonly #known = new Map<unknown, boolean>();

  constructor(modules: ModulesContainer) {
    this.#wrappers = [...modules.values()].flatMap((module) => wrappersOf(module, ['providers', 'injectables']));
  }

  /** @param guard A class, an object, or Nest's wrapper of a guard that is made for each request. */
  include(guard: unknown): boolean {
    let isChecker = this.#known.get(guard);
    if (isChecker === undefined) this.#known.set(guard, (isChecker = isM2MAuthGuard(guard) || this.#hasOne(guard)));
    return isChecker;
  }

  #hasOne(guard: unknown): boolean {
    if ((typeof guard !== 'object' && typeof guard !== 'function') || guard === null) return false;
    const wrappers = this.#wrappers.filter((each) => [each, each.token, each.metatype, each.instance].includes(guard));
    return wrappers.some((each) => leadsToGuard(each)) || Object.values(guard).some(isM2MAuthGuard);
  }
}

function leadsToGuard(wrapper: ProviderWrapper, seen = new Set<ProviderWrapper>()): boolean {
  // A test may have replaced the guard's instance.
  if (isM2MAuthGuard(wrapper.token) || isM2MAuthGuard(wrapper.metatype)) return true;
  if (seen.has(wrapper)) return false;
  seen.add(wrapper);
  return injectedInto(wrapper).some((each) => each !== undefined && leadsToGuard(each, seen));
}

const filter = new MessageRefusalFilter();
const interceptor = new CallerInterceptor();

/**
 * Prepares the handlers of an application that has a guard. Call it while providers are created, before handlers are
 * registered with routers and servers.
 *
 * Each handler records its place, so that a wrapper function leads back to it. Message handlers also get the filter for
 * refused messages, and the interceptor that provides the caller.
 */
export function prepareHandlers(modules: ModulesContainer): void {
  for (const { isHandler, kind, key, prototype, method } of applicationHandlers(modules)) {
    if (isHandler) recordPlace({ prototype, name: key }, method);
    if (kind !== 'message') continue;
    // Nest tries the last filter first, and runs the first interceptor outermost.
    extend(FILTERS, method, (present) => [...present, filter], filter);
    extend(INTERCEPTORS, method, (present) => [interceptor, ...present], interceptor);
  }
}

/**
 * Puts the guard before each message handler of the application, including those of gateways.
 *
 * A global guard is not enough. A microservice of `connectMicroservice()` has its own configuration, without the
 * application's guards unless it inherits them; and Nest 11 calls no global guard for gateways.
 *
 * @throws {@link UnguardedMessageHandlersError} if that fails: then the application must not start.
 */
export function guardMessageHandlers(modules: ModulesContainer, guard: CanActivate): void {
  const handlers = [...applicationHandlers(modules)].filter(({ kind }) => kind === 'message' || kind === 'websocket');
  for (const { ofClass } of handlers) {
    extend(GUARDS, ofClass, (present) => [MessageHandlerGuard, ...present], MessageHandlerGuard);
  }
  for (const module of new Set(handlers.map(({ module }) => module))) {
    module.addInjectable({ provide: MessageHandlerGuard, useValue: new MessageHandlerGuard(guard) }, 'guard');
    if (module.injectables.has(MessageHandlerGuard)) continue;
    // Nest skips a guard that it can't find.
    throw UnguardedMessageHandlersError.notFound(handlers.find((handler) => handler.module === module)!.ofClass.name);
  }
}

/** Extends a list in the metadata, once for each target, however many applications use it. */
function extend(key: string, target: object, extended: (present: unknown[]) => unknown[], added: unknown): void {
  const present = (Reflect.getMetadata(key, target) ?? []) as unknown[];
  if (!present.includes(added)) Reflect.defineMetadata(key, extended(present), target);
}

/** Metadata keys of `@nestjs/websockets` and `@nestjs/graphql`. */
const IS_GATEWAY = 'websockets:is_gateway';
const IS_SUBSCRIBER = 'websockets:message_mapping';
const RESOLVER_TYPE = 'graphql:resolver_type';
/** Types of resolvers that Nest calls guards for. For other types, `fieldResolverEnhancers` decides. */
const ROOT_FIELDS: readonly unknown[] = ['Query', 'Mutation', 'Subscription'];

/** What calls a method: Nest's router, a message server, a WebSocket gateway, GraphQL, or something unknown. */
type HandlerKind = 'route' | 'message' | 'websocket' | 'graphql' | 'unknown';

/** A method of a controller or provider. */
class ApplicationHandler {
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

  /** Whether a library may call it: libraries put metadata on the methods that they call. */
  get isHandler(): boolean {
    return this.kind !== 'unknown' || Reflect.getMetadataKeys(this.method).length > 0;
  }

  /** Whether decorators restrict its callers. */
  get isRuled(): boolean {
    if (isRestricted(accessMetadata(this.prototype, this.key))) return true;
    return this.isHandler && isRestricted(accessMetadata(this.ofClass));
  }
}

/** Lists the methods of an application's classes: their own, and those of base classes that they do not override. */
function* applicationHandlers(modules: ModulesContainer): Iterable<ApplicationHandler> {
  for (const module of modules.values()) {
    for (const ofClass of classesOf(module, 'controllers')) yield* handlersOf(module, ofClass, controllerKind);
    for (const ofClass of classesOf(module, 'providers')) yield* handlersOf(module, ofClass, providerKind);
  }
}

function* classesOf(module: ApplicationModule, kind: 'controllers' | 'providers'): Iterable<Type<object>> {
  for (const { metatype } of wrappersOf(module, [kind])) {
    // The metatype of a factory is the factory, and an arrow function has no prototype.
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
