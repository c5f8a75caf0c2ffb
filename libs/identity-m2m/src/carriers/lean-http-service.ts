import { HttpService } from '@nestjs/axios';
import type { AxiosPromise, AxiosRequestConfig, AxiosResponse } from 'axios';
import { Observable } from 'rxjs';
import { CallCancellation } from './call-cancellation.js';

/**
 * The `HttpService` of @nestjs/axios, with the same behaviour at a fraction of the cost: nothing happens before somebody
 * subscribes, each subscription is a call of its own, and unsubscribing cancels it, except for a stream, which the
 * subscriber goes on to read.
 *
 * One thing is better: a call that has ended is not cancelled afterwards, so its config can be sent again.
 */
export class LeanHttpService extends HttpService {
  protected override makeObservable<T>(
    axios: (...args: unknown[]) => AxiosPromise<T>,
    ...args: unknown[]
  ): Observable<AxiosResponse<T>> {
    const asked = args.at(-1) as AxiosRequestConfig | undefined;
    return new Observable((subscriber) => {
      const config: AxiosRequestConfig = { ...asked };
      const cancellation = isCancellable(config) ? new CallCancellation() : undefined;
      if (cancellation) config.cancelToken = cancellation;
      let isOver = false;
      axios(...args.slice(0, -1), config).then(
        (response) => {
          isOver = true;
          subscriber.next(response);
          subscriber.complete();
        },
        (error: unknown) => {
          isOver = true;
          subscriber.error(error);
        },
      );
      return () => {
        if (!isOver) cancellation?.cancel();
      };
    });
  }
}

/** Whoever brings a cancel token cancels by it. A stream outlives the subscription that it came by. */
function isCancellable({ cancelToken, responseType }: AxiosRequestConfig): boolean {
  return !cancelToken && responseType !== 'stream';
}
