import { HttpService } from '@nestjs/axios';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  type Clock,
  IdentityM2MModule,
  type IdentityM2MOptions,
  M2M_CLOCK,
  type OutboundEvent,
  TokenProvider,
  tokenProviderToken,
} from 'nestjs-identity-m2m';
import { systemClock } from '../../libs/identity-m2m/src/foundation/clock.js';

/** A Nest application with nothing in it but clients. */
export interface TestApplication {
  readonly module: TestingModule;
  /** Of the option `client`. */
  readonly http: HttpService;
  readonly provider: TokenProvider;
  /** What the providers of all clients have told, in order; those of tenants aside. */
  readonly events: OutboundEvent[];
  readonly providerOf: (client: string) => TokenProvider;
}

export async function startApplication(
  options: IdentityM2MOptions,
  clock: Clock = systemClock,
  imports: Parameters<typeof Test.createTestingModule>[0]['imports'] = [],
): Promise<TestApplication> {
  const module = await Test.createTestingModule({ imports: [IdentityM2MModule.forRoot(options), ...imports] })
    .overrideProvider(M2M_CLOCK)
    .useValue(clock)
    .compile();
  module.useLogger(false);
  const events: OutboundEvent[] = [];
  const providerOf = (client: string) => module.get<TokenProvider>(tokenProviderToken(client), { strict: false });
  const names = Object.entries(options.clients ?? {}).flatMap(([name, client]) => ('perTenant' in client ? [] : name));
  const providers = [...(options.client ? [module.get(TokenProvider)] : []), ...names.map(providerOf)];
  for (const provider of providers) provider.events.subscribe((event) => events.push(event));
  await module.init();
  return { module, http: module.get(HttpService), provider: module.get(TokenProvider), events, providerOf };
}
