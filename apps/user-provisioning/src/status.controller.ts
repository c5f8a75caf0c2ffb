import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public, TokenProvider } from 'nestjs-identity-m2m';

@ApiTags('status')
@Controller('status')
export class StatusController {
  constructor(private readonly tokens: TokenProvider) {}

  /** For people and for probes. Public: it calls no other service and reveals no secret. */
  @Get()
  @Public()
  @ApiOperation({ summary: "Shows the state of this service's own access token, by its fingerprint" })
  status() {
    const { lastError, ...token } = this.tokens.status();
    return { token: { ...token, ...(lastError && { lastError: lastError.code }) } };
  }
}
