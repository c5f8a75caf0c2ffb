import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { JSON_TYPE, respond } from '../requests/respond.js';
import type { TenantRequest } from '../requests/tenant-request.js';
import { OAuthError } from './oauth-error.js';

/** Answers what the OAuth2 endpoints refuse. */
@Catch(OAuthError)
export class OAuthErrorFilter implements ExceptionFilter<OAuthError> {
  catch({ status, code, description, outcome }: OAuthError, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    http.getRequest<TenantRequest>().record?.settle(outcome);
    respond(http.getResponse<ServerResponse>(), {
      status,
      headers: { ...JSON_TYPE, 'Cache-Control': 'no-cache, no-store' },
      body: JSON.stringify({ error: code, error_description: description }),
    });
  }
}
