import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { failureEnvelope, JSON_TYPE, respond } from '../http/response.js';
import type { TenantRequest } from '../http/tenant-request.js';

/** The tenant's message to a caller without a valid token. */
export const NO_ACCESS =
  'You do not have access to this content. Please contact your system administrator for assistance.';

/** A failure of a REST call. The response is an envelope, usually with status 200. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure';

  constructor(
    /** `_I18N_…`, the key of the message; null where it is unknown. */
    readonly messageId: string | null,
    message: string,
    readonly status = 200,
  ) {
    super(message);
  }

  /** The caller lacks a right, or its token a scope. */
  static unauthorized(status = 200): ApiFailure {
    return new ApiFailure(
      '_I18N_System.UnauthorizedAccessException',
      'You are not authorized to perform this operation. Please contact your IT helpdesk.',
      status,
    );
  }

  /** The bearer token is missing, expired, revoked or not for this API. The vendor does not document the body. */
  static unauthenticated(): ApiFailure {
    return new ApiFailure(null, NO_ACCESS, 401);
  }

  static malformedJson(detail: string): ApiFailure {
    return new ApiFailure('_I18N_Newtonsoft.Json.JsonReaderException', detail);
  }

  static missingParameter(name: string): ApiFailure {
    return new ApiFailure('_I18N_RequiredParameter', `Missing required parameter: ${name}`);
  }

  static unknownUuid(): ApiFailure {
    return new ApiFailure('_I18N_UserIDNotFound', 'There is no user with this ID.');
  }

  static unknownName(): ApiFailure {
    return new ApiFailure('_I18N_UserNotFound', 'The user was not found.');
  }

  static nameInUse(fullName: string): ApiFailure {
    return new ApiFailure(null, `User name ${fullName} is already in use.`);
  }
}

/** Sends the envelope of a failed REST call. */
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
