import { type ArgumentsHost, BadRequestException, Catch, HttpException, Logger } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { ClientRejectedError, TokenRequestRejectedError, TokenUnavailableError } from 'nestjs-identity-m2m';
import { BatchRefusedError } from './batch/batch-answers.js';
import { TenantRefusalError, type TenantRefusalKind, TenantUnreachableError } from './directory/tenant-answer.js';
import {
  IdempotencyKeyInUseError,
  IdempotencyKeyReusedError,
  IdempotencyStoreUnavailableError,
} from './idempotency/idempotency-store.js';
import { RequestTimeError } from './users/request-timing.js';
import { ServiceUserError } from './users/user-provisioning.service.js';

/** The answer to a failed request. */
export interface Problem {
  readonly statusCode: 400 | 404 | 409 | 412 | 413 | 415 | 422 | 429 | 502 | 503;
  readonly error: string;
  readonly message: string;
  /** What the operator of this service can do. */
  readonly hint?: string;
  /** Identifies the error for the tenant's support. */
  readonly tenantErrorId?: string;
  /** The time by the tenant's clock, for a caller whose clock is wrong. */
  readonly tenantTime?: string;
  readonly retryAfterSeconds?: number;
}

/** Returns the answer to an error of the tenant, a token, a key, a body or a batch; undefined for any other error. */
export function problemOf(error: unknown, now = Date.now()): Problem | undefined {
  if (error instanceof TenantRefusalError) return refusalProblem(error);
  if (error instanceof TenantUnreachableError) {
    return {
      statusCode: 503,
      error: 'tenant_unreachable',
      message: error.outcomeUnknown
        ? `${error.message} Whether the call was carried out is not known. It is safe to repeat: a POST with an Idempotency-Key, any other call as it is.`
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
      message: 'The tenant issues no access token at the moment. Nothing was changed.',
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
  // The message of JSON.parse quotes the body, and with it perhaps a password.
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
      hint: 'The tenant does not allow this service to do that. Give its service user the System Administrator role or the User Management right, and make the scope of its application cover CDirectoryService.',
    }),
  };
}

/** Answers a {@link Problem}, and logs those of the 5xx. Leaves all other errors to Nest. */
@Catch()
export class ProblemFilter extends BaseExceptionFilter {
  readonly #logger = new Logger('UserProvisioning');

  override catch(error: unknown, host: ArgumentsHost): void {
    const problem = problemOf(error);
    if (!problem) return super.catch(error, host);
    const { retryAfterSeconds, ...body } = problem;
    if (problem.statusCode >= 500) this.#logger.warn(`${problem.error}: ${printable(problem.hint ?? problem.message)}`);
    if (retryAfterSeconds !== undefined) {
      const response: unknown = host.switchToHttp().getResponse();
      this.httpAdapterHost?.httpAdapter.setHeader(response, 'retry-after', String(retryAfterSeconds));
    }
    super.catch(new HttpException(body, problem.statusCode), host);
  }
}

/** Characters that act on a terminal or on the order of text, and unassigned ones. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Makes external text safe for the log: it starts no new line, and acts on no terminal. */
function printable(text: string): string {
  return text.slice(0, 1000).replace(UNPRINTABLE, '?');
}
