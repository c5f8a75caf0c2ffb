import { Observable, Subscription } from 'rxjs';
import { TokenNotBearerError } from '../../token/token-errors.js';
import type { GetTokenOptions } from '../../token/token-provider.js';
import type { BoundCall, CallAuthorization, TokenCarrier } from '../token-carrier.js';
import { MessageRefusal } from './message-refusal.js';
import { withoutText } from './without-text.js';

/** What all calls of one client proxy share. */
export interface AuthorizedClient {
  readonly carrier: TokenCarrier;
  /** Name of the client whose tokens they carry. */
  readonly tokenClient: string;
  /** Where they lead, as a URL: what is learned of the receiver is kept under this name. */
  readonly receiver: string;
  /** Which token they carry; undefined for the client's usual one. */
  readonly token: GetTokenOptions | undefined;
  /** Whether refused calls may be sent a second time at all. */
  readonly replay: boolean;
  /** Ends the waits for a token that are under way when the connection is closed. */
  readonly waits: Set<AbortController>;
}

/** A call with any number of answers. */
export interface AuthorizedCall<T> {
  /** Whether it may be sent a second time, where the first was refused before anything was answered. */
  readonly isReplayable: boolean;
  /**
   * Sends it with this value for `authorization` when it is subscribed to.
   *
   * @param hasWaited Whether that is some time after the call was made.
   */
  exchange(authorization: string, hasWaited: boolean): Observable<T>;
}

/**
 * Makes a call with the token on it: waits for one where there is none, and sends the call once more with a newer one
 * where the receiver refuses the first as unauthenticated.
 *
 * Cold, as the calls of Nest's clients are. Where the token can be had without waiting, the call is sent within
 * `subscribe`. Whoever unsubscribes ends his own wait; the token request goes on for the others.
 */
export function authorizedCall<T>(client: AuthorizedClient, call: AuthorizedCall<T>): Observable<T> {
  return new Observable<T>((subscriber) => {
    const exchanges = new Subscription();
    let wait: AbortController | undefined;
    let hasWaited = false;
    let isAnswered = false;

    const signal = () => {
      wait ??= new AbortController();
      client.waits.add(wait);
      return wait.signal;
    };

    const endWait = () => wait && client.waits.delete(wait);

    const send = ({ token }: CallAuthorization) =>
      new Promise<FirstAnswer>((resolve) => {
        if (token.tokenType !== 'Bearer') throw new TokenNotBearerError(client.tokenClient);
        if (subscriber.closed) return resolve({});
        const answered = () => {
          if (isAnswered) return;
          isAnswered = true;
          resolve({});
        };
        const fail = (thrown: unknown) => {
          const refusal = new MessageRefusal(withoutText(thrown, token.reveal()));
          if (!isAnswered) return resolve({ refusal });
          // The caller has some of the answers, so this may renew the token, and does not make the call again.
          client.carrier.finish(boundCall, token, { refusal }).catch(() => {});
          subscriber.error(refusal.error);
        };
        exchanges.add(
          // Receivers of messages read it from `authorization`, whatever header the client's HTTP calls have it in.
          call.exchange(token.revealAuthorizationHeader(), hasWaited).subscribe({
            next: (answer) => {
              answered();
              subscriber.next(answer);
            },
            error: fail,
            complete: () => {
              answered();
              subscriber.complete();
            },
          }),
        );
      });

    const boundCall: BoundCall<FirstAnswer> = {
      method: 'POST',
      url: client.receiver,
      token: client.token,
      signal,
      send,
      status: ({ refusal }) => refusal?.status,
      headers: ({ refusal }) => refusal?.headers() ?? {},
      bodyStart: ({ refusal }) => refusal?.bodyStart() ?? '',
      isReplayable: () => client.replay && call.isReplayable && !isAnswered && !subscriber.closed,
      discard: () => {},
    };
    client.carrier
      .call(boundCall)
      .then(
        ({ refusal }) => refusal && subscriber.error(refusal.error),
        (error: unknown) => subscriber.error(error),
      )
      .finally(endWait);

    hasWaited = true;
    return () => {
      exchanges.unsubscribe();
      wait?.abort();
      endWait();
    };
  });
}

/** How a call began: with an answer, or the end; or with an error, which may be about the token. */
interface FirstAnswer {
  readonly refusal?: MessageRefusal;
}
