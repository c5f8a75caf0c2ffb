import { BadRequestException, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { z } from 'zod';
import { zodFaults } from '../config/zod-faults.js';
import { bodyTextOf, type TenantRequest } from '../requests/tenant-request.js';

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
