import { BadRequestException } from '@nestjs/common';
import { ClientRejectedError, TokenRequestRejectedError, TokenUnavailableError } from 'nestjs-identity-m2m';
import { TenantRefusalError, type TenantRefusalKind, TenantUnreachableError } from '../directory/tenant-errors.js';
import { BatchRefusedError } from '../batch/batch-refused-error.js';
import {
  IdempotencyKeyInUseError,
  IdempotencyKeyReusedError,
  IdempotencyStoreUnavailableError,
} from '../idempotency/idempotency-errors.js';
import { RequestTimeError } from '../users/request-timing.js';
import { ServiceUserError } from '../users/service-user-error.js';

/** What a caller is told of an error. */
export interface Problem {
  readonly statusCode: 400 | 404 | 409 | 412 | 413 | 415 | 422 | 429 | 502 | 503;
  readonly error: string;
  readonly message: string;
  /** What the operator of this service can do about it. */
  readonly hint?: string;
  /** What the tenant's support can find the error by. */
  readonly tenantErrorId?: string;
  /** The time by the tenant's clock, where the caller's own is wrong. */
  readonly tenantTime?: string;
  readonly retryAfterSeconds?: number;
}

/** The answer for an error of the tenant, of its tokens, of a key, of a body or of a whole batch; undefined for any other error. */
export function problemOf(error: unknown, now = Date.now()): Problem | undefined {
  if (error instanceof TenantRefusalError) return refusalProblem(error);
  if (error instanceof TenantUnreachableError) {
    return {
      statusCode: 503,
      error: 'tenant_unreachable',
      message: error.outcomeUnknown
        ? `${error.message} Whether the call was carried out is not known. It is safe to send it again: a POST with an Idempotency-Key, any other as it is.`
        : error.message,
      retryAfterSeconds: error.retryAfterSeconds,
    };
  }
  if (error instanceof ClientRejectedError || error instanceof TokenRequestRejectedError) {
    return {
      statusCode: 502,
      error: 'tenant_rejects_service',
      message: 'The tenant does not accept this service as a client.',
      hint: error.message,
    };
  }
  if (error instanceof TokenUnavailableError) {
    const seconds = error.retryAt ? Math.ceil((error.retryAt.getTime() - now) / 1000) : 5;
    return {
      statusCode: 503,
      error: 'tenant_unreachable',
      message: 'No access token can be had from the tenant at the moment. Nothing was changed.',
      retryAfterSeconds: Math.max(seconds, 1),
    };
  }
  if (error instanceof IdempotencyKeyReusedError) {
    return { statusCode: 422, error: 'idempotency_key_reused', message: error.message };
  }
  if (error instanceof IdempotencyKeyInUseError) {
    const { message, retryAfterSeconds } = error;
    return { statusCode: 409, error: 'idempotency_key_in_use', message, retryAfterSeconds };
  }
  if (error instanceof IdempotencyStoreUnavailableError) {
    const { message, hint, retryAfterSeconds } = error;
    return { statusCode: 503, error: 'store_unavailable', message, hint, retryAfterSeconds };
  }
  if (error instanceof RequestTimeError) {
    const { message, tenantTime } = error;
    return { statusCode: 412, error: 'request_time', message, tenantTime: new Date(tenantTime).toISOString() };
  }
  if (error instanceof ServiceUserError) {
    return { statusCode: 422, error: 'service_user', message: error.message };
  }
  // What JSON.parse says quotes the body, and with it perhaps a password.
  if (error instanceof BadRequestException && error.cause instanceof SyntaxError) {
    return { statusCode: 400, error: 'not_json', message: 'The body is not JSON.' };
  }
  if (error instanceof BatchRefusedError) {
    const { statusCode, code, message, retryAfterSeconds } = error;
    return { statusCode, error: code, message, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
  }
  return undefined;
}

const STATUS: Readonly<Record<TenantRefusalKind, Problem['statusCode']>> = {
  duplicate: 409,
  not_found: 404,
  weak_password: 422,
  invalid: 422,
  not_authorised: 502,
  other: 502,
};

function refusalProblem({ kind, message, errorId }: TenantRefusalError): Problem {
  return {
    statusCode: STATUS[kind],
    error: kind,
    message,
    ...(errorId !== undefined && { tenantErrorId: errorId }),
    ...(kind === 'not_authorised' && {
      hint: 'The tenant does not let this service do that. Give its service user the System Administrator role or the User Management right, and see that the scope of its application covers CDirectoryService.',
    }),
  };
}
