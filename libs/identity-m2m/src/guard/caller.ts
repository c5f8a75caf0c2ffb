import {
  type CallHandler,
  createParamDecorator,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type OnApplicationShutdown,
  Scope,
} from '@nestjs/common';
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { Observable } from 'rxjs';
import type { MachineCaller } from '../verification/machine-caller.js';
import { type HandlerRules, handlerRulesOf, isRoutedRequest } from './access-rules.js';
import { type HttpRequest, messageOf } from './transports/http.js';

/**
 * Callers by the object that represents their call: Node's request, the context of a message, the gRPC call. Never
 * stored on the payload, where a sender could supply one.
 */
const callers = sharedCallers();

/**
 * Returns the map that all copies of this package in a process share: `@Caller()` may come from another copy than the
 * guard. Package managers install several copies if two dependencies need incompatible versions.
 */
function sharedCallers(): WeakMap<object, MachineCaller> {
  const key = Symbol.for('nestjs-identity-m2m:callers');
  const present: unknown = Reflect.get(globalThis, key);
  if (present !== undefined) return present as WeakMap<object, MachineCaller>;
  const value = new WeakMap<object, MachineCaller>();
  Object.defineProperty(globalThis, key, { value });
  return value;
}

/** The caller of the call that is being handled. */
export interface CallerSlot {
  /** Node's request; undefined for messages. */
  readonly request: object | undefined;
  caller: MachineCaller | undefined;
}

const slots = new AsyncLocalStorage<CallerSlot>();

/** Number of applications that follow callers. Without any, following costs nothing. */
let followers = 0;

/** Returns the caller of the call that is being handled, while callers are followed. */
function currentCaller(): MachineCaller | undefined {
  return slots.getStore()?.caller;
}

/** Returns the caller of a handler's call; undefined if the handler is public. */
function callerOf(context: ExecutionContext): MachineCaller | undefined {
  const rules = handlerRulesOf(context);
  // The handlers of one event share its context.
  if (rules.access === 'public') return undefined;
  if (isRoutedRequest(context, rules)) return callers.get(messageOf(context.getArgByIndex<HttpRequest>(0)));
  // The context of a call is the argument after the payload, except for gRPC streams that are passed as they are.
  const [first, second, third] = context.getArgs<unknown[]>();
  const carrier = [third, second, first].find((each) => callers.has(each as object));
  return callers.get(carrier as object);
}

export function rememberCaller(carrier: object, caller: MachineCaller): void {
  callers.set(carrier, caller);
}

/** Runs the handling of one message with its caller known. */
function runWithCaller<Result>(caller: MachineCaller | undefined, run: () => Result): Result {
  return followers === 0 ? run() : slots.run({ request: undefined, caller }, run);
}

/**
 * Makes the caller known to the listeners of a stream. Its messages arrive from a socket, in whose context no caller is
 * known.
 */
function listenWithCaller(caller: MachineCaller | undefined, emitter: EventEmitter): void {
  if (followers === 0) return;
  const slot = { request: undefined, caller };
  const emit = emitter.emit.bind(emitter);
  emitter.emit = (...event) => slots.run(slot, () => emit(...event));
}

/** Returns the slot of an HTTP request that is being handled. The guard fills it when the caller is known. */
export function httpSlotOf(context: ExecutionContext, rules: HandlerRules): CallerSlot | undefined {
  if (followers === 0 || !isRoutedRequest(context, rules)) return undefined;
  const request = messageOf(context.getArgByIndex<HttpRequest>(0));
  const current = slots.getStore();
  if (current?.request === request) return current;
  // HTTP/2, and requests created in this process, have no start event.
  const slot = { request, caller: undefined };
  slots.enterWith(slot);
  return slot;
}

/**
 * Follows callers from now on: gives each HTTP request an empty slot at its start.
 *
 * Node runs the requests of one connection in one asynchronous context. A caller entered there during one request would
 * still be there during the next. A caller entered after a promise settled would never reach the handler.
 *
 * @returns Ends the following.
 */
function followCallers(): () => void {
  if (followers++ === 0) subscribe(REQUEST_START, openSlot);
  let isFollowing = true;
  return () => {
    if (isFollowing && --followers === 0) unsubscribe(REQUEST_START, openSlot);
    isFollowing = false;
  };
}

const REQUEST_START = 'http.server.request.start';

function openSlot(event: unknown): void {
  slots.enterWith({ request: (event as { readonly request: object }).request, caller: undefined });
}

/** Parameter decorator that injects the caller, a `MachineCaller`; undefined if the handler is public. */
export const Caller = createParamDecorator((_data: unknown, context: ExecutionContext) => callerOf(context));

/**
 * Makes the caller of a message known to all code that its handler runs, including code that runs when its reply is
 * read.
 */
export class CallerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const caller = callerOf(context);
    // Only gRPC passes its calls to handlers, streams among them.
    for (const argument of context.getArgs<unknown[]>()) {
      if (argument instanceof EventEmitter) listenWithCaller(caller, argument);
    }
    return new Observable((subscriber) => runWithCaller(caller, () => next.handle().subscribe(subscriber)));
  }
}

/** Follows callers from the first injection of `CurrentCaller` until the application ends. */
@Injectable()
export class CallerFollowing implements OnApplicationShutdown {
  #end: (() => void) | undefined;

  start(): void {
    this.#end ??= followCallers();
  }

  onApplicationShutdown(): void {
    this.#end?.();
  }
}

/**
 * The caller of the call that is being handled, available to all code that the handler runs. Inject it.
 *
 * Callers are followed through asynchronous code (`AsyncLocalStorage`) only in applications that inject this class. On
 * Node.js before 24, that makes every promise of the process slower.
 */
@Injectable({ scope: Scope.TRANSIENT })
export class CurrentCaller {
  constructor(following: CallerFollowing) {
    following.start();
  }

  /** Returns the caller; undefined on public routes and outside of calls. */
  get(): MachineCaller | undefined {
    return currentCaller();
  }
}
