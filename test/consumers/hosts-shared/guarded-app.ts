import {
  type CallHandler,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  Get,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
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

/** Notes which functions Nest calls as handlers. */
export class CalledHandlers implements NestInterceptor {
  readonly functions = new Set<unknown>();

  intercept(context: ExecutionContext, next: CallHandler) {
    this.functions.add(context.getHandler());
    return next.handle();
  }
}

/** A module with {@link Things} and a guard before every handler. */
export function guardedModule(issuer: TestIssuer, calls = new CalledHandlers()): DynamicModule {
  return {
    module: class GuardedModule {},
    imports: [
      IdentityM2MModule.forRoot({
        guard: { issuers: [genericOAuth2({ issuer: issuer.url })], audience: AUDIENCE },
        globalGuard: true,
      }),
    ],
    controllers: [Things],
    providers: [{ provide: APP_INTERCEPTOR, useValue: calls }],
  };
}

export async function bearer(issuer: TestIssuer, scopes: readonly string[] = ['things.read']): Promise<string> {
  return `Bearer ${await issuer.tokenFor({ clientId: 'billing', audience: AUDIENCE, scopes })}`;
}
