import type { ExecutionContext } from '@nestjs/common';

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
