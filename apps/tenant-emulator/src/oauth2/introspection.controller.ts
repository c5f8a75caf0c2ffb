import { Controller, HttpCode, Param, Post, Req, UseFilters } from '@nestjs/common';
import { Applications } from '../config/application.js';
import { SwitchBoard } from '../faults/switch-board.js';
import { bearerTokenOf, type TenantRequest } from '../http/tenant-request.js';
import { fingerprintOf, IssuedTokens } from '../tokens/issued-tokens.js';
import { ClientAuthenticator } from './client-authenticator.js';
import { OAuthError, OAuthErrorFilter } from './oauth-error.js';
import { clientCredentialsOf, requestParametersOf } from './request-parameters.js';
import { accessTokenClaims } from './token-issuer.js';

/**
 * Token introspection (RFC 7662), the only way to check an opaque token. Accepts a bearer token, which the vendor's
 * specification requires, and Basic, which the Java SDK sends. Any client of the tenant may introspect.
 */
@Controller('OAuth2/Introspect')
@UseFilters(OAuthErrorFilter)
export class IntrospectionController {
  constructor(
    private readonly applications: Applications,
    private readonly clients: ClientAuthenticator,
    private readonly tokens: IssuedTokens,
    private readonly switches: SwitchBoard,
  ) {}

  @Post(':application')
  @HttpCode(200)
  introspect(@Param('application') id: string, @Req() request: TenantRequest) {
    if (!this.applications.find(id)) throw OAuthError.unknownApplication(id);
    if (!this.#isAuthenticated(request)) throw new OAuthError('access_denied', 'requesting user not authenticated');
    const text = requestParametersOf(request).get('token');
    if (!text) throw new OAuthError('invalid_request', 'missing token in request');

    if (request.record) request.record.tokenFingerprint = fingerprintOf(text);
    const token = this.tokens.live(text);
    const active = token?.applicationId === id;
    request.record?.settle(active ? 'active' : 'not active');
    return active ? { active, ...this.#withTimes(accessTokenClaims(token)) } : { active };
  }

  @Post()
  missingApplication(): never {
    throw OAuthError.missingApplication();
  }

  #isAuthenticated(request: TenantRequest): boolean {
    const { authorization } = request.headers;
    const bearer = bearerTokenOf(authorization);
    if (bearer !== undefined) return this.tokens.live(bearer) !== undefined;
    const credentials = clientCredentialsOf(authorization, requestParametersOf(request));
    return credentials !== undefined && this.clients.authenticate(credentials) !== undefined;
  }

  #withTimes<Claims extends { exp: number; iat: number; auth_time: number }>(claims: Claims) {
    if (this.switches.current.introspectionTimes === 'number') return claims;
    const { exp, iat, auth_time } = claims;
    return { ...claims, exp: String(exp), iat: String(iat), auth_time: String(auth_time) };
  }
}
