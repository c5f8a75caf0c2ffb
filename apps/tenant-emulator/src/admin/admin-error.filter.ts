import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, NotFoundException } from '@nestjs/common';
import { JSON_TYPE, respond } from '../requests/respond.js';
import { pathOf, type TenantRequest } from '../requests/tenant-request.js';

/** Answers what the admin API refuses: `error` is a sentence, `details` has a line per wrong field. */
@Catch()
export class AdminErrorFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const status = error instanceof HttpException ? error.getStatus() : 500;
    const body = JSON.stringify(explanation(error, http.getRequest<TenantRequest>()));
    respond(http.getResponse<ServerResponse>(), { status, headers: JSON_TYPE, body });
  }
}

function explanation(error: unknown, request: TenantRequest): object {
  // Nest's own, for a path that nobody has; a controller says what it has not found.
  if (error instanceof NotFoundException && 'statusCode' in Object(error.getResponse())) {
    return { error: `The admin API has no ${request.method} ${pathOf(request)}.`, endpoints: ENDPOINTS };
  }
  if (error instanceof HttpException) {
    const response = error.getResponse();
    return typeof response === 'object' && 'error' in response ? response : { error: error.message };
  }
  return { error: error instanceof Error ? error.message : String(error) };
}

const ENDPOINTS = [
  'GET /switches',
  'PATCH /switches',
  'POST /switches/reset',
  'POST /faults/outage',
  'POST /keys/rotate',
  'POST /sessions/revoke',
  'GET /statistics',
  'POST /statistics/reset',
  'GET /users',
  'PUT /clients/<login name>/jwks',
];
