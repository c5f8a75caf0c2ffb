import { EventEmitter } from 'node:events';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { Observable } from 'rxjs';
import { callerOf, listenWithCaller, runWithCaller } from './caller-store.js';

/** Makes the caller of a message known to everything below its handler, also to what runs when its answer is read. */
export class CallerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const caller = callerOf(context);
    // Of all transports only gRPC hands over its calls, and streams are among them.
    for (const argument of context.getArgs<unknown[]>()) {
      if (argument instanceof EventEmitter) listenWithCaller(caller, argument);
    }
    return new Observable((subscriber) => runWithCaller(caller, () => next.handle().subscribe(subscriber)));
  }
}
