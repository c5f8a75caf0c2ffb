import { Controller, HttpCode, Post } from '@nestjs/common';
import { SwitchBoard } from '../faults/switch-board.js';
import { type TimedOutage, timedOutage } from '../faults/timed-outage.js';
import { JsonBody } from './json-body.decorator.js';

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
