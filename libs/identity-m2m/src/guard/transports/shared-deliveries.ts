import type { Type } from '@nestjs/common';
import { isObservable, Observable } from 'rxjs';
import type { Refusal } from '../../verification/refusal.js';

/**
 * Settles a delivery with its broker. Returns the error of the delivery; undefined if it succeeds.
 *
 * @param refusals Refusals of the handlers, in order.
 * @param areAll Whether every handler was refused.
 */
export type Settlement = (refusals: readonly Refusal[], areAll: boolean) => unknown;

/**
 * A message with several handlers, because they listen to the same event.
 *
 * The guard decides for each handler, but there is one message to settle. It is settled when all handlers have ended:
 * an allowed handler may be working on it, and may settle it.
 */
class SharedDelivery {
  /** By `performance.now()`. */
  readonly startedAt = performance.now();
  readonly #refusals: Refusal[] = [];
  #settle: Settlement | undefined;
  #isOver = false;

  constructor(private readonly handlers: number) {}

  /** Records a refused handler. @param settle Called once for the delivery, whichever handler it comes from. */
  refused(refusal: Refusal, settle: Settlement): void {
    if (this.#isOver && this.#settle) return;
    this.#refusals.push(refusal);
    this.#settle ??= settle;
    // If one handler fails, Nest does not wait for the others.
    if (this.#isOver) this.#settled();
  }

  /** Ends the delivery. Returns its error. */
  end(): unknown {
    if (this.#isOver) return undefined;
    this.#isOver = true;
    return this.#settled();
  }

  #settled(): unknown {
    return this.#settle?.(this.#refusals, this.#refusals.length === this.handlers);
  }
}

/** A handler in Nest's servers. The first handler of an event leads to the others. */
interface ServerHandler {
  (data: unknown, context: object): unknown;
  readonly isEventHandler?: boolean;
  readonly next?: ServerHandler;
}

interface MessageServer {
  getHandlerByPattern: (this: MessageServer, pattern: string) => ServerHandler | null;
}

const deliveries = new WeakMap<object, SharedDelivery>();
const observed = new WeakSet<object>();
const observing = new WeakMap<ServerHandler, ServerHandler>();

/** Returns the delivery of a context; undefined if its message has only one handler. */
export function sharedDelivery(context: object): SharedDelivery | undefined {
  return deliveries.get(context);
}

/**
 * Observes the messages that a Nest server passes to several handlers, and when these have ended.
 *
 * A handler can't see whether there are others. So a wrapper around a public method of the server observes them.
 * Messages with one handler are not affected.
 */
export function observeSharedDeliveries(server: Type<object>): void {
  const prototype = server.prototype as MessageServer;
  if (observed.has(prototype)) return;
  observed.add(prototype);
  const { getHandlerByPattern } = prototype;
  prototype.getHandlerByPattern = function (this: MessageServer, pattern) {
    const first = getHandlerByPattern.call(this, pattern);
    return first?.isEventHandler && first.next ? observingHandler(first) : first;
  };
}

function observingHandler(first: ServerHandler): ServerHandler {
  let handler = observing.get(first);
  if (!handler) {
    handler = Object.assign((data: unknown, context: object) => deliver(first, data, context), first);
    observing.set(first, handler);
  }
  return handler;
}

async function deliver(first: ServerHandler, data: unknown, context: object): Promise<unknown> {
  let handlers = 1;
  for (let each = first; each.next; each = each.next) handlers++;
  const delivery = new SharedDelivery(handlers);
  deliveries.set(context, delivery);
  try {
    const result = await first(data, context);
    if (isObservable(result)) return untilTheEnd(result, delivery);
    delivery.end();
    return result;
  } catch (error) {
    delivery.end();
    throw error;
  }
}

function untilTheEnd(result: Observable<unknown>, delivery: SharedDelivery): Observable<unknown> {
  return new Observable((subscriber) => {
    subscriber.add(() => delivery.end());
    subscriber.add(
      result.subscribe({
        next: (value) => subscriber.next(value),
        error: (error: unknown) => subscriber.error(error),
        complete() {
          const failure = delivery.end();
          if (failure === undefined) subscriber.complete();
          else subscriber.error(failure);
        },
      }),
    );
  });
}
