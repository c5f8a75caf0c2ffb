import type { ReadPacket, WritePacket } from '@nestjs/microservices';
import { firstValueFrom, from, mergeMap, Observable, type ObservableInput } from 'rxjs';
import { authorizedCall, type AuthorizedClient } from './authorized-call.js';
import type { TokenPlace } from './token-place.js';

/** The members that `send` and `emit` of Nest's clients call, and that each transport defines. */
interface Transport {
  readonly connect: () => Promise<unknown>;
  readonly close: () => unknown;
  /** The same as `close` if `ClientsModule` made the client. */
  readonly onApplicationShutdown?: () => unknown;
  publish(packet: ReadPacket, callback: (response: WritePacket) => void): () => void;
  dispatchEvent(packet: ReadPacket): Promise<unknown>;
  /** Of Kafka. */
  dispatchBatchEvent?(batch: KafkaBatch): Promise<unknown>;
}

interface KafkaBatch {
  readonly pattern: unknown;
  readonly data: { readonly messages: readonly unknown[] };
}

/**
 * Puts a token on all messages of a client, where they pass from Nest's own code to the transport's. Dispatch hooks
 * have run by then. Each message has its own packet, so concurrent calls cannot take each other's token.
 */
export function authorizeMessages(proxy: object, place: TokenPlace, client: AuthorizedClient): void {
  const transport = proxy as Transport;
  const publish = transport.publish.bind(transport);
  const dispatchEvent = transport.dispatchEvent.bind(transport);
  const dispatchBatchEvent = transport.dispatchBatchEvent?.bind(transport);
  const close = transport.close.bind(transport);
  const closesAtShutdown = transport.onApplicationShutdown === transport.close;

  const authorized = <T>(isReplayable: boolean, send: (authorization: string) => ObservableInput<T>) =>
    authorizedCall<T>(client, {
      isReplayable,
      exchange: (authorization, hasWaited) =>
        // The connection may have been lost while the call waited.
        from(hasWaited ? transport.connect() : [undefined]).pipe(mergeMap(() => send(authorization))),
    });
  /** Events have no response, so the receiver cannot reject the token. */
  const dispatched = (send: (authorization: string) => Promise<unknown>) => firstValueFrom(authorized(false, send));

  const closeAndEndWaits = () => {
    for (const wait of client.waits) wait.abort(new Error('Connection closed'));
    return close();
  };

  const overrides: Omit<Transport, 'connect'> = {
    publish(packet, callback) {
      if (place.isTaken(packet)) return publish(packet, callback);
      const request = (authorization: string) =>
        responsesTo((callback) => publish(place.put(packet, authorization), callback));
      const call = authorized(true, request).subscribe({ next: callback, error: (err: unknown) => callback({ err }) });
      return () => call.unsubscribe();
    },

    dispatchEvent(packet) {
      if (place.isTaken(packet)) return dispatchEvent(packet);
      return dispatched((authorization) => dispatchEvent(place.put(packet, authorization)));
    },

    ...(dispatchBatchEvent && {
      dispatchBatchEvent(batch) {
        const { pattern, data } = batch;
        if (data.messages.every((message) => place.isTaken({ pattern, data: message }))) {
          return dispatchBatchEvent(batch);
        }
        return dispatched((authorization) => {
          const messages = data.messages.map((message): unknown => {
            const packet = { pattern, data: message };
            return place.isTaken(packet) ? message : place.put(packet, authorization).data;
          });
          return dispatchBatchEvent({ ...batch, data: { ...data, messages } });
        });
      },
    }),

    close: closeAndEndWaits,
    ...(closesAtShutdown && { onApplicationShutdown: closeAndEndWaits }),
  };
  for (const [name, value] of Object.entries(overrides)) {
    Object.defineProperty(transport, name, { value, configurable: true, writable: true });
  }
}

/** Returns the responses to a request as an observable, and a response that is an error as its error. */
function responsesTo(publish: (callback: (response: WritePacket) => void) => () => void): Observable<WritePacket> {
  return new Observable((subscriber) =>
    publish((response) => {
      if (response.err) return subscriber.error(response.err);
      subscriber.next(response);
      if (response.isDisposed) subscriber.complete();
    }),
  );
}
