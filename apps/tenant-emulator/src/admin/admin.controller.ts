import { Controller, Get, HttpCode, NotFoundException, Param, Patch, Post, Put, Req } from '@nestjs/common';
import { z } from 'zod';
import { type PublicKeySet, publicKeySet } from '../config/service-user.js';
import {
  type SwitchesPatch,
  switchesPatch,
  type TenantSwitches,
  type TimedOutage,
  timedOutage,
} from '../config/switches.js';
import type { User } from '../directory/user.js';
import { UserDirectory } from '../directory/user-directory.js';
import { SwitchBoard } from '../faults/switch-board.js';
import { Statistics, type TenantStatistics } from '../http/statistics.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { ClientKeys } from '../oauth2/client-assertions.js';
import { IssuedTokens, type Session } from '../tokens/issued-tokens.js';
import { SigningKeys } from '../tokens/signing-keys.js';
import { JsonBody, pagingOf } from './admin-request.js';

const rotation = z.strictObject({ dropOld: z.boolean().default(false) });
const revocation = z.strictObject({ client: z.string().min(1).optional() });

/** The endpoints of the admin API. */
@Controller()
export class AdminController {
  constructor(
    private readonly switches: SwitchBoard,
    private readonly signingKeys: SigningKeys,
    private readonly tokens: IssuedTokens,
    private readonly statistics: Statistics,
    private readonly users: UserDirectory,
    private readonly clientKeys: ClientKeys,
  ) {}

  @Get('switches')
  getSwitches(): TenantSwitches {
    return this.switches.current;
  }

  @Patch('switches')
  changeSwitches(@JsonBody(switchesPatch) patch: SwitchesPatch): TenantSwitches {
    return this.switches.change(patch);
  }

  @Post('switches/reset')
  @HttpCode(200)
  resetSwitches(): TenantSwitches {
    return this.switches.reset();
  }

  /** Starts an outage that ends after a time. */
  @Post('faults/outage')
  @HttpCode(200)
  startOutage(@JsonBody(timedOutage) outage: TimedOutage) {
    const { endsAt } = this.switches.startOutage(outage);
    return { part: outage.part, outage: outage.outage, endsAt };
  }

  @Post('keys/rotate')
  @HttpCode(200)
  async rotateKeys(@JsonBody(rotation) options: z.output<typeof rotation>) {
    const { kid } = await this.signingKeys.rotate(options);
    return { kid, published: this.signingKeys.publicKeySet.keys.map((key) => key.kid) };
  }

  /** Lists the active tokens with their clients, oldest first. Shows fingerprints only, no tokens. */
  @Get('sessions')
  listSessions(@Req() request: TenantRequest) {
    const { offset, limit } = pagingOf(request);
    const sessions = this.tokens.sessions();
    return { total: sessions.length, sessions: sessions.slice(offset, offset + limit).map(shownSession) };
  }

  @Post('sessions/revoke')
  @HttpCode(200)
  revokeSessions(@JsonBody(revocation) options: z.output<typeof revocation>) {
    return { revoked: this.tokens.revokeSessions(options) };
  }

  @Get('statistics')
  getStatistics(): TenantStatistics {
    return this.statistics.snapshot();
  }

  @Post('statistics/reset')
  @HttpCode(200)
  resetStatistics(): TenantStatistics {
    this.statistics.reset();
    return this.statistics.snapshot();
  }

  /** Lists the users, with fields that the REST API does not return, such as the invitations. */
  @Get('users')
  listUsers(@Req() request: TenantRequest) {
    const { offset, limit } = pagingOf(request);
    const page = [...this.users.all()].slice(offset, offset + limit);
    return { total: this.users.size, users: page.map(shownUser) };
  }

  /** Not a feature of CyberArk Identity: registers the public keys of a client. */
  @Put('clients/:loginName/jwks')
  registerKeys(@Param('loginName') loginName: string, @JsonBody(publicKeySet) keySet: PublicKeySet) {
    const user = this.users.byName(loginName);
    if (!user?.oauthClient) throw new NotFoundException({ error: 'Unknown client.' });
    this.clientKeys.register(user.uuid, keySet);
    return { client: user.name, keys: keySet.keys.length };
  }
}

function shownSession({ fingerprint, token }: Session) {
  return {
    client: token.loginName,
    application: token.applicationId,
    token: fingerprint,
    scope: token.scopes.join(' '),
    issuedAt: new Date(token.issuedAt * 1000),
    expiresAt: new Date(token.expiresAt * 1000),
  };
}

function shownUser({ passwordDigest, createdAt, modifiedAt, passwordChangedAt, ...user }: User) {
  return {
    ...user,
    hasKnownPassword: passwordDigest !== undefined,
    createdAt: new Date(createdAt),
    modifiedAt: new Date(modifiedAt),
    passwordChangedAt: new Date(passwordChangedAt),
  };
}
