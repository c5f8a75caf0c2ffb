import { type ArgumentsHost, Catch, type ExceptionFilter, type ExecutionContext } from '@nestjs/common';
import { type Observable, of, throwError } from 'rxjs';

/** Metadata that `@MessagePattern()`, `@EventPattern()` and the decorators of gRPC leave on a handler. */
const HANDLER_TYPE = 'microservices:handler_type';
const EVENT = 2;
/** The only transport that a handler takes messages of, where its decorator names one. */
const TRANSPORT = 'microservices:transport';

/** Whether a method takes messages. */
export function isMessageHandler(method: object): boolean {
  return Reflect.hasMetadata(HANDLER_TYPE, method);
}

/** Whether it takes events, whose senders wait for no answer. */
export function isEventHandler(context: ExecutionContext): boolean {
  return Reflect.getMetadata(HANDLER_TYPE, context.getHandler()) === EVENT;
}

/** Whether a method takes messages of a server. */
export function isHandlerOf(method: object, server: { readonly transportId?: unknown }): boolean {
  const transport: unknown = Reflect.getMetadata(TRANSPORT, method);
  return transport === undefined || server.transportId === undefined || transport === server.transportId;
}

/**
 * A message was refused, and nobody but the guard may deal with it any more: it has been settled with its broker or
 * answered already, or there is nobody to answer.
 *
 * Filters of the application never see it, because one that acknowledged the message again, or threw into a broker's
 * consumer, would undo what was done.
 */
export class MessageRefusal extends Error {
  override readonly name = 'MessageRefusal';

  /** @param answer What the caller gets, if it waits for anything; undefined where the message just ends here. */
  constructor(readonly answer: object | undefined) {
    super('the message was refused');
  }
}

/** Ends a refused message as the guard wants it ended. Stands on the handlers themselves, before all other filters. */
@Catch(MessageRefusal)
export class MessageRefusalFilter implements ExceptionFilter<MessageRefusal> {
  catch({ answer }: MessageRefusal, _host: ArgumentsHost): Observable<unknown> {
    // Nest waits for a last value of what it runs for Kafka and for streams of gRPC, so there has to be one.
    return answer ? throwError(() => answer) : of(undefined);
  }
}
