import { Controller, Get, HttpCode, Param, Post, UseFilters } from '@nestjs/common';
import { Applications } from '../config/application.js';
import { SigningKeys } from '../tokens/signing-keys.js';
import { OAuthError, OAuthErrorFilter } from './oauth-error.js';

/** The key set. Accepts POST, which the vendor's specification requires, and GET, which clients send. */
@Controller('OAuth2/Keys')
@UseFilters(OAuthErrorFilter)
export class KeysController {
  constructor(
    private readonly applications: Applications,
    private readonly keys: SigningKeys,
  ) {}

  @Get(':application')
  get(@Param('application') application: string) {
    if (!this.applications.find(application)) throw OAuthError.unknownApplication(application);
    return this.keys.publicKeySet;
  }

  @Post(':application')
  @HttpCode(200)
  post(@Param('application') application: string) {
    return this.get(application);
  }

  @Get()
  getWithoutApplication(): never {
    throw OAuthError.missingApplication();
  }

  @Post()
  postWithoutApplication(): never {
    throw OAuthError.missingApplication();
  }
}
