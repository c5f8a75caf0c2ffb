import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { BatchController } from '../batch/batch.controller.js';
import { BATCH_LIMITS, type BatchLimits } from '../batch/batch-limits.js';
import { BatchLines } from '../batch/batch-lines.js';
import { RunningBatches } from '../batch/running-batches.js';
import { UserDirectory } from '../directory/user-directory.js';
import { RequestLog } from './request-log.js';
import { UserCreation } from './user-creation.js';
import { MACHINES, UserProvisioningService } from './user-provisioning.service.js';
import { UsersController } from './users.controller.js';

/** Users, one by one and by the batch. */
@Module({})
export class UsersModule implements NestModule {
  /** @param machines Names of the service users that this service knows: itself, and its callers. */
  static with(limits: BatchLimits, machines: readonly string[]): DynamicModule {
    return {
      module: UsersModule,
      controllers: [BatchController, UsersController],
      providers: [
        UserProvisioningService,
        UserDirectory,
        UserCreation,
        BatchLines,
        RunningBatches,
        { provide: BATCH_LIMITS, useValue: limits },
        { provide: MACHINES, useValue: machines },
      ],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestLog).forRoutes(BatchController, UsersController);
  }
}
