import { describe, expect, it } from '@jest/globals';
import { lastValueFrom, Observable, of, Subject, toArray } from 'rxjs';
import { type Refusal, refuse } from '../../verification/refusal.js';
import { observeSharedDeliveries, type Settlement, sharedDelivery } from './shared-deliveries.js';

interface Handler {
  (data: unknown, context: object): unknown;
  isEventHandler?: boolean;
  next?: Handler;
}

/** A server whose only pattern has these handlers. Nest calls the first one, which has to call the others. */
function serverWith(first: Handler) {
  class Server {
    getHandlerByPattern(_pattern: string): Handler | null {
      return first;
    }
  }
  observeSharedDeliveries(Server);
  return { Server, handler: new Server().getHandlerByPattern('any')! };
}

const handler = (call: Handler, ...others: Handler[]): Handler =>
  Object.assign((data: unknown, context: object) => call(data, context), {
    isEventHandler: true,
    ...(others.length > 0 && { next: handler(others[0]!, ...others.slice(1)) }),
  });

const expired = refuse('token_expired');
const unknown = refuse('key_unknown');

/** Records what it is called with, and returns an error of the delivery. */
function settlement(error?: unknown) {
  const calls: [readonly Refusal[], boolean][] = [];
  const settle: Settlement = (refusals, areAll) => {
    calls.push([[...refusals], areAll]);
    return error;
  };
  return { calls, settle };
}

describe('a message', () => {
  it.each<[string, Handler]>([
    ['one event handler', handler(() => 1)],
    ['a handler that replies', Object.assign(() => 1, { isEventHandler: false, next: () => 2 })],
  ])('with %s is not affected', (_what, first) => {
    expect(serverWith(first).handler).toBe(first);
  });

  it('without a handler is not affected', () => {
    class Server {
      getHandlerByPattern(): null {
        return null;
      }
    }
    observeSharedDeliveries(Server);
    expect(new Server().getHandlerByPattern()).toBeNull();
  });

  it('keeps its handler, which has the members of the first one, however often a server is observed', () => {
    const first = handler(
      () => 1,
      () => 2,
    );
    const { Server, handler: observing } = serverWith(first);
    observeSharedDeliveries(Server);
    expect(new Server().getHandlerByPattern('any')).toBe(observing);
    expect(observing).not.toBe(first);
    expect([observing.isEventHandler, observing.next]).toEqual([true, first.next]);
  });

  it('belongs to its context only', async () => {
    const { handler } = serverWith(twoHandlers(() => undefined));
    const context = {};
    await handler('data', context);
    expect(sharedDelivery(context)).toBeDefined();
    expect(sharedDelivery({})).toBeUndefined();
  });
});

/** Two handlers of an event; the first one calls both, as Nest's does. */
function twoHandlers(call: (data: unknown, context: object) => unknown): Handler {
  return handler(call, () => undefined);
}

describe('a message with two handlers', () => {
  it('is settled once, when the handlers have ended, with all refusals in order', async () => {
    const context = {};
    const { calls, settle } = settlement();
    const { handler } = serverWith(
      twoHandlers(async () => {
        sharedDelivery(context)!.refused(expired, settle);
        await Promise.resolve();
        sharedDelivery(context)!.refused(unknown, () => expect(true).toBe(false));
        expect(calls).toEqual([]);
        return 'result';
      }),
    );
    await expect(handler('data', context)).resolves.toBe('result');
    expect(calls).toEqual([[[expired, unknown], true]]);
    expect(sharedDelivery(context)!.end()).toBeUndefined();
    expect(calls).toHaveLength(1);
  });

  it('informs the settlement if a handler was allowed', async () => {
    const context = {};
    const { calls, settle } = settlement();
    const { handler } = serverWith(twoHandlers(() => sharedDelivery(context)!.refused(expired, settle)));
    await handler('data', context);
    expect(calls).toEqual([[[expired], false]]);
  });

  it('counts each of three handlers', async () => {
    const context = {};
    const { calls, settle } = settlement();
    const refuseThrice = () => {
      for (const refusal of [expired, expired, unknown]) sharedDelivery(context)!.refused(refusal, settle);
    };
    const { handler: observing } = serverWith(
      handler(
        refuseThrice,
        () => undefined,
        () => undefined,
      ),
    );
    await observing('data', context);
    expect(calls).toEqual([[[expired, expired, unknown], true]]);
  });

  it('is not settled if no handler was refused', async () => {
    const context = {};
    await serverWith(twoHandlers(() => undefined)).handler('data', context);
    expect(sharedDelivery(context)!.end()).toBeUndefined();
  });

  it('is settled when a handler fails, and settled for a handler that is refused after that', async () => {
    const context = {};
    const { calls, settle } = settlement();
    const failure = new Error('failed');
    const { handler } = serverWith(
      twoHandlers(() => {
        throw failure;
      }),
    );
    await expect(handler('data', context)).rejects.toBe(failure);
    const delivery = sharedDelivery(context)!;
    delivery.refused(expired, settle);
    expect(calls).toEqual([[[expired], false]]);
    delivery.refused(unknown, settle);
    expect(calls).toHaveLength(1);
  });

  it('knows when it began', async () => {
    const context = {};
    const before = performance.now();
    await serverWith(twoHandlers(() => undefined)).handler('data', context);
    const { startedAt } = sharedDelivery(context)!;
    expect(startedAt).toBeGreaterThanOrEqual(before);
    expect(startedAt).toBeLessThanOrEqual(performance.now());
  });
});

describe('a message with two handlers that return a stream', () => {
  /** Returns the stream of the message, whose handler has been refused. */
  async function deliver(stream: Observable<unknown>, error?: unknown) {
    const context = {};
    const { calls, settle } = settlement(error);
    const { handler } = serverWith(
      twoHandlers(() => {
        sharedDelivery(context)!.refused(expired, settle);
        return stream;
      }),
    );
    return { calls, result: (await handler('data', context)) as Observable<unknown> };
  }

  it('is settled when the stream has ended, and passes its values on', async () => {
    const { calls, result } = await deliver(of(1, 2));
    expect(calls).toEqual([]);
    await expect(lastValueFrom(result.pipe(toArray()))).resolves.toEqual([1, 2]);
    expect(calls).toEqual([[[expired], false]]);
  });

  it('ends in the error of the settlement', async () => {
    const again = new Error('again');
    const { calls, result } = await deliver(of(1, 2), again);
    await expect(lastValueFrom(result)).rejects.toBe(again);
    expect(calls).toHaveLength(1);
  });

  it('is settled when the stream fails, with the error of the stream', async () => {
    const failure = new Error('failed');
    const { calls, result } = await deliver(new Observable((subscriber) => subscriber.error(failure)));
    await expect(lastValueFrom(result)).rejects.toBe(failure);
    expect(calls).toHaveLength(1);
  });

  it('is settled when the server stops listening, and ends the stream', async () => {
    const values = new Subject();
    const { calls, result } = await deliver(values);
    const subscription = result.subscribe();
    expect([values.observed, calls.length]).toEqual([true, 0]);
    subscription.unsubscribe();
    expect([values.observed, calls.length]).toEqual([false, 1]);
  });
});
