import { Controller, Get } from '@nestjs/common';
import { Caller, type MachineCaller, Public, RequireScopes } from 'nestjs-identity-m2m';
import { ReportsService } from './reports.service.js';

@Controller()
export class ReportsController {
  constructor(private readonly reports: ReportsService) {}

  @Get('reports/total')
  @RequireScopes('reports.read')
  async total(@Caller() caller: MachineCaller) {
    return { total: await this.reports.total(), for: caller.clientId };
  }

  @Get('health')
  @Public()
  health() {
    return 'ok';
  }
}
