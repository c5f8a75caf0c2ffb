// Compiled to a folder in which the test puts a second copy of the package.
import { Controller, Get } from '@nestjs/common';
import { Caller, type MachineCaller, Public, RequireScopes } from 'nestjs-identity-m2m';

@Controller('copied')
export class Copied {
  @Get()
  @RequireScopes('things.read')
  list(@Caller() caller: MachineCaller | undefined) {
    return { for: caller?.clientId };
  }

  @Get('health')
  @Public()
  health() {
    return 'ok';
  }
}

export { RequireScopes };
