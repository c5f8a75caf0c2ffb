import { Controller, Get, HttpCode, Patch, Post } from '@nestjs/common';
import { SwitchBoard } from '../faults/switch-board.js';
import { type SwitchesPatch, switchesPatch, type TenantSwitches } from '../faults/switches.js';
import { JsonBody } from './json-body.decorator.js';

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
