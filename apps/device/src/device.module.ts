import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, fromFile, IdentityM2MModule, privateKeyJwt } from 'nestjs-identity-m2m';
import type { DeviceKey } from './device-key.js';
import { Neighbour } from './neighbour.js';
import { SETTINGS, type Settings } from './settings.js';
import { StateController } from './state.controller.js';

/** A device: an API for the devices that it knows, and a client of another one. */
@Module({})
export class DeviceModule {
  /** @param key Where the device proves itself by one. */
  static with(settings: Settings, key: DeviceKey | undefined): DynamicModule {
    const { tenantUrl, api, client, neighbour } = settings;
    return {
      module: DeviceModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            // Each device has an application, and so an audience, of its own: a token that one was shown opens no other.
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId: neighbour.applicationId }),
            clientId: client.id,
            scope: neighbour.scope,
            origins: [neighbour.url],
            http: { baseURL: neighbour.url, timeout: 10_000 },
            ...('secret' in client
              ? { clientSecret: client.secret }
              : {
                  clientAuthentication: privateKeyJwt({
                    key: fromFile(client.keyFile),
                    ...(key && { keyId: key.keyId }),
                  }),
                  // A new key is refused until somebody has registered it, which the device finds out within a minute.
                  quarantine: { probeSeconds: 60 },
                }),
          },
          guard: {
            issuers: [cyberArkIdentity({ tenantUrl, applicationId: api.applicationId })],
            audience: api.audience,
            clients: api.clients,
          },
          globalGuard: true,
        }),
      ],
      controllers: [StateController],
      providers: [{ provide: SETTINGS, useValue: settings }, Neighbour],
    };
  }
}
