import { Controller, Get, HttpCode, Param, Post, Req, UseFilters } from '@nestjs/common';
import { Applications } from '../config/application.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { applicationMetadata, TenantAddress, tenantMetadata } from './metadata.js';
import { OAuthError, OAuthErrorFilter } from './oauth-error.js';

/** Discovery of the endpoints of the tenant and of each application. */
@Controller()
@UseFilters(OAuthErrorFilter)
export class DiscoveryController {
  constructor(
    private readonly applications: Applications,
    private readonly address: TenantAddress,
  ) {}

  @Get('.well-known/openid-configuration')
  tenant() {
    return tenantMetadata(this.address);
  }

  @Get(':application/.well-known/openid-configuration')
  application(@Param('application') id: string) {
    const application = this.applications.find(id);
    if (!application) throw OAuthError.unknownApplication(id);
    return applicationMetadata(application, this.address);
  }

  @Post('OAuth2/GetMeta')
  @HttpCode(200)
  getMeta(@Req() { query }: TenantRequest) {
    const id = Object.entries(query).find(([name]) => name.toLowerCase() === 'servicename')?.[1];
    if (typeof id !== 'string' || id === '') throw OAuthError.missingApplication();
    const application = this.applications.find(id);
    // Only here, the documented message does not repeat the id.
    if (!application) throw new OAuthError('invalid_request', 'unknown app');
    return applicationMetadata(application, this.address);
  }
}
