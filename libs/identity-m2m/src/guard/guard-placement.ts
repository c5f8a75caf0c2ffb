import type { CanActivate, Type } from '@nestjs/common';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { accessMetadata } from './access-metadata.js';
import { M2MAuthGuard } from './m2m-auth.guard.js';
import { isMessageHandler } from './message-handler.js';
import { GUARDS, MessageHandlerGuard } from './message-handlers.js';
import { isRestricted, routeAccess } from './route-access.js';
import { UnguardedMessageHandlersError } from './unguarded-message-handlers-error.js';

/** Key that Nest's decorators of routes leave their metadata under. */
const PATH = 'path';

/**
 * Looks for handlers that seem to be guarded and are not, before anybody can call them. To be called when global guards
 * are known: while modules are initialised.
 *
 * @param application.servesHttp Whether it is one: what is connected to it has no guards of its own then.
 * @returns Names of handlers with access rules that no guard reads, because none of any kind stands before them.
 * @throws {@link UnguardedMessageHandlersError} where the guard was made the global one in Nest's way, and there are
 * message handlers, which that way does not reach.
 */
export function checkGuardPlacement(
  modules: ModulesContainer,
  application: { readonly servesHttp: boolean; readonly hasMessageGuard: boolean },
): readonly string[] {
  const globalGuards = globalGuardsOf(modules);
  // Nobody can tell.
  if (!globalGuards) return [];
  const unguarded = [...handlersOf(modules)].filter(hasNoGuard);
  const isByHand = !application.hasMessageGuard && globalGuards.some((guard) => guard instanceof M2MAuthGuard);
  const open = unguarded.find((handler) => isMessageHandler(handler.method) && !isPublic(handler));
  if (open && isByHand && application.servesHttp)
    throw UnguardedMessageHandlersError.beyondGlobalGuard(open.controller.name);
  if (globalGuards.length > 0) return [];
  return unguarded.filter(isRuled).map(({ controller, name }) => `${controller.name}.${String(name)}`);
}

/** Nest gives its configuration to nobody but its own parts, which every module leads to. */
function globalGuardsOf(modules: ModulesContainer): readonly (CanActivate | object)[] | undefined {
  const [module] = modules.values() as Iterable<{ readonly container?: { readonly applicationConfig?: unknown } }>;
  const config = module?.container?.applicationConfig as ApplicationConfig | undefined;
  return config && [...config.getGlobalGuards(), ...config.getGlobalRequestGuards()];
}

interface Handler {
  readonly controller: Type<object>;
  readonly prototype: object;
  readonly name: string | symbol;
  readonly method: object;
}

function* handlersOf(modules: ModulesContainer): Iterable<Handler> {
  for (const module of modules.values()) {
    for (const { metatype } of module.controllers.values()) {
      if (typeof metatype === 'function') yield* handlersIn(metatype as Type<object>);
    }
  }
}

/** Its own, and those of its bases that it does not override. */
function* handlersIn(controller: Type<object>): Iterable<Handler> {
  const seen = new Set<string | symbol>();
  let prototype = controller.prototype as object | null;
  while (prototype && prototype !== Object.prototype) {
    for (const name of Reflect.ownKeys(prototype)) {
      const method: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
      if (typeof method !== 'function' || seen.has(name)) continue;
      seen.add(name);
      if (Reflect.hasMetadata(PATH, method) || isMessageHandler(method)) yield { controller, prototype, name, method };
    }
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
}

function hasNoGuard({ controller, method }: Handler): boolean {
  return ![controller, method].some((target) =>
    ((Reflect.getMetadata(GUARDS, target) ?? []) as unknown[]).some((guard) => guard !== MessageHandlerGuard),
  );
}

function isPublic({ controller, prototype, name }: Handler): boolean {
  return routeAccess(accessMetadata(prototype, name), accessMetadata(controller)) === 'public';
}

function isRuled({ controller, prototype, name }: Handler): boolean {
  return isRestricted(accessMetadata(prototype, name)) || isRestricted(accessMetadata(controller));
}
