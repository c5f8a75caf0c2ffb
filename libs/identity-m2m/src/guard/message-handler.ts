import {
  type ArgumentsHost,
  type CanActivate,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  Inject,
  Injectable,
  Optional,
} from '@nestjs/common';
import { type Observable, of, throwError } from 'rxjs';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';

/** Metadata key that `@MessagePattern()`, `@EventPattern()` and the gRPC decorators set on a handler. */
const HANDLER_TYPE = 'microservices:handler_type';
const EVENT = 2;
/** Metadata key of a handler's only transport, if its decorator names one. */
const TRANSPORT = 'microservices:transport';

/** Whether a method handles messages. */
export function isMessageHandler(method: object): boolean {
  return Reflect.hasMetadata(HANDLER_TYPE, method);
}

/** Whether a call is an event, whose sender waits for no reply. */
export function isEventHandler(context: ExecutionContext): boolean {
  return Reflect.getMetadata(HANDLER_TYPE, context.getHandler()) === EVENT;
}

/** Whether a method handles messages of a server. */
export function isHandlerOf(method: object, server: { readonly transportId?: unknown }): boolean {
  const transport: unknown = Reflect.getMetadata(TRANSPORT, method);
  return transport === undefined || server.transportId === undefined || transport === server.transportId;
}

/**
 * A message was refused, and there is nothing more to do: it was settled with its broker or answered, or its sender
 * waits for no reply.
 *
 * The application's filters never see this error. One that acknowledged the message again, or threw into a broker's
 * consumer, would undo what the guard did.
 */
export class MessageRefusal extends Error {
  override readonly name = 'MessageRefusal';

  /** @param answer The answer for a sender that waits for one; undefined if none does. */
  constructor(readonly answer: object | undefined) {
    super('the message was refused');
  }
}

/** Ends the handling of a refused message. It is on the handlers themselves, before all other filters. */
@Catch(MessageRefusal)
export class MessageRefusalFilter implements ExceptionFilter<MessageRefusal> {
  catch({ answer }: MessageRefusal, _host: ArgumentsHost): Observable<unknown> {
    // Nest waits for a last value from handlers of Kafka and of gRPC streams, so there must be one.
    return answer ? throwError(() => answer) : of(undefined);
  }
}

/** Injection token of the application's global guard, exported to all modules; absent without `globalGuard`. */
export const GLOBAL_MESSAGE_GUARD = Symbol('GlobalMessageGuard');

/**
 * Represents the application's global guard on controllers and gateways that handle messages.
 *
 * Metadata belongs to a class, and several applications of one process may use that class. So the metadata names this
 * class, and each application creates an instance with its own guard. Without a global guard, it allows every call.
 */
@Injectable()
export class MessageHandlerGuard implements CanActivate {
  constructor(@Optional() @Inject(GLOBAL_MESSAGE_GUARD) private readonly guard: CanActivate | undefined) {}

  canActivate(context: ExecutionContext): ReturnType<CanActivate['canActivate']> {
    return this.guard ? this.guard.canActivate(context) : true;
  }
}

/**
 * The message handlers of a controller would be unguarded despite a global guard, so the application does not start.
 */
export class UnguardedMessageHandlersError extends IdentityM2MError {
  readonly code = 'M2M_HANDLERS_UNGUARDED';

  static notFound(controller: string): UnguardedMessageHandlersError {
    return new UnguardedMessageHandlersError(
      `globalGuard could not guard the message handlers of ${controller}. Put @UseGuards(M2MAuthGuard) on the controller and remove globalGuard, and report the version of @nestjs/core`,
    );
  }

  static beyondGlobalGuard(controller: string): UnguardedMessageHandlersError {
    return new UnguardedMessageHandlersError(
      `M2MAuthGuard is a global guard by APP_GUARD or useGlobalGuards(), which does not reach the message handlers of ${controller} where connectMicroservice() connects them. Set globalGuard: true in the options of IdentityM2MModule instead, or put @UseGuards() on the controller`,
    );
  }
}
