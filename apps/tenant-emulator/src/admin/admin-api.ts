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
 * Keeps web pages out. The port is reached from this machine only, but so is everything that a browser on it opens: a
 * page of another origin sends Origin, and a host name that was rebound to this machine shows in Host.
 */
@Injectable()
export class LocalCallerGuard implements CanActivate {
  canActivate(context: ExecutionContext): true {
    const { origin, host } = context.switchToHttp().getRequest<TenantRequest>().headers;
    if (origin !== undefined || !LOCAL_NAMES.has((host ?? '').replace(/:\d+$/, ''))) {
      throw new ForbiddenException({ error: 'Web pages may not use the admin API.' });
    }
    return true;
  }
}

/**
 * The JSON body of a request, checked against a schema. No body is `{}`. The Content-Type does not matter, because
 * curl sends that of a form unless it is told otherwise.
 */
export function JsonBody(schema: z.ZodType): ParameterDecorator {
  return createParamDecorator((_: unknown, context: ExecutionContext) => {
    const checked = schema.safeParse(jsonOf(context.switchToHttp().getRequest<TenantRequest>()));
    if (checked.success) return checked.data;
    throw new BadRequestException({ error: 'The body is wrong.', details: zodFaults(checked.error) });
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

/** Which part of a long list is asked for. */
export function pagingOf({ query }: TenantRequest): z.output<typeof paging> {
  const checked = paging.safeParse(query);
  if (checked.success) return checked.data;
  throw new BadRequestException({ error: 'The query is wrong.', details: zodFaults(checked.error) });
}

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
