import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, IdentityM2MModule, TokenProvider } from 'nestjs-identity-m2m';
import { Courier } from './courier.js';
import { DAEMON, daemonClient } from './daemon-client.js';
import { Outbox } from './outbox.js';
import { SETTINGS, type Settings } from './settings.js';

/** The backend: a client of the provisioning daemon, whose events wait in an outbox. */
@Module({})
export class BackendModule {
  static with(settings: Settings): DynamicModule {
    const { TENANT_URL: tenantUrl, DAEMON_APPLICATION_ID: applicationId } = settings;
    return {
      module: BackendModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId }),
            clientId: settings.CLIENT_ID,
            clientSecret: settings.CLIENT_SECRET,
            scope: settings.DAEMON_SCOPE,
            start: 'warm',
          },
        }),
      ],
      providers: [
        { provide: SETTINGS, useValue: settings },
        { provide: Outbox, useValue: new Outbox(settings.OUTBOX_FOLDER, settings.POLL_MS) },
        {
          provide: DAEMON,
          inject: [TokenProvider],
          useFactory: (tokens: TokenProvider) => daemonClient(settings, tokens),
        },
        Courier,
      ],
    };
  }
}
