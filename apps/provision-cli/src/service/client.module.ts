import { type DynamicModule, type INestApplicationContext, type LoggerService, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { cyberArkIdentity, fromFile, type ClientOptions, IdentityM2MModule } from 'nestjs-identity-m2m';
import { SETTINGS, type Settings } from '../settings.js';
import { BatchEndpoint } from './batch-endpoint.js';
import { UserService } from './user-service.js';

/** This program as a client of the service. The client's token is on calls to the service and on no others. */
@Module({})
class ClientModule {
  static with(settings: Settings): DynamicModule {
    return {
      module: ClientModule,
      imports: [IdentityM2MModule.forRoot({ client: clientOf(settings) })],
      providers: [UserService, BatchEndpoint, { provide: SETTINGS, useValue: settings }],
    };
  }
}

function clientOf(settings: Settings): ClientOptions {
  const { serviceUrl, tenantUrl, applicationId, clientId, clientSecret, scope, timeoutMs } = settings;
  return {
    identityProvider: cyberArkIdentity({ tenantUrl, applicationId }),
    clientId,
    clientSecret: 'file' in clientSecret ? fromFile(clientSecret.file) : clientSecret.text,
    scope,
    allowedOrigins: [serviceUrl],
    acquireTimeoutMs: 15_000,
    http: { baseURL: serviceUrl, timeout: timeoutMs },
  };
}

/**
 * Runs an action in a Nest application without a server, and closes the application after it.
 *
 * @param warn Gets the warnings of the library. Left out for a single call, whose error has the same message.
 */
export async function connected<Result>(
  settings: Settings,
  action: (app: INestApplicationContext) => Promise<Result>,
  warn: (text: string) => void = () => {},
): Promise<Result> {
  const app = await NestFactory.createApplicationContext(ClientModule.with(settings), {
    logger: new WarningsOnly(warn),
    abortOnError: false,
  });
  try {
    return await action(app);
  } finally {
    await app.close();
  }
}

class WarningsOnly implements LoggerService {
  constructor(private readonly write: (text: string) => void) {}

  log(): void {}

  warn(message: unknown): void {
    this.write(String(message));
  }

  error(message: unknown): void {
    this.write(String(message));
  }
}
