import type { ServerResponse } from 'node:http';
import {
  type ArgumentsHost,
  BadRequestException,
  type CanActivate,
  Catch,
  createParamDecorator,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  HttpException,
  Injectable,
  NotFoundException,
} from '@nestjs/common';
import { z } from 'zod';
import { zodFaults } from '../config/zod-faults.js';
import { JSON_TYPE, respond } from '../http/response.js';
import { bodyTextOf, pathOf, type TenantRequest } from '../http/tenant-request.js';

const LOCAL_NAMES = new Set(['127.0.0.1', 'localhost', '[::1]']);

/**
 * Rejects requests of web pages. The port is open on the loopback address only, which every browser on this machine
 * reaches. A page of another origin sends Origin; a host name rebound to this machine shows in Host.
 */
@Injectable()
export class LocalCallerGuard implements CanActivate {
  canActivate(context: ExecutionContext): true {
    const { origin, host } = context.switchToHttp().getRequest<TenantRequest>().headers;
    if (origin !== undefined || !LOCAL_NAMES.has((host ?? '').replace(/:\d+$/, ''))) {
      throw new ForbiddenException({ error: 'Web pages are not allowed to use the admin API.' });
    }
    return true;
  }
}

/**
 * Injects the JSON body of a request, checked with a schema. No body is `{}`. Ignores Content-Type, because curl sends
 * that of a form by default.
 */
export function JsonBody(schema: z.ZodType): ParameterDecorator {
  return createParamDecorator((_: unknown, context: ExecutionContext) => {
    const checked = schema.safeParse(jsonOf(context.switchToHttp().getRequest<TenantRequest>()));
    if (checked.success) return checked.data;
    throw new BadRequestException({ error: 'The body is invalid.', details: zodFaults(checked.error) });
  })();
}

function jsonOf(request: TenantRequest): unknown {
  const text = bodyTextOf(request).trim();
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequestException({ error: 'The body is not JSON.' });
  }
}

const paging = z.strictObject({
  offset: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
});

/** Returns the requested page of a list. */
export function pagingOf({ query }: TenantRequest): z.output<typeof paging> {
  const checked = paging.safeParse(query);
  if (checked.success) return checked.data;
  throw new BadRequestException({ error: 'The query is invalid.', details: zodFaults(checked.error) });
}

/** Sends the errors of the admin API: `error` is a sentence, `details` has one line per invalid field. */
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
  // Nest's own error for an unknown path; a controller's error has its own message.
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
  'GET /sessions',
  'POST /sessions/revoke',
  'GET /statistics',
  'POST /statistics/reset',
  'GET /users',
  'PUT /clients/<login name>/jwks',
];
