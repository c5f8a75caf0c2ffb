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

/** Authenticates clients. */
@Injectable()
export class ClientAuthenticator {
  constructor(
    private readonly directory: UserDirectory,
    private readonly switches: SwitchBoard,
    private readonly assertions: ClientAssertions,
  ) {}

  /**
   * Authenticates a token request, by secret or by assertion. Returns undefined if the proof is invalid.
   *
   * @throws {@link OAuthError} if the request names no client.
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

  /** Returns the service user with these credentials. A locked, disabled or expired user fails like a wrong secret. */
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
 * Records the client named in a request, so that a request lost in an outage is counted for its client too. Records
 * names of OAuth clients only, because any other string may be a secret in the wrong place.
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
