import { type CanActivate, type ExecutionContext, Inject, Injectable, Optional, type Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { CallerInterceptor } from './caller.interceptor.js';
import { isMessageHandler } from './message-handler.js';
import { MessageRefusalFilter } from './message-refusal.js';
import { UnguardedMessageHandlersError } from './unguarded-message-handlers-error.js';

/** Keys that Nest's `@UseGuards()`, `@UseFilters()` and `@UseInterceptors()` leave their metadata under. */
export const GUARDS = '__guards__';
const FILTERS = '__exceptionFilters__';
const INTERCEPTORS = '__interceptors__';

const filter = new MessageRefusalFilter();
const interceptor = new CallerInterceptor();

/** Under this token the application's global guard is known to all its modules; there is none without one. */
export const GLOBAL_MESSAGE_GUARD = Symbol('GlobalMessageGuard');

/**
 * Stands for the application's global guard on controllers that take messages.
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
 * Puts what each message handler of the application needs on it, whether it is guarded or not: the end of refused
 * messages, and the caller for what is below the handler.
 *
 * To be called before handlers are registered with servers: while providers are made.
 */
export function prepareMessageHandlers(modules: ModulesContainer): void {
  for (const { controller } of messageControllers(modules)) {
    for (const method of messageMethods(controller)) {
      // Nest asks the last filter first, and runs the first interceptor outermost.
      extend(FILTERS, method, (present) => [...present, filter], filter);
      extend(INTERCEPTORS, method, (present) => [interceptor, ...present], interceptor);
    }
  }
}

/**
 * Puts the guard before each message handler of the application.
 *
 * A global guard alone is not enough: what `connectMicroservice()` connects has a configuration of its own, without the
 * guards of the application, unless it is told to inherit them.
 *
 * @throws {@link UnguardedMessageHandlersError} where it can't be done; the application must not start then.
 */
export function guardMessageHandlers(modules: ModulesContainer, guard: CanActivate): void {
  for (const { module, controller } of messageControllers(modules)) {
    extend(GUARDS, controller, (present) => [MessageHandlerGuard, ...present], MessageHandlerGuard);
    module.addInjectable({ provide: MessageHandlerGuard, useValue: new MessageHandlerGuard(guard) }, 'guard');
    // Nest passes over a guard that it can't find.
    if (!module.injectables.has(MessageHandlerGuard)) throw UnguardedMessageHandlersError.notFound(controller.name);
  }
}

type Module = ModulesContainer extends Map<string, infer Each> ? Each : never;

function* messageControllers(modules: ModulesContainer): Iterable<{ module: Module; controller: Type<object> }> {
  for (const module of modules.values()) {
    for (const { metatype } of module.controllers.values()) {
      if (typeof metatype !== 'function') continue;
      const controller = metatype as Type<object>;
      if (messageMethods(controller).length > 0) yield { module, controller };
    }
  }
}

/** Its own and those of its bases. */
function messageMethods(controller: Type<object>): object[] {
  const methods: object[] = [];
  let prototype = controller.prototype as object | null;
  while (prototype && prototype !== Object.prototype) {
    for (const { value } of Object.values(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value === 'function' && isMessageHandler(value as object)) methods.push(value as object);
    }
    prototype = Object.getPrototypeOf(prototype) as object | null;
  }
  return methods;
}

/** Once for each target, however many applications use it. */
function extend(key: string, target: object, extended: (present: unknown[]) => unknown[], added: unknown): void {
  const present = (Reflect.getMetadata(key, target) ?? []) as unknown[];
  if (!present.includes(added)) Reflect.defineMetadata(key, extended(present), target);
}
