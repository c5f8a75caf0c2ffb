import type { CanActivate } from '@nestjs/common';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { type ApplicationHandler, applicationHandlers } from './application-handlers.js';
import { isHandlerOf } from './message-handler.js';
import { GUARDS, MessageHandlerGuard, UnguardedMessageHandlersError } from './message-handlers.js';
import { isM2MAuthGuard, RuleReaders } from './rule-readers.js';

/** What is odd about where an application's guards stand. Handlers are named by class and method. */
export interface GuardPlacement {
  /** Handlers with access rules that no guard checks: everybody may call them. */
  readonly unchecked: readonly string[];
  /** Handlers behind `M2MAuthGuard` whose calls it cannot read: nobody may call them. */
  readonly unreadable: readonly string[];
  /** Handlers of gateways behind a global guard that `globalGuard` did not make. Nest 11 does not call it for them. */
  readonly skipped: readonly string[];
  /** Names the message handlers behind `M2MAuthGuard` that a server calls. */
  readonly guardedBy: (server: object) => readonly string[];
}

/**
 * Looks for handlers that seem to be guarded and are not, and for guarded ones that nobody can reach. To be called when
 * global guards are known and before anybody can call: while modules are initialised.
 *
 * @param application.servesHttp Whether it is one: what is connected to it has no guards of its own then.
 * @param application.hasMessageGuard Whether `globalGuard` is on.
 * @throws {@link UnguardedMessageHandlersError} where the guard was made the global one in Nest's way, and there are
 * message handlers, which that way does not reach.
 */
export function guardPlacement(
  modules: ModulesContainer,
  application: { readonly servesHttp: boolean; readonly hasMessageGuard: boolean },
): GuardPlacement {
  const globalGuards = globalGuardsOf(modules);
  // Nobody can tell.
  if (!globalGuards) return { unchecked: [], unreadable: [], skipped: [], guardedBy: () => [] };
  const { hasMessageGuard, servesHttp } = application;
  const readers = new RuleReaders(modules);
  const isGlobal = hasMessageGuard || globalGuards.some((guard) => readers.include(guard));
  const handlers = [...applicationHandlers(modules)];
  const isChecked = (handler: ApplicationHandler) =>
    isGlobal || guardsOn(handler).some((guard) => readers.include(guard));
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

/** Names the uses of `M2MAuthGuard` that can be seen while providers are still being made. */
export function guardUses(modules: ModulesContainer): readonly string[] {
  const handlers = [...applicationHandlers(modules)];
  return namesOf(handlers.filter((handler) => handler.isHandler && guardsOn(handler).some(isM2MAuthGuard)));
}

/** Whether `M2MAuthGuard` is a global guard, in whatever way. To be called while modules are initialised. */
export function isGlobalGuard(modules: ModulesContainer): boolean {
  return globalGuardsOf(modules)?.some(isM2MAuthGuard) === true;
}

/** Nest gives its configuration to nobody but its own parts, which every module leads to. */
function globalGuardsOf(modules: ModulesContainer): readonly (CanActivate | object)[] | undefined {
  const [module] = modules.values() as Iterable<{ readonly container?: { readonly applicationConfig?: unknown } }>;
  const config = module?.container?.applicationConfig as ApplicationConfig | undefined;
  return config && [...config.getGlobalGuards(), ...config.getGlobalRequestGuards()];
}

/** Returns the application's own guards that stand on a handler or its class. */
function guardsOn({ ofClass, method }: ApplicationHandler): unknown[] {
  return [ofClass, method]
    .flatMap((target) => (Reflect.getMetadata(GUARDS, target) ?? []) as unknown[])
    .filter((guard) => guard !== MessageHandlerGuard);
}

function isBehindGuard(handler: ApplicationHandler, globalGuards: readonly unknown[]): boolean {
  return [...globalGuards, ...guardsOn(handler)].some(isM2MAuthGuard);
}

/** Once each: a class may be provided by several modules. */
function namesOf(handlers: readonly ApplicationHandler[]): string[] {
  return [...new Set(handlers.map(({ name }) => name))];
}
