import type { CreateAxiosDefaults } from 'axios';
import type { Agent } from 'node:http';
import { z } from 'zod';
import { DPOP_ALGORITHMS, type DpopAlgorithm } from '../credentials/dpop-prover.js';
import { clientCredentials } from '../credentials/token-grant.js';
import {
  aFunction,
  anAgent,
  areCleanTexts,
  certificateAuthorities,
  cleanText,
  field,
  flag,
  isCleanText,
  isTextList,
  oneOf,
  quantity,
  shownField,
  text,
} from '../foundation/option-check.js';
import { definedOnly } from '../foundation/plain-objects.js';
import { START_MODES, type StartMode } from '../foundation/start-mode.js';
import { isScopeName, strayCharacters } from '../foundation/text.js';
import type { CertificateAuthorities } from '../foundation/tls.js';
import { allowedPlainHttp, parseUrl } from '../foundation/url.js';
import type { IdentityProvider } from '../identity-providers/identity-provider.js';
import { AUTHORIZATION_HEADER, TokenHeader } from '../token/access-token.js';
import type { TokenRequestFormat } from '../token/token-endpoint.js';
import type { TokenParameters } from '../token/token-parameters.js';
import { DEFAULT_MAX_REPLAY_BYTES, DEFAULT_TOKEN_REJECTION, type TokenRejection } from '../token/token-rejection.js';
import type { TokenResponseReader } from '../token/token-response-reader.js';
import { authenticationOf, credentialFields, type CredentialOptions } from './credential-options.js';
import { identityProvider } from './identity-provider-faults.js';
import { isHeaderName, isReservedHeader } from './headers.js';

/** Options of a client: where its tokens come from, and which outgoing calls carry them. */
export interface ClientOptions extends TokenParameters, CredentialOptions {
  /** Issues the tokens: `cyberArkIdentity(…)`, `genericOAuth2(…)` or another preset. */
  readonly identityProvider: IdentityProvider;

  /** Client identifier (RFC 6749 §2.2). At CyberArk Identity: the login name of the service user. */
  readonly clientId: string;

  /**
   * Binds tokens to a key that this process creates, so that a stolen token is useless without it (RFC 9449). `true`
   * uses ES256. Default: false.
   */
  readonly dpop?: boolean | { readonly algorithm: DpopAlgorithm };

  /**
   * HTTP header that carries the token, for APIs that read another one than `Authorization`. `name` is the name of the
   * header. Default: `Authorization`. `scheme` precedes the token; an empty string sends the token alone. Default: the
   * type of the token, `Bearer`. `scheme` can't be set together with `dpop`. Messages always carry the token in
   * `authorization`.
   *
   * @example
   * tokenHeader: { name: 'X-Access-Token', scheme: '' }
   */
  readonly tokenHeader?: { readonly name?: string; readonly scheme?: string };

  /**
   * Agent of `node:https` for requests to the identity provider, for networks with an outbound proxy: `new
   * HttpsProxyAgent('http://proxy.example:3128')` of the package https-proxy-agent. The `HttpService` uses the agents
   * in `http` instead. Default: a new direct connection for each request; proxy settings of the environment are
   * ignored.
   */
  readonly agent?: Agent;

  /**
   * Certificate authorities to trust for the identity provider's servers, in PEM, instead of those of Node.js. Applies
   * to the client's own requests (token endpoint, discovery, revocation), with or without `agent`. The `ca` of an
   * `https.Agent` and of `tlsClientAuth` take precedence. The `HttpService` uses the authorities of `http.httpsAgent`
   * instead. Default: the authorities of Node.js and of `NODE_EXTRA_CA_CERTS`.
   */
  readonly ca?: CertificateAuthorities;

  /**
   * Additional headers of token requests and revocations. A header of the same name replaces that of the preset.
   * Headers that HTTP or the protocol sets, such as `authorization`, `content-type` and `host`, are rejected. Default:
   * none.
   */
  readonly tokenRequestHeaders?: Readonly<Record<string, string>>;

  /** Format of the body of token requests. Default: `form` (RFC 6749 §4.4.2). */
  readonly tokenRequestFormat?: TokenRequestFormat;

  /**
   * Where the token may be sent, besides the identity provider's own API. An entry is an origin,
   * `https://billing.example`; an origin with a path, which allows everything below it, `https://apis.example/billing`;
   * or a wildcard for the first label of the host, `https://*.billing.example`. Calls to other origins carry no token.
   * Default: none.
   */
  readonly allowedOrigins?: readonly string[];

  /**
   * Defaults of the client's axios instance. The token must be allowed at the origin of `baseURL`. Default: the
   * identity provider's API. The client follows redirects only if you set `maxRedirects`.
   */
  readonly http?: CreateAxiosDefaults;

  /**
   * When the first token is fetched. `lazy`: by the first call. `warm`: in the background at boot. `require`: the boot
   * waits for it, and fails without it. Default: `lazy`.
   */
  readonly start?: StartMode;

  /** How long the boot waits for a token with `start: 'require'`, in milliseconds. Default: 30,000. */
  readonly startTimeoutMs?: number;

  /**
   * Maximum random delay of the first token request at boot, in milliseconds. It spreads the requests of many processes
   * that boot together. Default: 0.
   */
  readonly startSpreadMs?: number;

  /**
   * How long a call waits for a token that has to be fetched first, in milliseconds. Default: 5,000. The wait covers
   * every attempt that is due within this time. The call fails earlier if the next attempt is due later, or if waiting
   * can't help. After a third of this time without a response, the client sends a second token request on another
   * connection.
   */
  readonly acquireTimeoutMs?: number;

  /** How long one token request may take, in milliseconds. Default: 10,000. */
  readonly tokenRequestTimeoutMs?: number;

  /** When tokens are refreshed. */
  readonly refresh?: {
    /**
     * How long before its expiry a token is no longer used, in seconds: calls then wait for a new one. It makes up for
     * clock differences and slow calls. At most a tenth of the lifetime. Default: 30.
     */
    readonly skewSeconds?: number;
    /**
     * Outage of the identity provider that calls should not notice, in seconds. The refresh starts this long before the
     * token expires, but at least a quarter and at most half of its lifetime. Default: 300.
     */
    readonly outageBudgetSeconds?: number;
  };

  /**
   * Keeps refreshing tokens that no call uses. Set it for rare calls that must find a valid token at once, such as
   * those of a nightly job. It costs one token request per token and lifetime. Tokens that live for less than 10 s are
   * refreshed only by calls. Default: false: refreshes stop when no call used the token since the last two. The next
   * call may then have to wait.
   */
  readonly keepWarm?: boolean;

  /** When the client stops sending a credential that the identity provider rejects, to avoid a lockout. */
  readonly quarantine?: {
    /** Number of consecutive rejections after which attempts stop. Default: 5. */
    readonly maxRefusals?: number;
    /** Interval between single attempts after that, in seconds; 0 for none. Default: 3,600. */
    readonly probeSeconds?: number;
  };

  /**
   * Reads non-standard responses of the token endpoint. Return a grant or an error with the member names of RFC 6749, a
   * kind of failure, or undefined to have the response read by the standard. Runs before the reader of the preset. All
   * limits still apply. If it throws, the standard applies. Default: none.
   *
   * @example
   * readTokenResponse: ({ json }) => (json as { tokenData?: TokenResponseGrant }).tokenData
   */
  readonly readTokenResponse?: TokenResponseReader;

  /**
   * Maximum number of tokens cached, one per set of parameters. The least recently used ones are evicted. Default: 100.
   */
  readonly maxTokens?: number;

  /**
   * Largest request body that is sent again with a new token after a 401, in bytes. 0: no call is sent again. Default:
   * 1,048,576.
   */
  readonly maxReplayBytes?: number;

  /**
   * Which responses mean that the API rejected the token: a list of 401, 403 or both; or a predicate, for APIs with
   * another status and a code in the body. The client renews a rejected token and sends the call again once, if its
   * body can be sent again. A response with `insufficient_scope` never counts. Default: [401].
   *
   * A predicate replaces the list, so it must return true for 401 as well. It receives responses with status 400 and
   * above, with up to 16 KiB of the body. If it throws, the token counts as accepted.
   *
   * @example isTokenRejected: ({ status, body }) => status === 401 || body.includes('INVALID_SESSION_ID')
   */
  readonly isTokenRejected?: TokenRejection;

  /** Revokes the tokens at shutdown (RFC 7009). A failure is only logged. Default: false. */
  readonly revokeOnShutdown?: boolean;

  /**
   * Allows plain http to any host; tokens and secrets can then be read in transit. Default: false: plain http only to
   * loopback, and not in production.
   */
  readonly unsafeAllowHttp?: boolean;

  /** How long an expired token is still sent while no new one can be fetched, in seconds, at most 600. Default: 0. */
  readonly unsafeExpiredTokenGraceSeconds?: number;
}

/** Schema of {@link ClientOptions}, field by field. */
export const clientSchema = z.strictObject({
  identityProvider,
  clientId: cleanText('a client identifier'),
  ...credentialFields,
  dpop: z
    .union([flag, z.strictObject({ algorithm: oneOf(DPOP_ALGORITHMS) })], {
      error: `true, false, or { algorithm } with one of ${DPOP_ALGORITHMS.join(', ')}`,
    })
    .optional(),
  tokenHeader: z
    .strictObject({
      name: field<string>(
        'the name of a header that HTTP itself does not set, such as X-Access-Token',
        (value) => isHeaderName(value) && !isReservedHeader(value),
      ).optional(),
      scheme: field<string>(
        'a scheme (RFC 9110 §11.1), or an empty string',
        (value) => value === '' || isHeaderName(value),
      ).optional(),
    })
    .optional(),
  agent: anAgent.optional(),
  ca: certificateAuthorities.optional(),
  tokenRequestFormat: oneOf(['form', 'json']).optional(),
  tokenRequestHeaders: field<object>('an object with header names and values', isRecord).optional(),
  scope: shownField<string | readonly string[]>('a scope, or a list of one or more', (value) =>
    areCleanTexts(value, isScope),
  ).optional(),
  audience: shownField<string>(
    'an audience, without control characters or surrounding whitespace',
    isCleanText,
  ).optional(),
  resource: field<string | readonly string[]>('an absolute URI without fragment, or a list of one or more', (value) =>
    areCleanTexts(value, isResource),
  ).optional(),
  // client-faults.ts checks the members of parameters and allowedOrigins one by one.
  parameters: field<object>('an object of strings', isRecord).optional(),
  allowedOrigins: shownField<readonly string[]>(
    'a list of one or more origins, such as https://billing.example',
    isTextList,
  ).optional(),
  http: z
    .looseObject({
      baseURL: text('an absolute URL').optional(),
      transitional: field<object>(
        'transitional options without legacyInterceptorReqResOrdering: false, because the token is added last',
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
  readTokenResponse: aFunction('a function of the response').optional(),
  maxTokens: quantity('tokens', 2, 100_000).optional(),
  maxReplayBytes: quantity('bytes', 0, Number.MAX_SAFE_INTEGER).optional(),
  isTokenRejected: field<TokenRejection>(
    'a list of 401, 403 or both, or a function of the response',
    (value) => typeof value === 'function' || isRejectionStatuses(value),
  ).optional(),
  revokeOnShutdown: flag.optional(),
  unsafeAllowHttp: flag.optional(),
  unsafeExpiredTokenGraceSeconds: quantity('seconds', 0, 600).optional(),
});

function isRejectionStatuses(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((one) => one === 401 || one === 403);
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a string is one or more scopes, separated by single blanks (RFC 6749 §3.3). */
function isScope(value: string): boolean {
  return value.split(' ').every(isScopeName);
}

/** Whether a string is the address of a resource (RFC 8707 §2). */
function isResource(value: string): boolean {
  // The URL parser ignores line breaks and blanks at the ends; a server does not.
  return parseUrl(value) !== undefined && !value.includes('#') && strayCharacters(value) === undefined;
}

/** A client's options, checked, with every default filled in. */
export type ClientConfiguration = Readonly<ReturnType<typeof clientConfiguration>>;

/** @param options Free of faults. */
export function clientConfiguration(name: string, options: ClientOptions, production: boolean) {
  const { identityProvider, scope, audience, resource, parameters, tokenHeader, refresh, quarantine, dpop } = options;
  const { http = {} } = options;
  return {
    name,
    identityProvider,
    clientId: options.clientId,
    authentication: authenticationOf(options),
    grant: options.grant ?? clientCredentials,
    dpop: typeof dpop === 'object' ? dpop.algorithm : dpop ? ('ES256' as const) : undefined,
    /** Where HTTP calls carry the token. */
    tokenHeader: tokenHeader
      ? new TokenHeader(tokenHeader.name ?? AUTHORIZATION_HEADER.name, tokenHeader.scheme)
      : AUTHORIZATION_HEADER,
    agent: options.agent,
    ca: options.ca,
    tokenRequestFormat: options.tokenRequestFormat ?? 'form',
    /** Headers of each token request, by their names in lower case. */
    tokenRequestHeaders: inLowerCase({ ...identityProvider.tokenRequestHeaders, ...options.tokenRequestHeaders }),
    tokenResponse: {
      readers: [options.readTokenResponse, identityProvider.readTokenResponse].filter((reader) => reader !== undefined),
      credentialErrors: identityProvider.credentialErrors ?? [],
    },
    parameters: { scope, audience, resource, parameters },
    allowedOrigins: allowedOriginsOf(options),
    /** Defaults of the client's own axios instance, without undefined ones. */
    http: options.http ? definedOnly(http) : {},
    /** Base of relative URLs. */
    baseUrl: http.baseURL ?? identityProvider.apiBaseUrl,
    /** Headers of each call to the identity provider's own API. */
    apiHeaders: http.baseURL === undefined ? (identityProvider.apiHeaders ?? {}) : {},
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
    maxReplayBytes: options.maxReplayBytes ?? DEFAULT_MAX_REPLAY_BYTES,
    isTokenRejected: options.isTokenRejected ?? DEFAULT_TOKEN_REJECTION,
    revokeOnShutdown: options.revokeOnShutdown ?? false,
    plainHttp: allowedPlainHttp(options.unsafeAllowHttp, production),
    unsafeExpiredTokenGraceMs: (options.unsafeExpiredTokenGraceSeconds ?? 0) * 1000,
  };
}

/** Returns the headers by their names in lower case. Of several spellings of a name the last counts. */
function inLowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** Returns the rules of where the token may be sent: the identity provider's own API, and what the options add. */
export function allowedOriginsOf({ identityProvider: { apiBaseUrl }, allowedOrigins = [] }: ClientOptions): string[] {
  const ownApi = apiBaseUrl === undefined ? undefined : parseUrl(apiBaseUrl);
  return [...(ownApi ? [ownApi.origin] : []), ...allowedOrigins];
}
