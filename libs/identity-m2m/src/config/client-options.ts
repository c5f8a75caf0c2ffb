import type { CreateAxiosDefaults } from 'axios';
import type { Agent } from 'node:http';
import { z } from 'zod';
import { type ClientAuthentication, noClientAuthentication } from '../credentials/client-authentication.js';
import {
  CLIENT_SECRET_METHODS,
  clientSecretAuthentication,
  type ClientSecretMethod,
} from '../credentials/client-secret-authentication.js';
import type { QuarantinePolicy } from '../credentials/credential-quarantine.js';
import { DPOP_ALGORITHMS, type DpopAlgorithm } from '../credentials/dpop-prover.js';
import { isSecretInput, type SecretInput, toSecretSource } from '../credentials/secret-source.js';
import { clientCredentials, type TokenGrant } from '../credentials/signed-assertion.js';
import {
  aFunction,
  anAgent,
  certificateAuthorities,
  cleanText,
  field,
  flag,
  oneOf,
  quantity,
  text,
  textOrTexts,
  texts,
} from '../foundation/option-check.js';
import { definedOnly } from '../foundation/plain-objects.js';
import { START_MODES, type StartMode } from '../foundation/start-mode.js';
import { isScopeName, strayCharacters } from '../foundation/text.js';
import type { CertificateAuthorities } from '../foundation/tls.js';
import { type PlainHttp, allowedPlainHttp, parseUrl } from '../foundation/url.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import { AUTHORIZATION_HEADER, TokenHeader } from '../token/access-token.js';
import { originRuleFault } from '../token/allowed-origins.js';
import type { RefreshPolicy } from '../token/refresh-policy.js';
import type { TokenRequestFormat } from '../token/token-endpoint.js';
import type { TokenParameters } from '../token/token-parameters.js';
import { DEFAULT_TOKEN_REJECTION, type TokenRejection } from '../token/token-rejection.js';
import type { TokenResponseReader } from '../token/token-response-reader.js';
import type { TokenResponseDialect } from '../token/token-response.js';
import { identityProvider } from './identity-provider-faults.js';
import { isHeaderName, isReservedHeader } from './request-headers.js';

/** A client of an identity provider: whose tokens go onto outgoing calls, and onto which. */
export interface ClientOptions extends TokenParameters {
  /** Where tokens come from: `cyberArkIdentity(…)`, `genericOAuth2(…)`. */
  readonly identityProvider: IdentityProvider;

  /** Client identifier (RFC 6749 §2.2). At CyberArk Identity: the login name of the service user. */
  readonly clientId: string;

  /**
   * Client secret: a text, a function that fetches it, or a source such as `fromEnv('NAME')` or `fromFile('/path')`; read
   * for each token request. While it is being rotated: the `current` one and the `next`, which is tried when the first
   * is refused and need not be there yet. Needed where the client authentication uses a secret.
   */
  readonly clientSecret?: SecretInput | { readonly current: SecretInput; readonly next?: SecretInput };

  /**
   * How the client proves itself: the name of a way to use the secret, or `privateKeyJwt(…)`, `tlsClientAuth(…)`,
   * `selfSignedTlsClientAuth(…)`, `federatedAssertion(…)`, or `none`. Default: a secret, used as the identity provider
   * wants it. Never tried out: a guess costs a failed login.
   */
  readonly clientAuthentication?: ClientSecretMethod | 'none' | ClientAuthentication;

  /** What tokens are asked for with. Default: client credentials. For others: `jwtBearer(…)`. */
  readonly grant?: TokenGrant;

  /**
   * Binds tokens to a key that this process makes, so that a stolen one is of no use (RFC 9449). Default: false; true
   * means ES256.
   */
  readonly dpop?: boolean | { readonly algorithm: DpopAlgorithm };

  /**
   * The header of outgoing HTTP calls that holds the token, for APIs that read another one. `name` is the header's name,
   * default `Authorization`. `scheme` stands before the token; an empty string sends the bare token; default: the token's
   * type, `Bearer`. Not together with `dpop`, which has a scheme of its own. Messages have their token in `authorization`.
   *
   * @example
   * tokenHeader: { name: 'X-Access-Token', scheme: '' }
   */
  readonly tokenHeader?: { readonly name?: string; readonly scheme?: string };

  /**
   * Makes the connections to the identity provider: an agent of `node:https`, for networks with an outbound proxy
   * (`new HttpsProxyAgent('http://proxy.example:3128')` of the package https-proxy-agent). Calls of the `HttpService` have
   * theirs in `http`. Default: direct connections, one for each request; proxy settings of the environment are ignored.
   */
  readonly agent?: Agent;

  /**
   * Certificates of the authorities that the identity provider's servers are trusted by, in PEM; they take the place of
   * those that Node.js trusts. Used for the client's own requests, to the token endpoint, for discovery and revocation,
   * with any `agent` or none. An `https.Agent` with a `ca` of its own, and the `ca` of `tlsClientAuth`, go before it.
   * Calls of the `HttpService` have theirs in `http.httpsAgent`. Default: the authorities of Node.js and of
   * `NODE_EXTRA_CA_CERTS`.
   */
  readonly ca?: CertificateAuthorities;

  /**
   * Headers of token requests, besides those that the preset sends; where both have one, this counts. Those that the
   * protocol or HTTP sets are not allowed: `authorization`, `content-type`, `host` and so on. Default: none.
   */
  readonly tokenRequestHeaders?: Readonly<Record<string, string>>;

  /** How the body of token requests is written. Default: `form` (RFC 6749 §4.4.2). */
  readonly tokenRequestFormat?: TokenRequestFormat;

  /**
   * Places that the token may be sent to, besides the identity provider's own API: an origin, `https://billing.example`;
   * an origin with a path that everything bound is below, `https://apis.example/billing`; or, with a star in place of the
   * first label, the hosts of a domain, `https://*.billing.example`. Calls to any other place go out without it.
   */
  readonly allowedOrigins?: readonly string[];

  /**
   * Defaults of the client's own axios instance. `baseURL` must have an origin that the token may be sent to; default: the
   * identity provider's API. Redirects are followed only where `maxRedirects` is given.
   */
  readonly http?: CreateAxiosDefaults;

  /** What happens at boot. Default: `lazy`. */
  readonly start?: StartMode;

  /** How long the boot waits for a token with `start: 'require'`, in milliseconds. Default: 30,000. */
  readonly startTimeoutMs?: number;

  /**
   * Time over which the processes of a fleet that boot at once spread their first token requests, in milliseconds.
   * Default: 0.
   */
  readonly startSpreadMs?: number;

  /**
   * How long a call waits for a token that has to be fetched first, in milliseconds. Default: 5,000. It waits over as many
   * attempts as are due by then, and fails earlier only where the next one is due later or waiting cannot help. After a
   * third of this time without an answer, a second token request is sent on another connection.
   */
  readonly acquireTimeoutMs?: number;

  /** How long one token request may take, in milliseconds. Default: 10,000. */
  readonly tokenRequestTimeoutMs?: number;

  readonly refresh?: {
    /**
     * In the last part of a token's life, this long at most, calls wait for a new one, in seconds. Covers clocks that
     * differ and calls that take long. Default: 30; never more than a tenth of the life.
     */
    readonly skewSeconds?: number;
    /**
     * Outage of the identity provider that should go unnoticed, in seconds. Default: 300. The refresh begins this long
     * before the end, within a quarter and a half of the token's life.
     */
    readonly outageBudgetSeconds?: number;
  };

  /**
   * Refreshes tokens also while no call uses them. Default: false: a token that was not used since its last two
   * refreshes is dormant, and not refreshed until the next call, which may have to wait for a new one. Set it for a client
   * whose calls are rare and must find a live token, such as a nightly job; it costs a token request for each token and
   * lifetime. Tokens that live for less than 10 s are refreshed by calls alone.
   */
  readonly keepWarm?: boolean;

  /** What is done about a credential that the identity provider refuses, so that the client does not get locked out. */
  readonly quarantine?: {
    /** Refusals in a row after which attempts are halted. Default: 5. */
    readonly maxRefusals?: number;
    /** Time between single attempts after that, in seconds; 0 for none. Default: 3,600. */
    readonly probeSeconds?: number;
  };

  /**
   * Reads the answers of a token endpoint that has a form of its own: returns a grant or an error by the names of RFC 6749,
   * a kind of failure, or undefined for what the standards say. Goes before a reader of the identity provider's preset.
   * It lifts no limit, and what it throws counts as no opinion. Default: none.
   *
   * @example
   * readTokenResponse: ({ json }) => (json as { tokenData?: TokenResponseGrant }).tokenData
   */
  readonly readTokenResponse?: TokenResponseReader;

  /** Most tokens, of different parameters, that are kept at once. The least used ones give way. Default: 100. */
  readonly maxTokens?: number;

  /** Longest body of a call that is sent again after a 401, in bytes. Default: 1,048,576. 0: no call is sent again. */
  readonly maxReplayBytes?: number;

  /**
   * What an answer looks like that rejects the token: a list of 401 and 403, or a predicate on the answer for APIs that
   * answer 400 or another status with a code in the body. A rejected token is renewed, and the call is sent again once where
   * its body allows that. An answer that says `insufficient_scope` never counts. Default: [401].
   *
   * A predicate takes the place of the list, so it has to accept 401 itself. Asked for answers from 400 on, with the
   * beginning of the body; one that throws counts as false.
   *
   * @example isTokenRejected: ({ status, body }) => status === 401 || body.includes('INVALID_SESSION_ID')
   */
  readonly isTokenRejected?: TokenRejection;

  /** Tells the identity provider at shutdown that the tokens are not needed any more (RFC 7009). Default: false. */
  readonly revokeOnShutdown?: boolean;

  /** Allows plain http to any host, where tokens and secrets can be read on the way. Default: loopback outside production. */
  readonly unsafeAllowHttp?: boolean;

  /** Sends a token for up to this long after its end while no other can be had, in seconds, at most 600. Default: 0. */
  readonly unsafeExpiredTokenGraceSeconds?: number;
}

/** What a secret is, in words. */
export const SECRET = "a secret: a text, a function, or a source such as fromEnv('NAME')";

const secret = field<SecretInput>(SECRET, isSecretInput);

/** The form of a client's options, field by field. */
export const clientSchema = z.strictObject({
  identityProvider,
  clientId: cleanText('a client identifier'),
  clientSecret: z
    .union([secret, z.strictObject({ current: secret, next: secret.optional() })], {
      error: `${SECRET}; or { current, next }`,
    })
    .optional(),
  clientAuthentication: field<unknown>(
    `one of ${[...CLIENT_SECRET_METHODS, 'none'].map((method) => `'${method}'`).join(', ')}, or privateKeyJwt({ … }) and the like`,
    (value) => isMethodName(value) || isAuthentication(value),
  ).optional(),
  grant: field<TokenGrant>(
    'jwtBearer(…)',
    (value) => typeof value === 'object' && value !== null && 'grantType' in value && 'fault' in value,
  ).optional(),
  dpop: z
    .union([flag, z.strictObject({ algorithm: oneOf(DPOP_ALGORITHMS) })], {
      error: `true, false, or { algorithm } with one of ${DPOP_ALGORITHMS.join(', ')}`,
    })
    .optional(),
  tokenHeader: z
    .strictObject({
      name: field<string>(
        'the name of a header that HTTP itself does not set, such as X-Access-Token',
        (value) => typeof value === 'string' && isHeaderName(value) && !isReservedHeader(value),
      ).optional(),
      scheme: field<string>(
        'a scheme (RFC 9110 §11.1), or an empty string',
        (value) => typeof value === 'string' && (value === '' || isHeaderName(value)),
      ).optional(),
    })
    .optional(),
  agent: anAgent.optional(),
  ca: certificateAuthorities.optional(),
  tokenRequestFormat: oneOf(['form', 'json']).optional(),
  tokenRequestHeaders: field<object>('an object of header values by their names', isRecord).optional(),
  scope: textOrTexts('a scope, or a list of scopes', isScope).optional(),
  audience: cleanText('an audience').optional(),
  resource: textOrTexts('an absolute URI without fragment, or a list of them', isResource).optional(),
  // What is in these two is judged one by one.
  parameters: field<object>('an object of strings', isRecord).optional(),
  allowedOrigins: texts('a list of origins, such as https://billing.example').optional(),
  http: z
    .looseObject({
      baseURL: text('an absolute URL').optional(),
      transitional: field<object>(
        'transitional options that leave the order of interceptors as it is: the token is put on last',
        (value) => (value as { legacyInterceptorReqResOrdering?: boolean }).legacyInterceptorReqResOrdering !== false,
      ).optional(),
    })
    .optional(),
  start: oneOf(START_MODES).optional(),
  startTimeoutMs: quantity('milliseconds', 1, 3600_000).optional(),
  startSpreadMs: quantity('milliseconds', 0, 3600_000).optional(),
  acquireTimeoutMs: quantity('milliseconds', 1, 600_000).optional(),
  tokenRequestTimeoutMs: quantity('milliseconds', 1, 600_000).optional(),
  refresh: z
    .strictObject({
      skewSeconds: quantity('seconds', 0, 3600).optional(),
      outageBudgetSeconds: quantity('seconds', 0, 86_400).optional(),
    })
    .optional(),
  keepWarm: flag.optional(),
  quarantine: z
    .strictObject({
      maxRefusals: quantity('refusals', 1, 1000).optional(),
      probeSeconds: quantity('seconds', 0, 604_800).optional(),
    })
    .optional(),
  readTokenResponse: aFunction('a function of the answer').optional(),
  maxTokens: quantity('tokens', 2, 100_000).optional(),
  maxReplayBytes: quantity('bytes', 0, Number.MAX_SAFE_INTEGER).optional(),
  isTokenRejected: field<TokenRejection>(
    'a list of 401, 403 or both, or a function of the answer',
    (value) => typeof value === 'function' || isRejectionStatuses(value),
  ).optional(),
  revokeOnShutdown: flag.optional(),
  unsafeAllowHttp: flag.optional(),
  unsafeExpiredTokenGraceSeconds: quantity('seconds', 0, 600).optional(),
});

function isRejectionStatuses(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((one) => one === 401 || one === 403);
}

/** Whether a value names a way to prove the client that needs nothing but a secret, or nothing. */
function isMethodName(value: unknown): value is ClientSecretMethod | 'none' {
  return value === 'none' || CLIENT_SECRET_METHODS.some((method) => method === value);
}

export function isAuthentication(value: unknown): value is ClientAuthentication {
  return typeof value === 'object' && value !== null && 'credentials' in value && 'fault' in value;
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One or more names of RFC 6749 §3.3, divided by single blanks. */
function isScope(value: string): boolean {
  return value.split(' ').every(isScopeName);
}

/** RFC 8707 §2. */
function isResource(value: string): boolean {
  // The parser of addresses passes over line breaks and blanks at the ends, and a server does not.
  return parseUrl(value) !== undefined && !value.includes('#') && strayCharacters(value) === undefined;
}

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
  readonly allowedOrigins: readonly string[];
  /** Defaults of the client's own axios instance, without undefined ones. */
  readonly http: CreateAxiosDefaults;
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
  readonly plainHttp: PlainHttp;
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
    allowedOrigins: allowedOriginsOf(options),
    http: options.http ? definedOnly(options.http) : {},
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
    plainHttp: allowedPlainHttp(options.unsafeAllowHttp, production),
    unsafeExpiredTokenGraceMs: (options.unsafeExpiredTokenGraceSeconds ?? 0) * 1000,
  };
}

/** By names in lower case; of several spellings of a name the last counts. */
function inLowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Rules of the places that the token is bound to: the identity provider's own API, and what the options add. */
export function allowedOriginsOf({ identityProvider: { apiBaseUrl }, allowedOrigins = [] }: ClientOptions): string[] {
  const ownApi = apiBaseUrl === undefined ? undefined : parseUrl(apiBaseUrl);
  return [...(ownApi ? [ownApi.origin] : []), ...allowedOrigins.filter((rule) => originRuleFault(rule) === undefined)];
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
