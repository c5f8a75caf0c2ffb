import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';

type Description = Readonly<Record<number, string>>;

/** What every call may meet that needs a token, and leads to the tenant. */
const ALWAYS: Description = {
  401: 'There is no token, or none that is good here; WWW-Authenticate says more',
  403: 'The client may not call this service, or its token lacks the scope',
  502: 'The tenant does not let this service do that: its operator has to mend something',
  503: 'The tenant, its tokens or the store of requests cannot be reached; Retry-After says when to try again',
};

const problem = {
  type: 'object',
  required: ['statusCode', 'message'],
  properties: {
    statusCode: { type: 'integer' },
    error: { type: 'string', description: 'Stable name of the error', example: 'duplicate' },
    message: { oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }] },
    hint: { type: 'string', description: 'What the operator of this service can do' },
    tenantErrorId: { type: 'string', description: 'What the support of the tenant finds the error by' },
    tenantTime: { type: 'string', format: 'date-time', description: 'Of a 412: the time by the clock of the tenant' },
  },
};

/**
 * Documents the errors of an operation: those that each may meet, and its own.
 *
 * @param own By status; a description here takes the place of the common one.
 */
export function ApiProblems(own: Description): MethodDecorator {
  const all = Object.entries({ ...ALWAYS, ...own });
  return applyDecorators(
    ...all.map(([status, description]) => {
      const content = { 'application/json': { schema: problem } };
      return ApiResponse({ status: Number(status), description, content });
    }),
  );
}
