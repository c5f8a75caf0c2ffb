import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, IdentityM2MModule } from 'nestjs-identity-m2m';
import { EventHandling } from './event-handling.js';
import { eventsController } from './events.controller.js';
import { ProvisioningService } from './provisioning-service.js';
import type { Settings } from './settings.js';

/**
 * The daemon: takes messages from named machines on one side, a client of the user-provisioning service on the other.
 */
@Module({})
export class DaemonModule {
  static with(settings: Settings): DynamicModule {
    const { TENANT_URL: tenantUrl } = settings;
    return {
      module: DaemonModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId: settings.SERVICE_APPLICATION_ID }),
            clientId: settings.CLIENT_ID,
            clientSecret: settings.CLIENT_SECRET,
            scope: settings.SERVICE_SCOPE,
            allowedOrigins: [settings.SERVICE_URL],
            start: 'warm',
            http: { baseURL: settings.SERVICE_URL, timeout: settings.SERVICE_TIMEOUT_MS },
          },
          guard: {
            issuers: [cyberArkIdentity({ tenantUrl, applicationId: settings.API_APPLICATION_ID })],
            audience: settings.API_AUDIENCE,
            clients: settings.ALLOWED_CLIENTS,
          },
        }),
      ],
      controllers: [eventsController(settings.CHANNEL)],
      providers: [EventHandling, ProvisioningService],
    };
  }
}
