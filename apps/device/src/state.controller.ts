import { Controller, Get, Inject, Logger } from '@nestjs/common';
import { Caller, type MachineCaller, RequireScopes } from 'nestjs-identity-m2m';
import { SETTINGS, type Settings } from './settings.js';

export interface DeviceState {
  readonly name: string;
  readonly upSince: string;
}

/** The API for other devices. */
@Controller('state')
export class StateController {
  readonly #logger = new Logger('Device');
  readonly #upSince = new Date().toISOString();

  constructor(@Inject(SETTINGS) private readonly settings: Settings) {}

  @Get()
  @RequireScopes('state.read')
  state(@Caller() caller: MachineCaller): DeviceState {
    this.#logger.log(`GET /state client=${caller.clientId} token=${caller.tokenFingerprint}`);
    return { name: this.settings.NAME, upSince: this.#upSince };
  }
}
