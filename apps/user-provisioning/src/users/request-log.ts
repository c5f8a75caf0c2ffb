import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Injectable, Logger, type NestMiddleware } from '@nestjs/common';
import { CurrentCaller } from 'nestjs-identity-m2m';

/** A line for each request, as its answer ends: what was asked and answered, and who came by which token. */
@Injectable()
export class RequestLog implements NestMiddleware<IncomingMessage & { readonly originalUrl: string }, ServerResponse> {
  readonly #logger = new Logger('UserProvisioning');

  constructor(private readonly caller: CurrentCaller) {}

  use(request: IncomingMessage & { readonly originalUrl: string }, response: ServerResponse, next: () => void): void {
    const asked = `${request.method} ${pathOf(request.originalUrl)}`;
    // Who comes is known later, when the guard has spoken, and in the context of this request alone.
    const log = AsyncResource.bind(() => {
      const status = response.writableFinished ? response.statusCode : 'client gone';
      const caller = this.caller.get();
      this.#logger.log(
        `${status} ${asked}${caller ? ` client=${caller.clientId} token=${caller.tokenFingerprint}` : ''}`,
      );
    });
    response.once('close', log);
    next();
  }
}

/** Without the query, where a token could be that has no business there, and without what would forge a line. */
function pathOf(url: string): string {
  return url
    .split('?', 1)[0]!
    .slice(0, 200)
    .replace(/[^\x21-\x7e]/g, '?');
}
