import type { Type } from '@nestjs/common';
import { isObservable, Observable } from 'rxjs';
import type { Refusal } from '../../verification/refusal.js';

/**
 * Settles a delivery with its broker. Returns what the delivery fails with; undefined where it ends well.
 *
 * @param refusals Of the handlers that were refused, in order.
 * @param areAll Whether no handler was let in.
 */
export type Settlement = (refusals: readonly Refusal[], areAll: boolean) => unknown;

/**
 * A message that several handlers are given, because they listen to the same event.
 *
 * Each is let in or refused for itself, but there is one message to settle: what becomes of it is decided when all of them
 * have ended, since one that was let in may be at work on it, and may settle it.
 */
export class SharedDelivery {
  /** By `performance.now()`. */
  readonly startedAt = performance.now();
  readonly #refusals: Refusal[] = [];
  #settle: Settlement | undefined;
  #isOver = false;

  constructor(private readonly handlers: number) {}

  /** Notes that a handler is refused. @param settle Is called once for the delivery, whichever handler it comes from. */
  refused(refusal: Refusal, settle: Settlement): void {
    if (this.#isOver && this.#settle) return;
    this.#refusals.push(refusal);
    this.#settle ??= settle;
    // Nest does not wait for the others where one handler fails.
    if (this.#isOver) this.#settled();
  }

  /** Ends the delivery. Returns what it fails with. */
  end(): unknown {
    if (this.#isOver) return undefined;
    this.#isOver = true;
    return this.#settled();
  }

  #settled(): unknown {
    return this.#settle?.(this.#refusals, this.#refusals.length === this.handlers);
  }
}

/** A handler as Nest's servers keep it: the first of those of an event leads to the others. */
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

/** Returns the delivery that a context stands for; undefined where its message has one handler. */
export function sharedDelivery(context: object): SharedDelivery | undefined {
  return deliveries.get(context);
}

/**
 * Notes each message that a server of Nest gives to several handlers, and when they have ended.
 *
 * Neither a handler nor its context tells whether there are others. So it is taken where it is known, from the server, by a
 * step behind its public method. Messages with one handler stay as they are.
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
