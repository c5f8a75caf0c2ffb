import {
  type DynamicModule,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  StandardSchemaValidationPipe,
} from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { cyberArkIdentity, IdentityM2MModule } from 'nestjs-identity-m2m';
import { BatchController } from './batch/batch.controller.js';
import { BATCH_LIMITS, batchLimits } from './batch/batch-limits.js';
import { BatchLines } from './batch/batch-lines.js';
import { RunningBatches } from './batch/batch-run.js';
import { UserDirectory } from './directory/user-directory.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import { ProblemFilter } from './problem.js';
import type { Settings } from './settings.js';
import { SHUTDOWN_TIMEOUT_MS, ShutdownDeadline } from './shutdown-deadline.js';
import { StatusController } from './status.controller.js';
import { RequestLog } from './users/request-log.js';
import { UserCreation } from './users/user-creation.js';
import { MACHINES, UserProvisioningService } from './users/user-provisioning.service.js';
import { UsersController } from './users/users.controller.js';

/** The service: a client of the tenant's API on one side, an API for named machines on the other. */
@Module({})
export class AppModule implements NestModule {
  static with(settings: Settings): DynamicModule {
    const { TENANT_URL: tenantUrl, TENANT_CLIENT_ID: clientId, ALLOWED_CLIENTS: clients } = settings;
    return {
      module: AppModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId: settings.TENANT_APPLICATION_ID }),
            clientId,
            clientSecret: settings.TENANT_CLIENT_SECRET,
            scope: settings.TENANT_SCOPE,
            start: 'warm',
            http: { timeout: settings.TENANT_TIMEOUT_MS },
          },
          guard: {
            issuers: [cyberArkIdentity({ tenantUrl, applicationId: settings.API_APPLICATION_ID })],
            audience: settings.API_AUDIENCE,
            clients,
          },
          isGlobal: true,
          globalGuard: true,
        }),
        IdempotencyModule.with(settings),
      ],
      controllers: [StatusController, BatchController, UsersController],
      providers: [
        UserProvisioningService,
        UserDirectory,
        UserCreation,
        BatchLines,
        RunningBatches,
        { provide: BATCH_LIMITS, useValue: batchLimits(settings) },
        // Service users that this service knows by name: itself, and its callers.
        { provide: MACHINES, useValue: [clientId, ...clients] },
        { provide: APP_PIPE, useClass: StandardSchemaValidationPipe },
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: SHUTDOWN_TIMEOUT_MS, useValue: settings.SHUTDOWN_TIMEOUT_MS },
        ShutdownDeadline,
      ],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestLog).forRoutes(BatchController, UsersController);
  }
}
