import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Injectable, Logger, type NestMiddleware } from '@nestjs/common';
import { CurrentCaller } from 'nestjs-identity-m2m';

/** Logs each request when its response ends: status, method, path, client and token fingerprint. */
@Injectable()
export class RequestLog implements NestMiddleware<IncomingMessage & { readonly originalUrl: string }, ServerResponse> {
  readonly #logger = new Logger('UserProvisioning');

  constructor(private readonly caller: CurrentCaller) {}

  use(request: IncomingMessage & { readonly originalUrl: string }, response: ServerResponse, next: () => void): void {
    const requested = `${request.method} ${pathOf(request.originalUrl)}`;
    // The guard sets the caller later, in the asynchronous context of this request.
    const log = AsyncResource.bind(() => {
      const status = response.writableFinished ? response.statusCode : 'client gone';
      const caller = this.caller.get();
      this.#logger.log(
        `${status} ${requested}${caller ? ` client=${caller.clientId} token=${caller.tokenFingerprint}` : ''}`,
      );
    });
    response.once('close', log);
    next();
  }
}

/** Leaves out the query, which may hold a misplaced token, and characters that could forge a log line. */
function pathOf(url: string): string {
  return url
    .split('?', 1)[0]!
    .slice(0, 200)
    .replace(/[^\x21-\x7e]/g, '?');
}
