import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { JSON_TYPE, respond } from '../http/response.js';
import type { TenantRequest } from '../http/tenant-request.js';

/** A refusal of the OAuth2 endpoints. Nearly all of them, wrong credentials included, have status 400. */
export class OAuthError extends Error {
  override readonly name = 'OAuthError';
  readonly status: number;
  /** What is counted and logged: the description, without what the caller put into it. */
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

  /** The path ends where the Application ID should follow. */
  static missingApplication(): OAuthError {
    return new OAuthError('invalid_request', 'bad URL');
  }

  static unknownApplication(id: string): OAuthError {
    return new OAuthError('invalid_request', `unknown app ${id}`, { outcome: 'unknown app' });
  }

  /** Wrong secret, unknown client, locked client, or one that is not on the application's list. */
  static badCredentials(status: number): OAuthError {
    return new OAuthError('access_denied', 'invalid client creds or client not allowed', { status });
  }
}

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
