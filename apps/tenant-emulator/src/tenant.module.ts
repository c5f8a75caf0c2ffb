import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { DirectoryModule } from './directory/directory.module.js';
import { FaultMiddleware } from './faults/fault.middleware.js';
import { ClaimedClientMiddleware } from './oauth2/claimed-client.middleware.js';
import { OAuth2Module } from './oauth2/oauth2.module.js';
import { RedrockModule } from './redrock/redrock.module.js';
import { HtmlErrorFilter } from './requests/html-error.filter.js';
import { TenantStateModule } from './tenant-state.module.js';
import type { TenantState } from './tenant-state.js';

/** The tenant as its clients see it. */
@Module({
  imports: [OAuth2Module, DirectoryModule, RedrockModule],
  providers: [{ provide: APP_FILTER, useClass: HtmlErrorFilter }],
})
export class TenantModule implements NestModule {
  static of(state: TenantState): DynamicModule {
    return { module: TenantModule, imports: [TenantStateModule.holding(state)] };
  }

  configure(consumer: MiddlewareConsumer): void {
    // The client's name first: what an outage swallows is counted for the client, too.
    consumer.apply(ClaimedClientMiddleware, FaultMiddleware).forRoutes('{*path}');
  }
}
