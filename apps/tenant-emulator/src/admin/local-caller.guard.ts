import { type CanActivate, type ExecutionContext, ForbiddenException, Injectable } from '@nestjs/common';
import type { TenantRequest } from '../requests/tenant-request.js';

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
