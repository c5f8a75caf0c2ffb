import { Controller, Get, Req } from '@nestjs/common';
import { UserDirectory } from '../directory/user-directory.js';
import type { User } from '../directory/user.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { pagingOf } from './admin-api.js';

/** The users of the tenant, with what the REST API does not tell: who was invited, and what was set. */
@Controller('users')
export class UsersController {
  constructor(private readonly directory: UserDirectory) {}

  @Get()
  list(@Req() request: TenantRequest) {
    const { offset, limit } = pagingOf(request);
    const page = [...this.directory.all()].slice(offset, offset + limit);
    return { total: this.directory.size, users: page.map(shown) };
  }
}

function shown({ passwordDigest, createdAt, modifiedAt, passwordChangedAt, ...user }: User) {
  return {
    ...user,
    hasKnownPassword: passwordDigest !== undefined,
    createdAt: new Date(createdAt),
    modifiedAt: new Date(modifiedAt),
    passwordChangedAt: new Date(passwordChangedAt),
  };
}
