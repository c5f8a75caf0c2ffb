import type { Agent } from 'node:http';
import type { ClientAuthentication } from '../credentials/client-authentication.js';
import { clientSecretAuthentication } from '../credentials/client-secret-authentication.js';
import type { QuarantinePolicy } from '../credentials/credential-quarantine.js';
import type { DpopAlgorithm } from '../credentials/dpop-prover.js';
import { noClientAuthentication } from '../credentials/no-client-authentication.js';
import { isSecretInput, toSecretSource } from '../credentials/secret-source.js';
import { clientCredentials, type TokenGrant } from '../credentials/token-grant.js';
import type { CertificateAuthorities } from '../foundation/certificate-authorities.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
import type { StartMode } from '../foundation/start-mode.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import { bindingRuleFault } from '../token/origin-binding.js';
import type { RefreshPolicy } from '../token/refresh-policy.js';
import type { TokenRequestFormat } from '../token/token-endpoint.js';
import { AUTHORIZATION_HEADER, TokenHeader } from '../token/token-header.js';
import type { TokenParameters } from '../token/token-parameters.js';
import { DEFAULT_TOKEN_REJECTION, type TokenRejection } from '../token/token-rejection.js';
import type { TokenResponseDialect } from '../token/token-response.js';
import type { ClientOptions } from './client-options.js';
import { isAuthentication } from './client-schema.js';
import { httpAllowance } from './http-allowance.js';
import { parseUrl } from '../foundation/parse-url.js';

/** A client's options, checked and with every default filled in. */
export interface ClientConfiguration {
  readonly name: string;
  readonly identityProvider: IdentityProvider;
  readonly clientId: string;
  readonly authentication: ClientAuthentication;
  readonly grant: TokenGrant;
  readonly dpop: DpopAlgorithm | undefined;
  /** Where HTTP calls carry the token. */
  readonly tokenHeader: TokenHeader;
  readonly agent: Agent | undefined;
  readonly ca: CertificateAuthorities | undefined;
  readonly tokenRequestFormat: TokenRequestFormat;
  /** Go with each token request, by their names in lower case. */
  readonly tokenRequestHeaders: Readonly<Record<string, string>>;
  /** What is peculiar to the token endpoint's answers. */
  readonly dialect: TokenResponseDialect;
  readonly parameters: TokenParameters;
  /** Rules of the places that the token is bound to. */
  readonly binding: readonly string[];
  /** Where relative URLs lead. */
  readonly baseUrl: string | undefined;
  /** Go with each call to the identity provider's own API. */
  readonly apiHeaders: Readonly<Record<string, string>>;
  readonly start: StartMode;
  readonly startTimeoutMs: number;
  readonly startSpreadMs: number;
  readonly acquireTimeoutMs: number;
  readonly tokenRequestTimeoutMs: number;
  readonly refreshPolicy: RefreshPolicy;
  readonly keepWarm: boolean;
  readonly quarantinePolicy: QuarantinePolicy;
  readonly maxTokens: number;
  readonly maxReplayBytes: number;
  readonly isTokenRejected: TokenRejection;
  readonly revokeOnShutdown: boolean;
  readonly http: HttpAllowance;
  readonly unsafeExpiredTokenGraceMs: number;
}

/** @param options Free of faults. */
export function clientConfiguration(name: string, options: ClientOptions, production: boolean): ClientConfiguration {
  const provider = options.identityProvider;
  const { scope, audience, resource, parameters, refresh, quarantine, dpop } = options;
  return {
    name,
    identityProvider: provider,
    clientId: options.clientId,
    authentication: authenticationOf(options),
    grant: options.grant ?? clientCredentials,
    dpop: typeof dpop === 'object' ? dpop.algorithm : dpop ? 'ES256' : undefined,
    tokenHeader: new TokenHeader(options.tokenHeader?.name ?? AUTHORIZATION_HEADER.name, options.tokenHeader?.scheme),
    agent: options.agent,
    ca: options.ca,
    tokenRequestFormat: options.tokenRequestFormat ?? 'form',
    tokenRequestHeaders: inLowerCase({ ...provider.tokenRequestHeaders, ...options.tokenRequestHeaders }),
    dialect: {
      readers: [options.readTokenResponse, provider.readTokenResponse].filter((reader) => reader !== undefined),
      credentialErrors: provider.credentialErrors ?? [],
    },
    parameters: { scope, audience, resource, parameters },
    binding: bindingOf(options),
    baseUrl: options.http?.baseURL ?? provider.apiBaseUrl,
    apiHeaders: options.http?.baseURL === undefined ? (provider.apiHeaders ?? {}) : {},
    start: options.start ?? 'lazy',
    startTimeoutMs: options.startTimeoutMs ?? 30_000,
    startSpreadMs: options.startSpreadMs ?? 0,
    acquireTimeoutMs: options.acquireTimeoutMs ?? 5000,
    tokenRequestTimeoutMs: options.tokenRequestTimeoutMs ?? 10_000,
    refreshPolicy: {
      skewMs: (refresh?.skewSeconds ?? 30) * 1000,
      outageBudgetMs: (refresh?.outageBudgetSeconds ?? 300) * 1000,
    },
    keepWarm: options.keepWarm ?? false,
    quarantinePolicy: {
      maxRefusals: quarantine?.maxRefusals ?? 5,
      probeIntervalMs: quarantine?.probeSeconds === 0 ? Infinity : (quarantine?.probeSeconds ?? 3600) * 1000,
    },
    maxTokens: options.maxTokens ?? 100,
    maxReplayBytes: options.maxReplayBytes ?? 1_048_576,
    isTokenRejected: options.isTokenRejected ?? DEFAULT_TOKEN_REJECTION,
    revokeOnShutdown: options.revokeOnShutdown ?? false,
    http: httpAllowance(options.unsafeAllowHttp, production),
    unsafeExpiredTokenGraceMs: (options.unsafeExpiredTokenGraceSeconds ?? 0) * 1000,
  };
}

/** By names in lower case; of several spellings of a name the last counts. */
function inLowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Rules of the places that the token is bound to: the identity provider's own API, and what the options add. */
export function bindingOf({ identityProvider: { apiBaseUrl }, origins = [] }: ClientOptions): string[] {
  const ownApi = apiBaseUrl === undefined ? undefined : parseUrl(apiBaseUrl);
  return [...(ownApi ? [ownApi.origin] : []), ...origins.filter((rule) => bindingRuleFault(rule) === undefined)];
}

/** How the client proves itself. */
export function authenticationOf({
  clientAuthentication,
  clientSecret,
  identityProvider,
}: ClientOptions): ClientAuthentication {
  if (isAuthentication(clientAuthentication)) return clientAuthentication;
  if (clientAuthentication === 'none') return noClientAuthentication();
  const { current, next } = isSecretInput(clientSecret) ? { current: clientSecret } : (clientSecret ?? { current: '' });
  return clientSecretAuthentication(
    clientAuthentication ?? identityProvider.clientSecretMethod,
    toSecretSource(current),
    next === undefined ? undefined : toSecretSource(next),
  );
}
