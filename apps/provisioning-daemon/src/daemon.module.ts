import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, IdentityM2MModule } from 'nestjs-identity-m2m';
import { EventHandling } from './event-handling.js';
import { eventsController } from './events.controller.js';
import { ProvisioningService } from './provisioning-service.js';
import type { Settings } from './settings.js';

/** The daemon: messages for named machines on one side, a client of the user-provisioning service on the other. */
@Module({})
export class DaemonModule {
  static with({ tenantUrl, api, client, service, channel }: Settings): DynamicModule {
    return {
      module: DaemonModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId: service.applicationId }),
            clientId: client.id,
            clientSecret: client.secret,
            scope: service.scope,
            origins: [service.url],
            start: 'warm',
            http: { baseURL: service.url, timeout: service.timeoutMs },
          },
          guard: {
            issuers: [cyberArkIdentity({ tenantUrl, applicationId: api.applicationId })],
            audience: api.audience,
            clients: api.clients,
          },
        }),
      ],
      controllers: [eventsController(channel)],
      providers: [EventHandling, ProvisioningService],
    };
  }
}
