import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import { Statistics, type TenantStatistics } from '../http/statistics.js';

/** What the tenant was asked. */
@Controller('statistics')
export class StatisticsController {
  constructor(private readonly statistics: Statistics) {}

  @Get()
  get(): TenantStatistics {
    return this.statistics.snapshot();
  }

  @Post('reset')
  @HttpCode(200)
  reset(): TenantStatistics {
    this.statistics.reset();
    return this.statistics.snapshot();
  }
}
