import type { ClientGrpc } from '@nestjs/microservices';
import { Observable, type ObservableNotification, type Observer, Subscription } from 'rxjs';
import { packageOfNest } from '../../nest/packages.js';
import { authorizedCall, type AuthorizedClient } from './authorized-call.js';

/** The members of gRPC's metadata that are used here. */
interface Metadata {
  get(key: string): unknown[];
  set(key: string, value: string): void;
  clone(): Metadata;
}

type ServiceMethod = (...args: unknown[]) => Observable<unknown>;

/** Puts a token into the metadata of each call, for all services that the application gets from now on. */
export function authorizeServices(grpc: ClientGrpc, client: AuthorizedClient): void {
  const { Metadata } = packageOfNest('@grpc/grpc-js') as { Metadata: new () => Metadata };
  const getService = grpc.getService.bind(grpc);

  const authorized =
    (method: ServiceMethod): ServiceMethod =>
    (data, ...others) => {
      const [given, ...rest] = isMetadata(others[0]) ? others : [undefined, ...others];
      if (isMetadata(given) && given.get('authorization').length > 0) return method(data, given, ...rest);
      const withToken = (authorization: string) => {
        const metadata = isMetadata(given) ? given.clone() : new Metadata();
        metadata.set('authorization', authorization);
        return metadata;
      };
      return isStream(data)
        ? HeldStream.whileStarting(data, (stream) =>
            authorizedCall(client, {
              isReplayable: false,
              exchange: (authorization) => method(stream(), withToken(authorization), ...rest),
            }),
          )
        : authorizedCall(client, {
            isReplayable: true,
            exchange: (authorization) => method(data, withToken(authorization), ...rest),
          });
    };

  const authorizedService = (name: string): Record<string, ServiceMethod> => {
    const methods = Object.entries(getService<Record<string, ServiceMethod>>(name));
    return Object.fromEntries(methods.map(([name, method]) => [name, authorized(method)]));
  };
  grpc.getService = authorizedService as ClientGrpc['getService'];
}

function isMetadata(value: unknown): value is Metadata {
  const { get, set, clone } = (value ?? {}) as Partial<Metadata>;
  return typeof get === 'function' && typeof set === 'function' && typeof clone === 'function';
}

/** Whether the value is a stream of request messages. */
function isStream(value: unknown): value is Observable<unknown> {
  return typeof (value as { subscribe?: unknown } | null | undefined)?.subscribe === 'function';
}

/**
 * Holds back the request messages of a call until the call can be sent.
 *
 * Nest's client listens to them as soon as the call is subscribed to. If the call has to wait for a token, this class
 * listens in the meantime: a `Subject` does not repeat a message.
 */
class HeldStream {
  readonly #held: ObservableNotification<unknown>[] = [];
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
   * Makes a call that asks for its request messages at once and listens to them itself, or asks later and gets the
   * messages held back.
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

  /** Returns the messages held back, followed by all further ones. Subscribe to it once. */
  stream(): Observable<unknown> {
    return new Observable((subscriber) => {
      // Messages that arrive during this loop join the list.
      for (let next = this.#held.shift(); next; next = this.#held.shift()) notify(next, subscriber);
      this.#listener = subscriber;
      return this.#subscription;
    });
  }

  #take(notification: ObservableNotification<unknown>): void {
    if (this.#listener) notify(notification, this.#listener);
    else this.#held.push(notification);
  }
}

function notify(notification: ObservableNotification<unknown>, listener: Observer<unknown>): void {
  if (notification.kind === 'N') listener.next(notification.value);
  else if (notification.kind === 'E') listener.error(notification.error);
  else listener.complete();
}
