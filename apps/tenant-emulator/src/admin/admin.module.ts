import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { type TenantState, TenantStateModule } from '../tenant-state.js';
import { AdminErrorFilter, LocalCallerGuard } from './admin-api.js';
import { ClientKeysController, KeyRotationController } from './keys.controller.js';
import { SessionsController } from './sessions.controller.js';
import { StatisticsController } from './statistics.controller.js';
import { FaultsController, SwitchesController } from './switches.controller.js';
import { UsersController } from './users.controller.js';

/** The admin API, which listens on a port of its own. */
@Module({
  controllers: [
    SwitchesController,
    FaultsController,
    KeyRotationController,
    SessionsController,
    StatisticsController,
    UsersController,
    ClientKeysController,
  ],
  providers: [
    { provide: APP_FILTER, useClass: AdminErrorFilter },
    { provide: APP_GUARD, useClass: LocalCallerGuard },
  ],
})
export class AdminModule {
  static of(state: TenantState): DynamicModule {
    return { module: AdminModule, imports: [TenantStateModule.holding(state)] };
  }
}
