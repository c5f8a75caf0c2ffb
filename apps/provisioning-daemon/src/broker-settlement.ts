import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { RmqContext } from '@nestjs/microservices';
import { type Channel, type ConsumeMessage, IllegalOperationError } from 'amqplib';
import { type Observable, tap } from 'rxjs';
import type { EventAnswer } from './event.js';

/**
 * Settles messages of RabbitMQ, once the service has answered and not before: a daemon that dies gives them back.
 *
 * What can never succeed goes to the dead letters. What can't be dealt with now is acknowledged all the same: the sender
 * is told, has the event still, and comes again with a fresh token. Put back into the queue it would come round at once,
 * again and again, with a token that ages. Messages that the guard refuses are dead letters by its own doing.
 */
@Injectable()
export class BrokerSettlement implements NestInterceptor<EventAnswer, EventAnswer> {
  intercept(context: ExecutionContext, next: CallHandler<EventAnswer>): Observable<EventAnswer> {
    const rmq: unknown = context.switchToRpc().getContext();
    if (!(rmq instanceof RmqContext)) return next.handle();
    const channel = rmq.getChannelRef() as Channel;
    const message = rmq.getMessage() as ConsumeMessage;
    return next.handle().pipe(
      tap({
        next: ({ outcome }) =>
          settle(() => (outcome === 'refused' ? channel.nack(message, false, false) : channel.ack(message))),
        error: () => settle(() => channel.ack(message)),
      }),
    );
  }
}

/** Settles nothing on a channel that is gone: the broker has taken its messages back by then. */
function settle(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof IllegalOperationError)) throw error;
  }
}
