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
import { processWide } from '../foundation/process-wide.js';
import type { MachineCaller } from '../verification/machine-caller.js';
import { type HandlerRules, handlerRulesOf } from './access-rules.js';
import { type HttpRequest, messageOf } from './transports/http.js';

/**
 * Callers by what stands for their call: Node's request, the context of a message, gRPC's call. Not kept on it, and never
 * on the payload, where a sender could bring one along.
 *
 * `@Caller()` may be of another copy of this package than the guard.
 */
const callers = processWide('callers', () => new WeakMap<object, MachineCaller>());

/** Who the call that runs now comes from. */
export interface CallerSlot {
  /** Node's request that the slot belongs to; undefined for messages. */
  readonly request: object | undefined;
  caller: MachineCaller | undefined;
}

const slots = new AsyncLocalStorage<CallerSlot>();

/** Who follow callers at present. Without any, calls pay nothing for it. */
let followers = 0;

/** The machine whose call is being handled, while somebody follows callers. */
export function currentCaller(): MachineCaller | undefined {
  return slots.getStore()?.caller;
}

/** Returns who sent the call that a handler is given; undefined where the handler is public. */
export function callerOf(context: ExecutionContext): MachineCaller | undefined {
  const ofRequest = context.getType() === 'http' && callers.get(messageOf(context.getArgByIndex<HttpRequest>(0)));
  if (ofRequest) return ofRequest;
  // One event may have several handlers, and then all get the same context.
  if (handlerRulesOf(context).access === 'public') return undefined;
  // The context of a call stands beside the payload, but for streams of gRPC that are handed over as they are.
  const [first, second, third] = context.getArgs<unknown[]>();
  const carrier = [third, second, first].find((each) => callers.has(each as object));
  return callers.get(carrier as object);
}

export function rememberCaller(carrier: object, caller: MachineCaller): void {
  callers.set(carrier, caller);
}

/** Runs what handles one message. */
export function runWithCaller<Result>(caller: MachineCaller | undefined, run: () => Result): Result {
  return followers === 0 ? run() : slots.run({ request: undefined, caller }, run);
}

/**
 * Runs what listens to a call that goes on for a while: the messages of a stream come from its socket, in whose context
 * nobody is known.
 */
export function listenWithCaller(caller: MachineCaller | undefined, emitter: EventEmitter): void {
  if (followers === 0) return;
  const slot = { request: undefined, caller };
  const emit = emitter.emit.bind(emitter);
  emitter.emit = (...event) => slots.run(slot, () => emit(...event));
}

/** The slot of an HTTP request that is being handled, to be filled when it is known who sent it. */
export function httpSlotOf(context: ExecutionContext, { isRoute }: HandlerRules): CallerSlot | undefined {
  if (followers === 0 || !isRoute || context.getType() !== 'http') return undefined;
  const request = messageOf(context.getArgByIndex<HttpRequest>(0));
  const current = slots.getStore();
  if (current?.request === request) return current;
  // Without a start: HTTP/2, and requests that were made up in this process.
  const slot = { request, caller: undefined };
  slots.enterWith(slot);
  return slot;
}

/**
 * Follows callers from now on, which gives each HTTP request an empty slot at its start.
 *
 * Node runs the requests of one connection in one asynchronous context, so whoever is entered there while one of them is
 * handled would still be there for the next; and what is entered once a promise has settled never gets to the handler.
 *
 * @returns Ends it.
 */
export function followCallers(): () => void {
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

/** The machine that was let in, as a parameter of type `MachineCaller`; undefined where the handler is public. */
export const Caller = createParamDecorator((_data: unknown, context: ExecutionContext) => callerOf(context));

/** Makes the caller of a message known to everything below its handler, also to what runs when its answer is read. */
export class CallerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const caller = callerOf(context);
    // Of all transports only gRPC hands over its calls, and streams are among them.
    for (const argument of context.getArgs<unknown[]>()) {
      if (argument instanceof EventEmitter) listenWithCaller(caller, argument);
    }
    return new Observable((subscriber) => runWithCaller(caller, () => next.handle().subscribe(subscriber)));
  }
}

/** Follows callers below their handlers as soon as somebody asks for it, until the application ends. */
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
 * The machine whose call is being handled, anywhere below its handler, without handing it down.
 *
 * To be injected. Callers are followed through asynchronous code (`AsyncLocalStorage`) only in applications where somebody
 * has it injected: on Node.js before 24 that makes every promise of the process dearer.
 */
@Injectable({ scope: Scope.TRANSIENT })
export class CurrentCaller {
  constructor(following: CallerFollowing) {
    following.start();
  }

  /** undefined on public routes, and outside of calls. */
  get(): MachineCaller | undefined {
    return currentCaller();
  }
}
