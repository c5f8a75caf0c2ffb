import { type ArgumentsHost, Catch, HttpException, Logger } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { printable } from './printable.js';
import { problemOf } from './problem.js';

/** Answers errors of the tenant and its tokens; leaves all others to Nest. */
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
