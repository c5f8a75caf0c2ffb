import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { type TenantState, TenantStateModule } from '../tenant-state.js';
import { AdminErrorFilter, LocalCallerGuard } from './admin-request.js';
import { AdminController } from './admin.controller.js';

/** The admin API, on its own port. */
@Module({
  controllers: [AdminController],
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
