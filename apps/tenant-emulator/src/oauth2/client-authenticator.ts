import type { ServerResponse } from 'node:http';
import { Injectable, type NestMiddleware } from '@nestjs/common';
import { UserDirectory } from '../directory/user-directory.js';
import { matchesDigest, type User } from '../directory/user.js';
import { SwitchBoard } from '../faults/switch-board.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { ClientAssertions } from './client-assertions.js';
import { OAuthError } from './oauth-error.js';
import {
  type ClientCredentials,
  clientCredentialsOf,
  type RequestParameters,
  requestParametersOf,
} from './request-parameters.js';

/** Finds out whether a client is who it says. */
@Injectable()
export class ClientAuthenticator {
  constructor(
    private readonly directory: UserDirectory,
    private readonly switches: SwitchBoard,
    private readonly assertions: ClientAssertions,
  ) {}

  /**
   * The client that asks for a token of an application, by whatever it proves itself with; undefined where that fails.
   *
   * @throws {@link OAuthError} where nothing says which client it is.
   */
  async clientOf(
    applicationId: string,
    authorization: string | undefined,
    parameters: RequestParameters,
  ): Promise<User | undefined> {
    const credentials = clientCredentialsOf(authorization, parameters);
    if (!parameters.has('client_assertion')) {
      if (!credentials) throw new OAuthError('invalid_client', 'wrong clientid');
      return this.authenticate(credentials);
    }
    // RFC 6749, section 2.3: one method for each request.
    if (credentials?.clientSecret) return undefined;
    const user = await this.assertions.signer(applicationId, parameters);
    return user && this.#isGood(user) ? user : undefined;
  }

  /** The service user with these credentials. What is locked, disabled or expired fails as a wrong secret does. */
  authenticate({ clientId, clientSecret }: ClientCredentials): User | undefined {
    const user = this.directory.byName(clientId);
    const matches = matchesDigest(clientSecret, user?.passwordDigest);
    return user && matches && this.#isGood(user) ? user : undefined;
  }

  #isGood(user: User): boolean {
    return user.oauthClient && user.state === 'None' && !this.#refuses(user);
  }

  #refuses({ name }: User): boolean {
    const { refuseCredentials } = this.switches.current;
    if (typeof refuseCredentials === 'boolean') return refuseCredentials;
    return refuseCredentials.some((refused) => refused.toLowerCase() === name);
  }
}

/**
 * Notes which client says it is asking, so that requests which an outage swallows are counted for it too. A name that
 * is no OAuth client's is not noted: it may be anything, a secret in the wrong place for one.
 */
@Injectable()
export class ClaimedClientMiddleware implements NestMiddleware<TenantRequest, ServerResponse> {
  constructor(private readonly directory: UserDirectory) {}

  use(request: TenantRequest, _response: ServerResponse, next: () => void): void {
    const parameters = requestParametersOf(request, { acceptJson: true });
    const credentials = clientCredentialsOf(request.headers.authorization, parameters);
    const user = credentials && this.directory.byName(credentials.clientId);
    if (request.record && user?.oauthClient) request.record.client = user.name;
    next();
  }
}
