import type { ServerResponse } from 'node:http';
import { Injectable, type NestMiddleware } from '@nestjs/common';
import { UserDirectory } from '../directory/user-directory.js';
import type { TenantRequest } from '../requests/tenant-request.js';
import { clientCredentialsOf } from './client-credentials.js';
import { requestParametersOf } from './request-parameters.js';

/**
 * Notes which client says it is asking, so that requests which an outage swallows are counted for it too. A name that
 * is no OAuth client's is not noted: it may be anything, a secret in the wrong place for one.
 */
@Injectable()
export class ClaimedClientMiddleware implements NestMiddleware<TenantRequest, ServerResponse> {
  constructor(private readonly directory: UserDirectory) {}

  use(request: TenantRequest, _response: ServerResponse, next: () => void): void {
    const parameters = requestParametersOf(request, { acceptJson: true });
    const credentials = clientCredentialsOf(request.headers.authorization, parameters);
    const user = credentials && this.directory.byName(credentials.clientId);
    if (request.record && user?.oauthClient) request.record.client = user.name;
    next();
  }
}
