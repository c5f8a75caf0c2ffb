import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Applications } from '../applications/applications.js';
import { SwitchBoard } from '../faults/switch-board.js';
import { pathOf, type TenantRequest } from '../requests/tenant-request.js';
import { fingerprintOf } from '../tokens/fingerprint.js';
import { type IssuedToken, IssuedTokens } from '../tokens/issued-tokens.js';
import { ApiFailure } from './api-failure.js';
import { bearerTokenOf } from './bearer-token.js';

/** Lets in who has a live token of an OAuth2 Client application with a scope that covers the path. */
@Injectable()
export class AccessTokenGuard implements CanActivate {
  constructor(
    private readonly applications: Applications,
    private readonly tokens: IssuedTokens,
    private readonly switches: SwitchBoard,
  ) {}

  canActivate(context: ExecutionContext): true {
    const request = context.switchToHttp().getRequest<TenantRequest>();
    const text = bearerTokenOf(request.headers.authorization);
    if (request.record && text !== undefined) request.record.tokenFingerprint = fingerprintOf(text);
    const token = text === undefined ? undefined : this.tokens.live(text);
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
