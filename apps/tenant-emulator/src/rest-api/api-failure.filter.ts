import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { JSON_TYPE, respond } from '../requests/respond.js';
import type { TenantRequest } from '../requests/tenant-request.js';
import { ApiFailure } from './api-failure.js';
import { failureEnvelope } from './envelope.js';

/** Answers what the REST API refuses. */
@Catch(ApiFailure)
export class ApiFailureFilter implements ExceptionFilter<ApiFailure> {
  catch({ status, messageId, message }: ApiFailure, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const { record } = http.getRequest<TenantRequest>();
    record?.settle(status === 200 ? (messageId ?? 'failure') : `HTTP ${status}`);
    const errorId = `${record?.transactionId ?? ''}:${randomBytes(16).toString('hex')}`;
    const body = JSON.stringify(failureEnvelope({ message, messageId, errorId }));
    respond(http.getResponse<ServerResponse>(), { status, headers: JSON_TYPE, body });
  }
}
