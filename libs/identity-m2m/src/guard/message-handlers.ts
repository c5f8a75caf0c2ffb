import { type CanActivate, type ExecutionContext, Inject, Injectable, Optional } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { applicationHandlers } from './application-handlers.js';
import { CallerInterceptor } from './caller.js';
import { recordPlace } from './handler-access.js';
import { MessageRefusalFilter } from './message-handler.js';

/** Keys that Nest's `@UseGuards()`, `@UseFilters()` and `@UseInterceptors()` leave their metadata under. */
export const GUARDS = '__guards__';
const FILTERS = '__exceptionFilters__';
const INTERCEPTORS = '__interceptors__';

const filter = new MessageRefusalFilter();
const interceptor = new CallerInterceptor();

/** Under this token the application's global guard is known to all its modules; there is none without one. */
export const GLOBAL_MESSAGE_GUARD = Symbol('GlobalMessageGuard');

/**
 * Stands for the application's global guard on controllers and gateways that take messages.
 *
 * Metadata belongs to a class, and a class may be used by several applications of one process. So it names this class,
 * which each application makes an instance of with its own guard; in one that has no global guard it changes nothing.
 */
@Injectable()
export class MessageHandlerGuard implements CanActivate {
  constructor(@Optional() @Inject(GLOBAL_MESSAGE_GUARD) private readonly guard: CanActivate | undefined) {}

  canActivate(context: ExecutionContext): ReturnType<CanActivate['canActivate']> {
    return this.guard ? this.guard.canActivate(context) : true;
  }
}

/**
 * Prepares the handlers of an application, guarded or not. To be called while providers are made, before handlers are
 * registered with routers and servers.
 *
 * Each gets what leads a function in its place back to it. Message handlers also get the end of refused messages, and the
 * caller for what is below the handler.
 */
export function prepareHandlers(modules: ModulesContainer): void {
  for (const { isHandler, kind, key, prototype, method } of applicationHandlers(modules)) {
    if (isHandler) recordPlace({ prototype, name: key }, method);
    if (kind !== 'message') continue;
    // Nest asks the last filter first, and runs the first interceptor outermost.
    extend(FILTERS, method, (present) => [...present, filter], filter);
    extend(INTERCEPTORS, method, (present) => [interceptor, ...present], interceptor);
  }
}

/**
 * Puts the guard before each message handler of the application, those of gateways among them.
 *
 * A global guard alone is not enough: what `connectMicroservice()` connects has a configuration of its own, without the
 * guards of the application, unless it is told to inherit them; and Nest 11 puts no global guard before gateways.
 *
 * @throws {@link UnguardedMessageHandlersError} where it can't be done; the application must not start then.
 */
export function guardMessageHandlers(modules: ModulesContainer, guard: CanActivate): void {
  const handlers = [...applicationHandlers(modules)].filter(({ kind }) => kind === 'message' || kind === 'websocket');
  for (const { ofClass } of handlers) {
    extend(GUARDS, ofClass, (present) => [MessageHandlerGuard, ...present], MessageHandlerGuard);
  }
  for (const module of new Set(handlers.map(({ module }) => module))) {
    module.addInjectable({ provide: MessageHandlerGuard, useValue: new MessageHandlerGuard(guard) }, 'guard');
    if (module.injectables.has(MessageHandlerGuard)) continue;
    // Nest passes over a guard that it can't find.
    throw UnguardedMessageHandlersError.notFound(handlers.find((handler) => handler.module === module)!.ofClass.name);
  }
}

/** Once for each target, however many applications use it. */
function extend(key: string, target: object, extended: (present: unknown[]) => unknown[], added: unknown): void {
  const present = (Reflect.getMetadata(key, target) ?? []) as unknown[];
  if (!present.includes(added)) Reflect.defineMetadata(key, extended(present), target);
}

/** With a global guard, the message handlers of a controller would not be guarded. The application does not start. */
export class UnguardedMessageHandlersError extends IdentityM2MError {
  readonly code = 'M2M_HANDLERS_UNGUARDED';

  static notFound(controller: string): UnguardedMessageHandlersError {
    return new UnguardedMessageHandlersError(
      `the message handlers of ${controller} could not be put behind the global guard; put @UseGuards(M2MAuthGuard) on the controller and leave out globalGuard, and report the version of @nestjs/core`,
    );
  }

  static beyondGlobalGuard(controller: string): UnguardedMessageHandlersError {
    return new UnguardedMessageHandlersError(
      `M2MAuthGuard was made a global guard by APP_GUARD or useGlobalGuards(), which does not reach the message handlers of ${controller} where connectMicroservice() connects them; use globalGuard: true in the options of IdentityM2MModule in its place, or put @UseGuards() on the controller`,
    );
  }
}
