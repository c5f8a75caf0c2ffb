import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { DirectoryController } from './directory/directory.controller.js';
import { UserAdministration } from './directory/user-administration.js';
import { FaultMiddleware } from './faults/fault.middleware.js';
import { HtmlErrorFilter } from './http/response.js';
import { ClientAssertions } from './oauth2/client-assertions.js';
import { ClaimedClientMiddleware, ClientAuthenticator } from './oauth2/client-authenticator.js';
import { DiscoveryController } from './oauth2/discovery.controller.js';
import { IntrospectionController } from './oauth2/introspection.controller.js';
import { KeysController } from './oauth2/keys.controller.js';
import { RevocationController } from './oauth2/revocation.controller.js';
import { TokenController } from './oauth2/token.controller.js';
import { TokenIssuer } from './oauth2/token-issuer.js';
import { UserInfoController } from './oauth2/user-info.controller.js';
import { RedrockController } from './redrock/redrock.controller.js';
import { SecurityController } from './security/security.controller.js';
import { type TenantState, TenantStateModule } from './tenant-state.js';

const OAUTH2_CONTROLLERS = [
  TokenController,
  KeysController,
  DiscoveryController,
  IntrospectionController,
  RevocationController,
  UserInfoController,
];
const REST_CONTROLLERS = [DirectoryController, SecurityController, RedrockController];

/** The tenant as its clients see it: the OAuth2 endpoints and the REST API. */
@Module({
  controllers: [...OAUTH2_CONTROLLERS, ...REST_CONTROLLERS],
  providers: [
    ClientAuthenticator,
    ClientAssertions,
    TokenIssuer,
    UserAdministration,
    { provide: APP_FILTER, useClass: HtmlErrorFilter },
  ],
})
export class TenantModule implements NestModule {
  static of(state: TenantState): DynamicModule {
    return { module: TenantModule, imports: [TenantStateModule.holding(state)] };
  }

  configure(consumer: MiddlewareConsumer): void {
    // The client's name first: a request lost in an outage is counted for its client too.
    consumer.apply(ClaimedClientMiddleware, FaultMiddleware).forRoutes('{*path}');
  }
}
