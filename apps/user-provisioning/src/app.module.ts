import { type DynamicModule, Module, StandardSchemaValidationPipe } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { cyberArkIdentity, IdentityM2MModule } from 'nestjs-identity-m2m';
import { ProblemFilter } from './errors/problem.filter.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import type { Settings } from './settings/settings.js';
import { SHUTDOWN_TIMEOUT_MS, ShutdownDeadline } from './shutdown-deadline.js';
import { StatusController } from './status.controller.js';
import { UsersModule } from './users/users.module.js';

/** The service: a client of the tenant's API on one side, an API for named machines on the other. */
@Module({})
export class AppModule {
  static with({ tenant, api, idempotency, batch, shutdownTimeoutMs }: Settings): DynamicModule {
    return {
      module: AppModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: cyberArkIdentity({ tenantUrl: tenant.url, applicationId: tenant.applicationId }),
            clientId: tenant.clientId,
            clientSecret: tenant.clientSecret,
            scope: tenant.scope,
            start: 'warm',
            http: { timeout: tenant.timeoutMs },
          },
          guard: {
            issuers: [cyberArkIdentity({ tenantUrl: tenant.url, applicationId: api.applicationId })],
            audience: api.audience,
            clients: api.clients,
          },
          isGlobal: true,
          globalGuard: true,
        }),
        IdempotencyModule.with(idempotency, tenant.url),
        UsersModule.with(batch, [tenant.clientId, ...api.clients]),
      ],
      controllers: [StatusController],
      providers: [
        { provide: APP_PIPE, useClass: StandardSchemaValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: SHUTDOWN_TIMEOUT_MS, useValue: shutdownTimeoutMs },
        ShutdownDeadline,
      ],
    };
  }
}
