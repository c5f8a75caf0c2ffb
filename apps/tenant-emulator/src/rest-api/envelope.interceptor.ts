import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { map, type Observable } from 'rxjs';
import type { TenantRequest } from '../requests/tenant-request.js';
import { type Envelope, successEnvelope } from './envelope.js';

/** Puts the result of a handler into the envelope of success. */
@Injectable()
export class EnvelopeInterceptor implements NestInterceptor<unknown, Envelope> {
  intercept(context: ExecutionContext, next: CallHandler): Observable<Envelope> {
    const { record } = context.switchToHttp().getRequest<TenantRequest>();
    return next.handle().pipe(
      map((result) => {
        record?.settle('success');
        return successEnvelope(result);
      }),
    );
  }
}
