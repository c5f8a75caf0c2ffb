import { TokenProvider } from 'nestjs-identity-m2m';
import type { CommandContext } from '../context.js';
import { ServiceRefusalError } from '../errors.js';
import { errorOfFailure } from '../service/failed-call.js';
import { UserService } from '../service/user-service.js';
import { readSettings } from '../settings.js';
import { type OutputOptions, runOneCall } from './one-call.js';

/** Shows the client, its token by fingerprint, and that the service accepts it. The token itself is not shown. */
export async function whoAmI(options: OutputOptions, context: CommandContext): Promise<number> {
  const settings = readSettings(context.environment, options);
  const { clientId, applicationId, tenantUrl, serviceUrl } = settings;
  return runOneCall(settings, options, context, async (app) => {
    const tokens = app.get(TokenProvider);
    const token = await tokens.getToken().catch((error: unknown) => {
      throw errorOfFailure(error);
    });
    await requireAccess(app.get(UserService), clientId);
    return {
      client: clientId,
      tenant: tenantUrl,
      application: applicationId,
      token: token.fingerprint,
      scope: token.scope,
      until: tokens.status().expiresAt?.toISOString(),
      service: serviceUrl,
      accepted: true,
    };
  });
}

/** Asks the service for the client's own user. Access counts, not whether there is such a user. */
async function requireAccess(users: UserService, clientId: string): Promise<void> {
  try {
    await users.get(clientId);
  } catch (error) {
    if (!(error instanceof ServiceRefusalError)) throw error;
  }
}
