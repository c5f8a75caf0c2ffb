import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, fromFile, IdentityM2MModule, privateKeyJwt } from 'nestjs-identity-m2m';
import type { DeviceKey } from './device-key.js';
import { Neighbour } from './neighbour.js';
import { SETTINGS, type Settings } from './settings.js';
import { StateController } from './state.controller.js';

/** A device: an API for known devices on one side, a client of another device on the other. */
@Module({})
export class DeviceModule {
  /** @param key The device's key, with a `KEY_FILE` in the settings. */
  static with(settings: Settings, key: DeviceKey | undefined): DynamicModule {
    const { TENANT_URL: tenantUrl, KEY_FILE: keyFile } = settings;
    return {
      module: DeviceModule,
      imports: [
        IdentityM2MModule.forRoot({
          client: {
            // Each device has an application, and so an audience, of its own: a token for one is invalid at any other.
            identityProvider: cyberArkIdentity({ tenantUrl, applicationId: settings.NEIGHBOUR_APPLICATION_ID }),
            clientId: settings.CLIENT_ID,
            scope: settings.NEIGHBOUR_SCOPE,
            allowedOrigins: [settings.NEIGHBOUR_URL],
            http: { baseURL: settings.NEIGHBOUR_URL, timeout: 10_000 },
            ...(keyFile === undefined
              ? { clientSecret: settings.CLIENT_SECRET }
              : {
                  clientAuthentication: privateKeyJwt({ key: fromFile(keyFile), ...(key && { keyId: key.keyId }) }),
                  // The issuer rejects a new key until an operator registers it. The client notices that soon, and not
                  // after an hour.
                  quarantine: { probeSeconds: 60 },
                }),
          },
          guard: {
            issuers: [cyberArkIdentity({ tenantUrl, applicationId: settings.API_APPLICATION_ID })],
            audience: settings.API_AUDIENCE,
            clients: settings.ALLOWED_CLIENTS,
          },
          globalGuard: true,
        }),
      ],
      controllers: [StateController],
      providers: [{ provide: SETTINGS, useValue: settings }, Neighbour],
    };
  }
}
