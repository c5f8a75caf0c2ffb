import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { TenantRequest } from '../requests/tenant-request.js';

/** The token that a REST call was let in with: an {@link IssuedToken}. */
export const Caller = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<TenantRequest>().token,
);
