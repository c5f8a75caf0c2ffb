import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { type OutgoingResponse, RmqContext, ServerRMQ } from '@nestjs/microservices';
import { type Channel, type ConsumeMessage, IllegalOperationError } from 'amqplib';
import { type Observable, tap } from 'rxjs';
import type { EventAnswer } from './event.js';

/**
 * Nest's server for RabbitMQ, which survives a connection that is lost while an answer is under way.
 *
 * Nest ignores the promise of a sent answer, so a lost connection is an unhandled rejection and ends the process. The
 * answer itself is not missed: the broker redelivers the message.
 */
export class BrokerServer extends ServerRMQ {
  override sendMessage(message: unknown, replyTo: string, correlationId: string, _context: RmqContext): void {
    const { options, ...answer } = this.serializer.serialize(message as OutgoingResponse) as {
      readonly options?: object;
    };
    const content = Buffer.from(JSON.stringify(answer));
    const sent = this.channel?.sendToQueue(replyTo, content, { correlationId, ...options });
    sent?.catch((error: unknown) => this.logger.warn(`An answer was lost with the connection: ${String(error)}`));
  }
}

/**
 * Settles messages of RabbitMQ after the service has answered, so that the broker redelivers those of a crashed daemon.
 *
 * An event that can never succeed becomes a dead letter. One that is not possible now is acknowledged: its sender gets
 * an error, still has the event, and retries with a fresh token. Requeued, it would return at once, again and again,
 * with an ageing token. The guard makes dead letters of the messages that it refuses.
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

/** Ignores a closed channel: the broker has requeued its messages already. */
function settle(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof IllegalOperationError)) throw error;
  }
}
