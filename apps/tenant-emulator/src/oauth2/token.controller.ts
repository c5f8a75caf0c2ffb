import { Controller, Header, HttpCode, Param, Post, Req, UseFilters } from '@nestjs/common';
import { Applications, PLATFORM_APPLICATION_ID } from '../config/application.js';
import { Permissions } from '../directory/service-users.js';
import { SwitchBoard } from '../faults/switch-board.js';
import type { TenantRequest } from '../http/tenant-request.js';
import { fingerprintOf } from '../tokens/issued-tokens.js';
import { ClientAuthenticator } from './client-authenticator.js';
import { OAuthError, OAuthErrorFilter } from './oauth-error.js';
import { requestParametersOf } from './request-parameters.js';
import { TokenIssuer } from './token-issuer.js';

/** The response to a successful token request. */
export interface TokenResponse {
  readonly access_token: string;
  readonly token_type: 'Bearer';
  /** Seconds: a number, as the tenant sends it, unless a switch changes that. */
  readonly expires_in?: number | string;
  readonly scope: string;
}

/** The token endpoints: one for each application, and one for platform tokens. Client credentials grant only. */
@Controller('OAuth2')
@UseFilters(OAuthErrorFilter)
export class TokenController {
  constructor(
    private readonly applications: Applications,
    private readonly permissions: Permissions,
    private readonly clients: ClientAuthenticator,
    private readonly issuer: TokenIssuer,
    private readonly switches: SwitchBoard,
  ) {}

  @Post('Token/:application')
  @HttpCode(200)
  @Header('Cache-Control', 'no-cache, no-store')
  token(@Param('application') application: string, @Req() request: TenantRequest): Promise<TokenResponse> {
    return this.#grant(application, request);
  }

  @Post('PlatformToken')
  @HttpCode(200)
  @Header('Cache-Control', 'no-cache, no-store')
  platformToken(@Req() request: TenantRequest): Promise<TokenResponse> {
    return this.#grant(PLATFORM_APPLICATION_ID, request);
  }

  @Post('Token')
  missingApplication(): never {
    throw OAuthError.missingApplication();
  }

  /**
   * Grants a token for client credentials (RFC 6749, section 4.4), with the vendor's error messages.
   *
   * @throws {@link OAuthError} for the first fault. The vendor does not document the order of the checks.
   */
  async #grant(applicationId: string, request: TenantRequest): Promise<TokenResponse> {
    const { acceptJsonTokenRequests: acceptJson, badCredentialsStatus } = this.switches.current;
    const application = this.applications.find(applicationId);
    if (!application) throw OAuthError.unknownApplication(applicationId);

    const parameters = requestParametersOf(request, { acceptJson });
    if (parameters.get('grant_type') !== 'client_credentials') {
      throw new OAuthError('invalid_grant', 'invalid grant type');
    }
    if (!application.allowsClientCredentials) throw new OAuthError('access_denied', 'auth mode not allowed');

    const user = await this.clients.clientOf(application.id, request.headers.authorization, parameters);
    const permission = user && this.permissions.onApplication(application.id, user.uuid);
    if (!user || !permission?.allowedClient) throw OAuthError.badCredentials(badCredentialsStatus);
    if (!permission.run) throw new OAuthError('access_denied', 'user not allowed access to app');

    const scopes = grantedScopes(parameters.get('scope'), application.scopes.keys(), permission.scopes);
    if (!scopes) throw new OAuthError('invalid_scope', 'unknown scope requested');

    const { text, lifetimeSeconds } = await this.issuer.issue(application, user, scopes);
    if (request.record) request.record.tokenFingerprint = fingerprintOf(text);
    request.record?.settle('issued');
    return { access_token: text, token_type: 'Bearer', ...this.#expiresIn(lifetimeSeconds), scope: scopes.join(' ') };
  }

  #expiresIn(seconds: number): { expires_in?: number | string } {
    switch (this.switches.current.expiresIn) {
      case 'number':
        return { expires_in: seconds };
      case 'string':
        return { expires_in: String(seconds) };
      case 'missing':
        return {};
    }
  }
}

/**
 * Returns the scopes of a token, or undefined if a requested scope is unknown or not allowed for this client.
 *
 * The vendor does not document the scopes of a request without the parameter `scope`. Here they are all scopes of the
 * application that the client may get.
 *
 * @param requested The parameter `scope`: names separated by spaces.
 * @param known The scopes of the application.
 * @param allowed The scopes that the client may get. Undefined: all known ones.
 */
export function grantedScopes(
  requested: string | undefined,
  known: Iterable<string>,
  allowed: readonly string[] | undefined,
): string[] | undefined {
  const available = new Set(known);
  if (allowed) for (const scope of available) if (!allowed.includes(scope)) available.delete(scope);
  const names = new Set(requested?.split(/\s+/).filter((name) => name !== ''));
  if (names.size === 0) return [...available];
  return [...names].every((name) => available.has(name)) ? [...names] : undefined;
}
