import { Controller, Get, HttpCode, Post, Req } from '@nestjs/common';
import { z } from 'zod';
import type { TenantRequest } from '../http/tenant-request.js';
import { IssuedTokens, type Session } from '../tokens/issued-tokens.js';
import { JsonBody, pagingOf } from './admin-api.js';

const revocation = z.strictObject({ client: z.string().min(1).optional() });

/** The sessions behind the tokens. */
@Controller('sessions')
export class SessionsController {
  constructor(private readonly tokens: IssuedTokens) {}

  /** Who holds which token, oldest first. Of the tokens their fingerprints alone. */
  @Get()
  list(@Req() request: TenantRequest) {
    const { offset, limit } = pagingOf(request);
    const sessions = this.tokens.sessions();
    return { total: sessions.length, sessions: sessions.slice(offset, offset + limit).map(shown) };
  }

  @Post('revoke')
  @HttpCode(200)
  revoke(@JsonBody(revocation) options: z.output<typeof revocation>) {
    return { revoked: this.tokens.revokeSessions(options) };
  }
}

function shown({ fingerprint, token }: Session) {
  return {
    client: token.loginName,
    application: token.applicationId,
    token: fingerprint,
    scope: token.scopes.join(' '),
    issuedAt: new Date(token.issuedAt * 1000),
    expiresAt: new Date(token.expiresAt * 1000),
  };
}
