import { Observable, type ObservableNotification, type Observer, Subscription } from 'rxjs';

/** What the request messages of a gRPC call may come from. */
export function isStream(value: unknown): value is Observable<unknown> {
  return typeof (value as { subscribe?: unknown } | null | undefined)?.subscribe === 'function';
}

/**
 * Holds the request messages of a call back until the call can be sent.
 *
 * Nest's client listens to them as soon as the call is subscribed to. Where a token has to be waited for first, somebody
 * must listen in the meantime: a `Subject` does not say anything twice.
 */
export class HeldStream {
  #held: ObservableNotification<unknown>[] = [];
  #listener: Observer<unknown> | undefined;
  readonly #subscription: Subscription;

  private constructor(source: Observable<unknown>) {
    this.#subscription = source.subscribe({
      next: (value) => this.#take({ kind: 'N', value }),
      error: (error: unknown) => this.#take({ kind: 'E', error }),
      complete: () => this.#take({ kind: 'C' }),
    });
  }

  /**
   * Makes a call that may ask for its request messages at once, and then listens to them itself, or later, and then gets
   * what was held back.
   */
  static whileStarting<T>(
    source: Observable<unknown>,
    call: (stream: () => Observable<unknown>) => Observable<T>,
  ): Observable<T> {
    return new Observable<T>((subscriber) => {
      let held: HeldStream | undefined;
      let isAskedFor = false;
      const stream = () => {
        isAskedFor = true;
        return held?.stream() ?? source;
      };
      call(stream).subscribe(subscriber);
      if (isAskedFor || subscriber.closed) return;
      held = new HeldStream(source);
      subscriber.add(held.#subscription);
    });
  }

  /** The messages held back, and from then on all others as they come. To be listened to once. */
  stream(): Observable<unknown> {
    return new Observable((subscriber) => {
      // What comes while these are given out joins them.
      for (const notification of this.#held) give(notification, subscriber);
      this.#held = [];
      this.#listener = subscriber;
      return this.#subscription;
    });
  }

  #take(notification: ObservableNotification<unknown>): void {
    if (this.#listener) give(notification, this.#listener);
    else this.#held.push(notification);
  }
}

function give(notification: ObservableNotification<unknown>, listener: Observer<unknown>): void {
  if (notification.kind === 'N') listener.next(notification.value);
  else if (notification.kind === 'E') listener.error(notification.error);
  else listener.complete();
}
