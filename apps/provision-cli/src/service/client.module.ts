import { type DynamicModule, Module } from '@nestjs/common';
import { cyberArkIdentity, fromFile, type HttpClientOptions, IdentityM2MModule } from 'nestjs-identity-m2m';
import { SETTINGS, type Settings } from '../settings/settings.js';
import { BatchEndpoint } from './batch-endpoint.js';
import { UserService } from './user-service.js';

/** This program as a client of the service: with an identity of its own, whose token is on its calls and no others. */
@Module({})
export class ClientModule {
  static with(settings: Settings): DynamicModule {
    const shared = {
      module: SettingsModule,
      providers: [{ provide: SETTINGS, useValue: settings }],
      exports: [SETTINGS],
    };
    return {
      module: ClientModule,
      imports: [
        shared,
        IdentityM2MModule.forRootAsync({
          imports: [shared],
          inject: [SETTINGS],
          useFactory: (settings: Settings) => ({ client: clientOf(settings) }),
        }),
      ],
      providers: [UserService, BatchEndpoint],
    };
  }
}

@Module({})
class SettingsModule {}

function clientOf(settings: Settings): HttpClientOptions {
  const { serviceUrl, tenantUrl, applicationId, clientId, clientSecret, scope, timeoutMs } = settings;
  return {
    identityProvider: cyberArkIdentity({ tenantUrl, applicationId }),
    clientId,
    clientSecret: 'file' in clientSecret ? fromFile(clientSecret.file) : clientSecret.text,
    scope,
    origins: [serviceUrl],
    acquireTimeoutMs: 15_000,
    http: { baseURL: serviceUrl, timeout: timeoutMs },
  };
}
