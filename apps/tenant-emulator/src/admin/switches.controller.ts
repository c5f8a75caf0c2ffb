import { Controller, Get, HttpCode, Patch, Post } from '@nestjs/common';
import {
  type SwitchesPatch,
  switchesPatch,
  type TenantSwitches,
  type TimedOutage,
  timedOutage,
} from '../config/switches.js';
import { SwitchBoard } from '../faults/switch-board.js';
import { JsonBody } from './admin-api.js';

/** How the tenant behaves. */
@Controller('switches')
export class SwitchesController {
  constructor(private readonly switches: SwitchBoard) {}

  @Get()
  get(): TenantSwitches {
    return this.switches.current;
  }

  @Patch()
  change(@JsonBody(switchesPatch) patch: SwitchesPatch): TenantSwitches {
    return this.switches.change(patch);
  }

  @Post('reset')
  @HttpCode(200)
  reset(): TenantSwitches {
    return this.switches.reset();
  }
}

/** Faults that end by themselves. */
@Controller('faults')
export class FaultsController {
  constructor(private readonly switches: SwitchBoard) {}

  @Post('outage')
  @HttpCode(200)
  outage(@JsonBody(timedOutage) outage: TimedOutage) {
    const { endsAt } = this.switches.startOutage(outage);
    return { part: outage.part, outage: outage.outage, endsAt };
  }
}
