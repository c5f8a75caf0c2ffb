import type { ApplicationConfiguration } from '../config/application-configuration.js';
import { RestPathPattern } from './rest-path-pattern.js';
import { parseTokenLifetime } from './token-lifetime.js';

/** The built-in application behind platform tokens. */
export const PLATFORM_APPLICATION_ID = '__idaptive_cybr_user_oidc';

/** An OAuth2 application of the tenant. */
export interface Application {
  readonly id: string;
  /** Its tokens are for the tenant's own REST API (OAuth2 Client), not for an API of yours (OAuth2 Server). */
  readonly targetIsUs: boolean;
  /** The `aud` of its tokens; if undefined, that is the client's login name. */
  readonly audience: string | undefined;
  readonly opaqueTokens: boolean;
  readonly tokenLifetimeSeconds: number;
  /** "Client Creds" is ticked among the auth methods. */
  readonly allowsClientCredentials: boolean;
  /** The scopes it knows, and the REST paths that each of them opens. */
  readonly scopes: ReadonlyMap<string, readonly RestPathPattern[]>;
}

export function applicationOf(configuration: ApplicationConfiguration): Application {
  const { id, type, audience, tokenType, tokenLifetime, allowedAuth, knownScopes } = configuration;
  return {
    id,
    targetIsUs: type === 'OAuth2 Client',
    audience,
    opaqueTokens: tokenType === 'Opaque',
    tokenLifetimeSeconds: parseTokenLifetime(tokenLifetime) ?? 0,
    allowsClientCredentials: allowedAuth.includes('ClientCreds'),
    scopes: new Map(
      knownScopes.map(({ scope, allowedRest }) => [scope, allowedRest.map((pattern) => new RestPathPattern(pattern))]),
    ),
  };
}
