/** Calls its listeners with each event, in order, while the event happens. */
export class EventStream<Event> {
  readonly #listeners = new Set<(event: Event) => unknown>();

  /** @returns Ends the subscription. */
  subscribe(listener: (event: Event) => unknown): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * A listener that throws, or whose promise rejects, is reported as a process warning; it changes nothing for the other
   * listeners or for the emitter.
   */
  emit(event: Event): void {
    for (const listener of this.#listeners) {
      try {
        const result = listener(event);
        if (result instanceof Promise) result.catch(warn);
      } catch (error) {
        warn(error);
      }
    }
  }
}

function warn(error: unknown): void {
  const text = error instanceof Error ? error.message : typeof error;
  process.emitWarning(`an event listener failed: ${text}`, 'IdentityM2MWarning');
}
