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
import { originRuleFault } from '../token/allowed-origins.js';
import type { TokenRequestFormat } from '../token/token-endpoint.js';
import type { TokenParameters } from '../token/token-parameters.js';
import { DEFAULT_TOKEN_REJECTION, type TokenRejection } from '../token/token-rejection.js';
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
   * Binds tokens to a key that this process creates, so that a stolen token is useless without it (RFC 9449). Default:
   * false. true means ES256.
   */
  readonly dpop?: boolean | { readonly algorithm: DpopAlgorithm };

  /**
   * Header of outgoing HTTP calls that carries the token, for APIs that read another one. `name` is the header's name;
   * default: `Authorization`. `scheme` stands before the token, an empty string sends the token alone; default: the
   * token's type, `Bearer`. `dpop` allows no other scheme. Messages carry their token in `authorization`.
   *
   * @example
   * tokenHeader: { name: 'X-Access-Token', scheme: '' }
   */
  readonly tokenHeader?: { readonly name?: string; readonly scheme?: string };

  /**
   * Agent of `node:https` that connects to the identity provider, for networks with an outbound proxy
   * (`new HttpsProxyAgent('http://proxy.example:3128')` of the package https-proxy-agent). Calls of the `HttpService` take
   * theirs from `http`. Default: direct connections, one for each request; proxy settings of the environment are ignored.
   */
  readonly agent?: Agent;

  /**
   * Certificate authorities to trust for the identity provider's servers, in PEM, in place of those of Node.js. Applies to
   * the client's own requests (token endpoint, discovery, revocation), with or without `agent`. The `ca` of an
   * `https.Agent` and of `tlsClientAuth` take precedence. Calls of the `HttpService` take theirs from `http.httpsAgent`.
   * Default: the authorities of Node.js and of `NODE_EXTRA_CA_CERTS`.
   */
  readonly ca?: CertificateAuthorities;

  /**
   * Additional headers of token requests; they replace those of the preset. Headers that HTTP or the protocol sets are
   * invalid: `authorization`, `content-type`, `host` and so on. Default: none.
   */
  readonly tokenRequestHeaders?: Readonly<Record<string, string>>;

  /** Format of the body of token requests. Default: `form` (RFC 6749 §4.4.2). */
  readonly tokenRequestFormat?: TokenRequestFormat;

  /**
   * Where the token may be sent, besides the identity provider's own API: an origin, `https://billing.example`; an origin
   * with a path, which allows what is below it, `https://apis.example/billing`; or the hosts of a domain, with a star for
   * the first label, `https://*.billing.example`. Calls to other origins carry no token.
   */
  readonly allowedOrigins?: readonly string[];

  /**
   * Defaults of the client's own axios instance. `baseURL` must have an origin that the token may be sent to; default: the
   * identity provider's API. Redirects are followed only where `maxRedirects` is given.
   */
  readonly http?: CreateAxiosDefaults;

  /**
   * What the boot does about the first token. `warm` fetches it in the background, `require` waits for it and fails without
   * it, `lazy` leaves it to the first call. Default: `lazy`.
   */
  readonly start?: StartMode;

  /** How long the boot waits for a token with `start: 'require'`, in milliseconds. Default: 30,000. */
  readonly startTimeoutMs?: number;

  /**
   * Time over which the processes of a fleet that boot together spread their first token requests, in milliseconds.
   * Default: 0.
   */
  readonly startSpreadMs?: number;

  /**
   * How long a call waits for a token that has to be fetched first, in milliseconds. Default: 5,000. The wait covers all
   * attempts that are due by then. The call fails earlier only where the next attempt is due later, or waiting can't help.
   * After a third of this time without a response, a second token request is sent on another connection.
   */
  readonly acquireTimeoutMs?: number;

  /** How long one token request may take, in milliseconds. Default: 10,000. */
  readonly tokenRequestTimeoutMs?: number;

  /** When tokens are refreshed. */
  readonly refresh?: {
    /**
     * In the last part of a token's lifetime, calls wait for a new token. This is the longest that part may be, in seconds;
     * it covers differing clocks and slow calls. Default: 30; never more than a tenth of the lifetime.
     */
    readonly skewSeconds?: number;
    /**
     * Outage of the identity provider that calls should not notice, in seconds. Default: 300. The refresh begins this long
     * before the token expires, but within a quarter and a half of its lifetime.
     */
    readonly outageBudgetSeconds?: number;
  };

  /**
   * Refreshes tokens also while no call uses them. Default: false: a token that was not used since its last two refreshes
   * is not refreshed until the next call, which may have to wait for a new one. Set it for rare calls that must find a live
   * token, such as a nightly job. It costs one token request per token and lifetime. Tokens that live for less than 10 s
   * are refreshed by calls alone.
   */
  readonly keepWarm?: boolean;

  /** When the client stops showing a credential that the identity provider refuses, to avoid being locked out. */
  readonly quarantine?: {
    /** Number of refusals in a row after which attempts stop. Default: 5. */
    readonly maxRefusals?: number;
    /** Time between single attempts after that, in seconds; 0 for none. Default: 3,600. */
    readonly probeSeconds?: number;
  };

  /**
   * Reads the responses of a token endpoint with a format of its own. Returns a grant or an error by the names of RFC 6749,
   * a kind of failure, or undefined to read the response by the standards. Runs before the reader of the preset. It lifts no
   * limit; if it throws, the standards apply. Default: none.
   *
   * @example
   * readTokenResponse: ({ json }) => (json as { tokenData?: TokenResponseGrant }).tokenData
   */
  readonly readTokenResponse?: TokenResponseReader;

  /** Maximum number of tokens cached, one per set of parameters. The least recently used ones are evicted. Default: 100. */
  readonly maxTokens?: number;

  /** Longest body of a call that is sent again after a 401, in bytes. Default: 1,048,576. 0: no call is sent again. */
  readonly maxReplayBytes?: number;

  /**
   * Which responses reject the token: a list of 401 and 403; or a predicate, for APIs that answer another status with a code
   * in the body. The client renews a rejected token and sends the call again once, if its body allows that. A response with
   * `insufficient_scope` never counts. Default: [401].
   *
   * A predicate replaces the list, so it has to return true for 401 itself. It gets responses from status 400, with the
   * beginning of the body; if it throws, it counts as false.
   *
   * @example isTokenRejected: ({ status, body }) => status === 401 || body.includes('INVALID_SESSION_ID')
   */
  readonly isTokenRejected?: TokenRejection;

  /** Revokes the tokens at shutdown (RFC 7009). Default: false. */
  readonly revokeOnShutdown?: boolean;

  /** Allows plain http to any host, where tokens and secrets can be read in transit. Default: loopback outside production. */
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
  tokenRequestHeaders: field<object>('an object of header values by their names', isRecord).optional(),
  scope: shownField<string | readonly string[]>('a scope, or a list of scopes', (value) =>
    areCleanTexts(value, isScope),
  ).optional(),
  audience: shownField<string>(
    'an audience, without blanks and control characters at its ends',
    isCleanText,
  ).optional(),
  resource: field<string | readonly string[]>('an absolute URI without fragment, or a list of them', (value) =>
    areCleanTexts(value, isResource),
  ).optional(),
  // client-faults.ts checks the members of parameters and allowedOrigins one by one.
  parameters: field<object>('an object of strings', isRecord).optional(),
  allowedOrigins: shownField<readonly string[]>(
    'a list of origins, such as https://billing.example',
    isTextList,
  ).optional(),
  http: z
    .looseObject({
      baseURL: text('an absolute URL').optional(),
      transitional: field<object>(
        'transitional options with legacyInterceptorReqResOrdering on, because the token is added last',
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
    maxReplayBytes: options.maxReplayBytes ?? 1_048_576,
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
  return [...(ownApi ? [ownApi.origin] : []), ...allowedOrigins.filter((rule) => originRuleFault(rule) === undefined)];
}
