import { Test } from '@nestjs/testing';
import {
  genericOAuth2,
  type ClientOptions,
  IdentityM2MModule,
  M2M_CLOCK,
  type OutboundEvent,
  TokenProvider,
} from 'nestjs-identity-m2m';
import { TestTokenServer } from './token-server.js';
import { ManualClock } from 'nestjs-identity-m2m/testing';

export type MachineIdentity = Awaited<ReturnType<typeof machineIdentity>>;

/** A client of the module with a real token endpoint, on a clock that the test moves. */
export async function machineIdentity(options: Partial<ClientOptions> = {}) {
  const tokens = await TestTokenServer.start();
  // Real sockets take real time, so the clock waits until the token request under way has ended.
  const clock: ManualClock = new ManualClock(undefined, async () => {
    do await new Promise(setImmediate);
    while (provider.status().refreshing);
  });
  const module = await Test.createTestingModule({
    imports: [
      IdentityM2MModule.forRoot({
        client: {
          identityProvider: genericOAuth2({ tokenEndpoint: tokens.url }),
          clientId: 'test-client',
          clientSecret: 'test-secret',
          ...options,
        },
      }),
    ],
  })
    .overrideProvider(M2M_CLOCK)
    .useValue(clock)
    .compile();
  module.useLogger(false);
  await module.init();
  const provider = module.get(TokenProvider);
  const events: OutboundEvent[] = [];
  provider.events.subscribe((event) => events.push(event));
  return {
    provider,
    tokens,
    clock,
    events,
    /** Makes the token endpoint wait with its next answer until it is told to go on. */
    holdTokens() {
      let now!: () => void;
      const released = new Promise<void>((resolve) => (now = resolve));
      const asked = new Promise<void>((resolve) => {
        tokens.fault = async (...args) => {
          resolve();
          await released;
          tokens.fault = undefined;
          await tokens.server.answer(...args);
        };
      });
      return { asked, now };
    },
    async close() {
      await module.close();
      await tokens.close();
    },
  };
}
