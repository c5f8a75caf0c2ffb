import { type Channel, channel } from 'node:diagnostics_channel';

/** Calls its listeners synchronously with each event, in the order of their subscriptions. */
export class EventStream<Event> {
  readonly #subscriptions = new Set<Subscription<Event>>();
  #channel: Channel | undefined;

  /**
   * Calls a listener with each event.
   *
   * @param types The types of event that the listener receives. Default: all.
   * @returns A function that ends the subscription.
   */
  subscribe(listener: (event: Event) => unknown): () => void;
  subscribe<Type extends TypeOf<Event>>(
    listener: (event: Extract<Event, { readonly type: Type }>) => unknown,
    types: readonly Type[],
  ): () => void;
  subscribe(listener: (event: never) => unknown, types?: readonly unknown[]): () => void {
    const subscription = { listener: listener as (event: Event) => unknown, types: types && new Set(types) };
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  /**
   * Also publishes each event on a channel of `node:diagnostics_channel`, after the listeners were called.
   *
   * @returns A function that ends the publishing.
   */
  publishOn(name: string): () => void {
    this.#channel = channel(name);
    return () => (this.#channel = undefined);
  }

  /**
   * Calls the listeners. If one throws, or its promise rejects, the process emits an `IdentityM2MWarning`; the other
   * listeners and the emitter are not affected.
   */
  emit(event: Event): void {
    for (const { listener, types } of this.#subscriptions) {
      if (types && !types.has((event as { readonly type?: unknown }).type)) continue;
      try {
        const result = listener(event);
        if (result instanceof Promise) result.catch(warn);
      } catch (error) {
        warn(error);
      }
    }
    if (this.#channel?.hasSubscribers) this.#channel.publish(event);
  }
}

type TypeOf<Event> = Event extends { readonly type: infer Type } ? Type : never;

interface Subscription<Event> {
  readonly listener: (event: Event) => unknown;
  readonly types: ReadonlySet<unknown> | undefined;
}

function warn(error: unknown): void {
  const text = error instanceof Error ? error.message : typeof error;
  process.emitWarning(`an event listener failed: ${text}`, 'IdentityM2MWarning');
}
