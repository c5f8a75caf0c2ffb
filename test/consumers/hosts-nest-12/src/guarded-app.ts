import { Controller, type DynamicModule, Get } from '@nestjs/common';
import {
  Caller,
  genericOAuth2,
  IdentityM2MModule,
  type MachineCaller,
  Public,
  RequireScopes,
} from 'nestjs-identity-m2m';
import type { TestIssuer } from 'nestjs-identity-m2m/testing';

export const AUDIENCE = 'things-api';

@Controller()
export class Things {
  @Get('things')
  @RequireScopes('things.read')
  list(@Caller() caller: MachineCaller) {
    return { for: caller.clientId };
  }

  @Get('health')
  @Public()
  health() {
    return 'ok';
  }
}

/** A module with {@link Things} and a guard before every handler. */
export function guardedModule(issuer: TestIssuer): DynamicModule {
  return {
    module: class GuardedModule {},
    imports: [
      IdentityM2MModule.forRoot({
        guard: { issuers: [genericOAuth2({ issuer: issuer.url })], audience: AUDIENCE },
        globalGuard: true,
      }),
    ],
    controllers: [Things],
  };
}

export async function bearer(issuer: TestIssuer, scopes: readonly string[] = ['things.read']): Promise<string> {
  return `Bearer ${await issuer.tokenFor({ clientId: 'billing', audience: AUDIENCE, scopes })}`;
}
