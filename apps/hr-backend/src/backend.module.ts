import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, IdentityM2MModule, TokenProvider } from 'nestjs-identity-m2m';
import { Courier } from './courier.js';
import { DAEMON, daemonClient } from './daemon-client.js';
import { Outbox } from './outbox.js';
import { SETTINGS, type Settings } from './settings.js';

/** The backend: a client of the provisioning daemon, with events that wait in an outbox. */
@Module({})
export class BackendModule {
  static with(settings: Settings): DynamicModule {
    const { tenantUrl, client, daemon, outboxFolder, pollMs } = settings;
    return {
      module: BackendModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId: daemon.applicationId }),
            clientId: client.id,
            clientSecret: client.secret,
            scope: daemon.scope,
            start: 'warm',
          },
        }),
      ],
      providers: [
        { provide: SETTINGS, useValue: settings },
        { provide: Outbox, useValue: new Outbox(outboxFolder, pollMs) },
        {
          provide: DAEMON,
          inject: [TokenProvider],
          useFactory: (tokens: TokenProvider) => daemonClient(daemon, tokens),
        },
        Courier,
      ],
    };
  }
}
