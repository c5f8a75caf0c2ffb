import { Controller, Header, HttpCode, Param, Post, Req, UseFilters } from '@nestjs/common';
import { PLATFORM_APPLICATION_ID } from '../applications/application.js';
import type { TenantRequest } from '../requests/tenant-request.js';
import { ClientCredentialsGrant, type TokenResponse } from './client-credentials-grant.js';
import { OAuthErrorFilter } from './oauth-error.filter.js';
import { OAuthError } from './oauth-error.js';

/** The token endpoints: one for each application, and one for platform tokens. */
@Controller('OAuth2')
@UseFilters(OAuthErrorFilter)
export class TokenController {
  constructor(private readonly clientCredentials: ClientCredentialsGrant) {}

  @Post('Token/:application')
  @HttpCode(200)
  @Header('Cache-Control', 'no-cache, no-store')
  token(@Param('application') application: string, @Req() request: TenantRequest): Promise<TokenResponse> {
    return this.clientCredentials.grant(application, request);
  }

  @Post('PlatformToken')
  @HttpCode(200)
  @Header('Cache-Control', 'no-cache, no-store')
  platformToken(@Req() request: TenantRequest): Promise<TokenResponse> {
    return this.clientCredentials.grant(PLATFORM_APPLICATION_ID, request);
  }

  @Post('Token')
  missingApplication(): never {
    throw OAuthError.missingApplication();
  }
}
