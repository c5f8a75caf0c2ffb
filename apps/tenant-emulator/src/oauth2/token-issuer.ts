import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { type JWTPayload, SignJWT } from 'jose';
import { Clock } from '../clock.js';
import { type Application, PLATFORM_APPLICATION_ID } from '../config/application.js';
import { TENANT_CONFIGURATION, type TenantConfiguration } from '../config/tenant-configuration.js';
import type { User } from '../directory/user.js';
import { SwitchBoard } from '../faults/switch-board.js';
import { type IssuedToken, IssuedTokens } from '../tokens/issued-tokens.js';
import { SigningKeys } from '../tokens/signing-keys.js';
import { TenantAddress } from './metadata.js';

/** Issues access tokens. */
@Injectable()
export class TokenIssuer {
  #serial = 0;

  constructor(
    @Inject(TENANT_CONFIGURATION) private readonly configuration: TenantConfiguration,
    private readonly address: TenantAddress,
    private readonly keys: SigningKeys,
    private readonly tokens: IssuedTokens,
    private readonly switches: SwitchBoard,
    private readonly clock: Clock,
  ) {}

  async issue(
    application: Application,
    user: User,
    scopes: readonly string[],
  ): Promise<{ readonly text: string; readonly lifetimeSeconds: number }> {
    const { tokenLifetimeSeconds, opaqueTokens } = this.switches.current;
    const lifetimeSeconds = tokenLifetimeSeconds ?? application.tokenLifetimeSeconds;
    const issuedAt = Math.floor(this.clock.now() / 1000);
    const token: IssuedToken = {
      applicationId: application.id,
      issuer: this.address.issuerOf(application.id),
      audience: application.audience ?? user.name,
      userUuid: user.uuid,
      loginName: user.name,
      scopes,
      issuedAt,
      expiresAt: issuedAt + lifetimeSeconds,
    };
    const opaque = application.opaqueTokens || opaqueTokens;
    return { text: opaque ? this.#opaque(token) : await this.#jwt(token), lifetimeSeconds };
  }

  #opaque(token: IssuedToken): string {
    const text = randomBytes(32).toString('base64url');
    this.tokens.remember(text, token);
    return text;
  }

  /**
   * Signs a JWT with the claims that a real tenant is known to write. Two tokens of one second would be the same JWT,
   * although the first may be revoked. So the second gets an additional claim.
   */
  async #jwt(token: IssuedToken): Promise<string> {
    const claims = { ...accessTokenClaims(token), ...this.#platformClaims(token) };
    const text = await this.#sign(claims);
    if (this.tokens.remember(text, token)) return text;
    const distinct = await this.#sign({ ...claims, emulator_serial: ++this.#serial });
    this.tokens.remember(distinct, token);
    return distinct;
  }

  #platformClaims({ applicationId }: IssuedToken): JWTPayload {
    if (applicationId !== PLATFORM_APPLICATION_ID) return {};
    const { tenantId, platform } = this.configuration;
    return {
      tenant_id: tenantId,
      subdomain: platform?.subdomain ?? tenantId,
      platform_domain: platform?.platformDomain ?? 'cyberark.cloud',
    };
  }

  #sign(claims: JWTPayload): Promise<string> {
    const { kid, privateKey } = this.keys.current;
    return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' }).sign(privateKey);
  }
}

/** Returns the claims of a token, which introspection returns too. */
export function accessTokenClaims(token: IssuedToken) {
  return {
    iss: token.issuer,
    aud: token.audience,
    sub: token.userUuid,
    unique_name: token.loginName,
    scope: token.scopes.join(' '),
    app_id: token.applicationId,
    auth_time: token.issuedAt,
    iat: token.issuedAt,
    exp: token.expiresAt,
  };
}
