import {
  applyDecorators,
  type CallHandler,
  type CanActivate,
  Controller,
  createParamDecorator,
  type ExecutionContext,
  HttpCode,
  Injectable,
  type NestInterceptor,
  Post,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { map, type Observable } from 'rxjs';
import { Applications } from '../config/application.js';
import { SwitchBoard } from '../faults/switch-board.js';
import { type Envelope, successEnvelope } from '../http/response.js';
import { pathOf, type TenantRequest } from '../http/tenant-request.js';
import { type IssuedToken, IssuedTokens } from '../tokens/issued-tokens.js';
import { ApiFailure, ApiFailureFilter } from './api-failure.js';

/** Marks a controller of the REST API: requires a token, wraps results in the envelope. */
export function RestController(path: string) {
  return applyDecorators(
    Controller(path),
    UseGuards(AccessTokenGuard),
    UseInterceptors(EnvelopeInterceptor),
    UseFilters(ApiFailureFilter),
  );
}

/** Marks a call of the REST API: POST, and status 200 on success. */
export function RestCall(path: string) {
  return applyDecorators(Post(path), HttpCode(200));
}

/** Requires an active token of an OAuth2 Client application, with a scope that covers the path. */
@Injectable()
class AccessTokenGuard implements CanActivate {
  constructor(
    private readonly applications: Applications,
    private readonly tokens: IssuedTokens,
    private readonly switches: SwitchBoard,
  ) {}

  canActivate(context: ExecutionContext): true {
    const request = context.switchToHttp().getRequest<RestRequest>();
    const token = this.tokens.presentedIn(request);
    if (request.record) request.record.client = token?.loginName;
    if (!token || !this.applications.find(token.applicationId)?.targetIsUs) throw ApiFailure.unauthenticated();
    if (!this.#covers(token, pathOf(request))) throw this.#scopeViolation();
    request.token = token;
    return true;
  }

  #covers({ applicationId, scopes }: IssuedToken, path: string): boolean {
    const known = this.applications.find(applicationId)?.scopes;
    return scopes.some((scope) => known?.get(scope)?.some((pattern) => pattern.covers(path)));
  }

  #scopeViolation(): ApiFailure {
    const { scopeViolation } = this.switches.current;
    if (scopeViolation === 401) return ApiFailure.unauthenticated();
    return ApiFailure.unauthorized(scopeViolation === 403 ? 403 : 200);
  }
}

/** A call of the REST API, with the token that the guard accepted. */
interface RestRequest extends TenantRequest {
  token?: IssuedToken;
}

/** Injects the token of a REST call: an {@link IssuedToken}. */
export const Caller = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<RestRequest>().token,
);

/** Wraps the result of a handler in the envelope. */
@Injectable()
class EnvelopeInterceptor implements NestInterceptor<unknown, Envelope> {
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
