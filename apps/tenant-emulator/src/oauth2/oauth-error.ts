import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { JSON_TYPE, respond } from '../http/response.js';
import type { TenantRequest } from '../http/tenant-request.js';

/** An error of the OAuth2 endpoints. Nearly all have status 400, wrong credentials included. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';
  readonly status: number;
  /** For statistics and log: the description without the caller's input. */
  readonly outcome: string;

  constructor(
    readonly code: 'access_denied' | 'invalid_client' | 'invalid_grant' | 'invalid_request' | 'invalid_scope',
    readonly description: string,
    { status = 400, outcome = description }: { readonly status?: number; readonly outcome?: string } = {},
  ) {
    super(description);
    this.status = status;
    this.outcome = outcome;
  }

  /** The path has no Application ID. */
  static missingApplication(): OAuthError {
    return new OAuthError('invalid_request', 'bad URL');
  }

  static unknownApplication(id: string): OAuthError {
    return new OAuthError('invalid_request', `unknown app ${id}`, { outcome: 'unknown app' });
  }

  /** Wrong secret, unknown client, locked client, or a client that is not on the application's list. */
  static badCredentials(status: number): OAuthError {
    return new OAuthError('access_denied', 'invalid client creds or client not allowed', { status });
  }
}

/** Sends the errors of the OAuth2 endpoints. */
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
