import { Controller, HttpCode, Param, Post, Req, UseFilters } from '@nestjs/common';
import { Applications } from '../config/application.js';
import { SwitchBoard } from '../faults/switch-board.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { fingerprintOf, IssuedTokens } from '../tokens/issued-tokens.js';
import { ClientAuthenticator } from './client-authenticator.js';
import { OAuthError, OAuthErrorFilter } from './oauth-error.js';
import { clientCredentialsOf, requestParametersOf } from './request-parameters.js';

/** Token revocation (RFC 7009). The response does not reveal whether the token existed. */
@Controller('OAuth2/Revoke')
@UseFilters(OAuthErrorFilter)
export class RevocationController {
  constructor(
    private readonly applications: Applications,
    private readonly clients: ClientAuthenticator,
    private readonly tokens: IssuedTokens,
    private readonly switches: SwitchBoard,
  ) {}

  @Post(':application')
  @HttpCode(200)
  revoke(@Param('application') id: string, @Req() request: TenantRequest): void {
    if (!this.applications.find(id)) throw OAuthError.unknownApplication(id);
    const parameters = requestParametersOf(request);
    const credentials = clientCredentialsOf(request.headers.authorization, parameters);
    if (!credentials) throw new OAuthError('invalid_client', 'wrong clientid');
    const client = this.clients.authenticate(credentials);
    if (!client) throw OAuthError.badCredentials(this.switches.current.badCredentialsStatus);
    const text = parameters.get('token');
    if (!text) throw new OAuthError('invalid_request', 'missing token');

    if (request.record) request.record.tokenFingerprint = fingerprintOf(text);
    this.tokens.revoke(text, client.name);
  }

  @Post()
  missingApplication(): never {
    throw OAuthError.missingApplication();
  }
}
