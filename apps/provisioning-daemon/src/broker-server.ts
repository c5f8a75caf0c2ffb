import { type OutgoingResponse, type RmqContext, ServerRMQ } from '@nestjs/microservices';

/**
 * Nest's server for RabbitMQ, which outlives a connection that is lost while an answer is on its way.
 *
 * Nest hands answers to a channel that waits for the broker's confirmation, and does not look at what comes of it: a lost
 * connection is a rejection that nobody handles, and ends the process. The answer itself is not missed: the broker gives
 * the message to another daemon, or again to this one.
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
