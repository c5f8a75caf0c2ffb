import type { ExecutionContext } from '@nestjs/common';

/** Metadata that `@MessagePattern()`, `@EventPattern()` and the decorators of gRPC leave on a handler. */
const HANDLER_TYPE = 'microservices:handler_type';
const EVENT = 2;

/** Whether a method takes messages. */
export function isMessageHandler(method: object): boolean {
  return Reflect.hasMetadata(HANDLER_TYPE, method);
}

/** Whether it takes events, whose senders wait for no answer. */
export function isEventHandler(context: ExecutionContext): boolean {
  return Reflect.getMetadata(HANDLER_TYPE, context.getHandler()) === EVENT;
}
