import type { ServerResponse } from 'node:http';
import { Controller, Get, HttpCode, Param, Post, Req, Res, UseFilters } from '@nestjs/common';
import { Applications } from '../config/application.js';
import { UserDirectory } from '../directory/user-directory.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { NO_ACCESS } from '../rest-api/api-failure.js';
import { IssuedTokens } from '../tokens/issued-tokens.js';
import { OAuthError, OAuthErrorFilter } from './oauth-error.js';

/** The user of a token. */
@Controller('OAuth2/UserInfo')
@UseFilters(OAuthErrorFilter)
export class UserInfoController {
  constructor(
    private readonly applications: Applications,
    private readonly directory: UserDirectory,
    private readonly tokens: IssuedTokens,
  ) {}

  @Get(':application')
  get(
    @Param('application') id: string,
    @Req() request: TenantRequest,
    @Res({ passthrough: true }) response: ServerResponse,
  ) {
    if (!this.applications.find(id)) throw OAuthError.unknownApplication(id);
    const token = this.tokens.presentedIn(request);
    const user = token?.applicationId === id ? this.directory.byUuid(token.userUuid) : undefined;
    if (!user) {
      response.statusCode = 401;
      return { error_message: NO_ACCESS };
    }
    return { sub: user.uuid, unique_name: user.name, name: user.displayName ?? user.name, email: user.mail };
  }

  @Post(':application')
  @HttpCode(200)
  post(
    @Param('application') id: string,
    @Req() request: TenantRequest,
    @Res({ passthrough: true }) response: ServerResponse,
  ) {
    return this.get(id, request, response);
  }

  @Get()
  getWithoutApplication(): never {
    throw badUrl();
  }

  @Post()
  postWithoutApplication(): never {
    throw badUrl();
  }
}

/** In lower case, unlike at the other endpoints. */
function badUrl(): OAuthError {
  return new OAuthError('invalid_request', 'bad url');
}
