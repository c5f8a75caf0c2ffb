import { TokenProvider } from 'nestjs-identity-m2m';
import { EXIT } from '../exit-code.js';
import { connectedForOneCall } from '../service/connect.js';
import { errorOfFailure } from '../service/failed-call.js';
import { ServiceRefusalError } from '../service/service-errors.js';
import { UserService } from '../service/user-service.js';
import { readSettings } from '../settings/settings.js';
import type { Surroundings } from '../surroundings.js';
import { show } from './show.js';
import type { OutputOptions } from './user-commands.js';

/** Shows as whom this program calls, by which token, and whether the service lets it in. The token itself is not shown. */
export async function whoAmI(options: OutputOptions, surroundings: Surroundings): Promise<number> {
  const settings = readSettings(surroundings.environment, options);
  const { clientId, applicationId, tenantUrl, serviceUrl } = settings;
  return connectedForOneCall(settings, surroundings, async (app) => {
    const tokens = app.get(TokenProvider);
    const token = await tokens.getToken().catch((error: unknown) => {
      throw errorOfFailure(error);
    });
    await letIn(app.get(UserService), clientId);
    const until = tokens.status().expiresAt?.toISOString();
    await show(
      {
        client: clientId,
        tenant: tenantUrl,
        application: applicationId,
        token: token.fingerprint,
        scope: token.scope,
        until,
        service: serviceUrl,
        letIn: true,
      },
      options,
      surroundings,
    );
    return EXIT.done;
  });
}

/** Asks the service for this client itself: whether it is found does not matter, only whether the question is allowed. */
async function letIn(users: UserService, clientId: string): Promise<void> {
  try {
    await users.get(clientId);
  } catch (error) {
    if (!(error instanceof ServiceRefusalError)) throw error;
  }
}
