import { decodeJwt } from 'jose';
import { retryAfterMs, serverTimeMs } from '../foundation/http-dates.js';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import { isScopeName } from '../foundation/text.js';
import { AccessToken, type AccessTokenType, isAccessTokenText } from './access-token.js';
import { errorBesideGrant, normalizedCode, type OAuthError, oauthErrorIn } from './oauth-error.js';
import type { EmitClientWarning } from './outbound-events.js';
import { callReader, type TokenEndpointResponse, type TokenResponseReader } from './token-response-reader.js';
import { accessTokenLifetime, positiveSeconds } from './access-token-lifetime.js';
import type { TokenFailureKind, TokenFailure, TokenResult } from './token-result.js';

/** How to read the responses of one token endpoint. */
export interface TokenResponseOptions {
  /** Called in this order; the first result other than undefined counts. */
  readonly readers?: readonly TokenResponseReader[];
  /** Values of `error` that mean a refused credential, besides those of RFC 6749 §5.2. */
  readonly credentialErrors?: readonly string[];
  /** Warns about a response that is used although it violates the standard. */
  readonly emitWarning?: EmitClientWarning;
  /** Reports that a reader threw, or returned an invalid value. */
  readonly emitOptionFailure?: (option: string, problem: string) => void;
}

/**
 * Reads a token endpoint's response as a grant, or as a failure of some kind.
 *
 * The body decides, not its media type. A 2xx response is a grant if its body is a JSON object with an `access_token`
 * and no error; member names must be unique, and the token must fit into a header unchanged. An OAuth error counts with
 * any status, because some servers refuse a secret with 200 or 500.
 */
export function readTokenResponse(response: TokenEndpointResponse, options: TokenResponseOptions = {}): TokenResult {
  const result = byReaders(response, options) ?? byStandards(response, options);
  if (result.ok) return result;
  return { ok: false, failure: { ...result.failure, serverTimeMs: serverTimeMs(response.headers) } };
}

/** Returns the first result of a reader; undefined if no reader has one. */
function byReaders(response: TokenEndpointResponse, options: TokenResponseOptions): TokenResult | undefined {
  for (const reader of options.readers ?? []) {
    const reading = callReader(reader, response);
    switch (reading.type) {
      case 'failure':
        return failureOfKind(reading.kind, response, options);
      case 'members':
        return readMembers(reading.members, response, options);
      case 'invalid':
        options.emitOptionFailure?.('readTokenResponse', reading.problem);
    }
  }
  return undefined;
}

/** Returns the failure that the standards find, with the reader's kind. */
function failureOfKind(kind: TokenFailureKind, response: TokenEndpointResponse, options: TokenResponseOptions) {
  const result = byStandards(response, { credentialErrors: options.credentialErrors ?? [] });
  if (!result.ok) return { ok: false, failure: { ...result.failure, kind, advice: undefined } } as const;
  const detail = `readTokenResponse classified HTTP ${response.status} as a failure`;
  return { ok: false, failure: { kind, detail } } as const;
}

function byStandards(response: TokenEndpointResponse, options: TokenResponseOptions): TokenResult {
  const { status, headers, body } = response;
  if (!isSuccess(status)) {
    const error = oauthErrorIn(response, (code) => isKnown(code, options));
    return { ok: false, failure: error ? oauthFailure(error, response, options) : statusFailure(response) };
  }
  const json = parseStrictJsonObject(body);
  if (json.ok && typeof json.value.access_token === 'string') return readMembers(json.value, response, options);
  const error = oauthErrorIn(response, (code) => isKnown(code, options));
  if (error) return { ok: false, failure: oauthFailure(error, response, options) };
  if (json.ok) return malformed('the response has no access_token');
  const found = `HTTP ${status}, content type ${contentType(headers)}`;
  return malformed(`the response is not a JSON object that can be accepted (${json.fault}; ${found})`);
}

/** Reads the members of RFC 6749 §5, from the body or from a reader. */
function readMembers(
  members: Readonly<Record<string, unknown>>,
  response: TokenEndpointResponse,
  options: TokenResponseOptions,
): TokenResult {
  const error = errorBesideGrant(members);
  return error
    ? { ok: false, failure: oauthFailure(error, response, options) }
    : readGrant(members, response.headers, options);
}

function readGrant(
  members: Readonly<Record<string, unknown>>,
  headers: Headers,
  { emitWarning }: TokenResponseOptions,
): TokenResult {
  const text = members.access_token;
  if (typeof text !== 'string') return malformed('the response has no access_token');
  if (!isAccessTokenText(text)) return malformed('access_token has invalid characters or an invalid length');
  const tokenType = readTokenType(members.token_type);
  if (!tokenType) return unknownTokenType(members.token_type);
  const lifetime = accessTokenLifetime({
    expiresIn: members.expires_in,
    jwt: readableClaims(text),
    serverTimeMs: serverTimeMs(headers),
  });
  if (!lifetime) return malformed('expires_in is not a positive number of seconds');
  if (tokenType === 'missing') {
    emitWarning?.(
      'token_type_missing',
      'its grants have no token_type, which RFC 6749 §5.1 requires; they are used as Bearer',
    );
  }
  const refreshIn = positiveSeconds(members.refresh_in);
  return {
    ok: true,
    granted: {
      accessToken: new AccessToken(text, tokenType === 'missing' ? 'Bearer' : tokenType, readScope(members.scope)),
      lifetime,
      refreshInMs: refreshIn === undefined ? undefined : refreshIn * 1000,
    },
  };
}

/** Reads `token_type`, which is case-insensitive (RFC 6749 §5.1). */
function readTokenType(value: unknown): AccessTokenType | 'missing' | undefined {
  if (value == null) return 'missing';
  switch (typeof value === 'string' ? value.trim().toLowerCase() : undefined) {
    case '':
      return 'missing';
    case 'bearer':
      return 'Bearer';
    case 'dpop':
      return 'DPoP';
    default:
      return undefined;
  }
}

function unknownTokenType(value: unknown): TokenResult {
  const found = typeof value === 'string' ? `"${value}"` : `of type ${Array.isArray(value) ? 'array' : typeof value}`;
  const detail = `token_type is neither Bearer nor DPoP (found ${found})`;
  const advice = 'If this server means Bearer by it, return token_type "Bearer" from the option readTokenResponse.';
  return { ok: false, failure: { kind: 'configuration', detail, advice } };
}

/**
 * Returns the granted scope (RFC 6749 §3.3); undefined if it has other characters, because the application may print
 * it.
 */
function readScope(value: unknown): string | undefined {
  const names = (Array.isArray(value) ? (value as unknown[]) : [value]).flatMap((one) =>
    typeof one === 'string' ? one.split(' ').filter((name) => name !== '') : [undefined],
  );
  return names.length > 0 && names.every(isScopeName) ? names.join(' ') : undefined;
}

/** Returns the time claims of a token that is a JWT. They need no verification: they can only shorten `expires_in`. */
function readableClaims(token: string): { exp?: number; iat?: number } | undefined {
  try {
    const { exp, iat } = decodeJwt(token);
    return { ...(typeof exp === 'number' && { exp }), ...(typeof iat === 'number' && { iat }) };
  } catch {
    return undefined;
  }
}

const CREDENTIAL_ERRORS = ['invalid_client', 'unauthorized_client', 'invalid_grant'];
const CONFIGURATION_ERRORS = [
  'access_denied',
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'unsupported_grant_type',
  'invalid_dpop_proof',
  'use_dpop_nonce',
];
const TRANSIENT_ERRORS = ['temporarily_unavailable', 'server_error', 'slow_down'];
const KNOWN_ERRORS = new Set([...CREDENTIAL_ERRORS, ...CONFIGURATION_ERRORS, ...TRANSIENT_ERRORS]);

/** Vendors' error codes, such as `invalid_client_id`, `bad_client_secret`, `incorrect_client_credentials`. */
const CREDENTIAL_OF_CLIENT = /(?:^|_)client_?(?:id|secret|credentials?)(?:_|$)/;

function isKnown(code: string, { credentialErrors = [] }: TokenResponseOptions): boolean {
  return KNOWN_ERRORS.has(code) || isAboutCredential(code) || credentialErrors.includes(code);
}

/** @param code Normalised by `normalizedCode`. */
function isAboutCredential(code: string): boolean {
  return CREDENTIAL_ERRORS.includes(code) || CREDENTIAL_OF_CLIENT.test(code);
}

function oauthFailure(
  { code, description }: OAuthError,
  { status, headers }: TokenEndpointResponse,
  { credentialErrors = [] }: TokenResponseOptions,
): TokenFailure {
  const kind = credentialErrors.includes(code) ? 'credential' : oauthFailureKind(status, normalizedCode(code));
  return {
    kind,
    detail: description === undefined ? code : `${code}: ${description}`,
    oauthError: code,
    retryAfterMs: retryAfterMs(headers),
  };
}

function oauthFailureKind(status: number, code: string): TokenFailureKind {
  if (isAboutCredential(code)) return 'credential';
  if (TRANSIENT_ERRORS.includes(code) || isTransientStatus(status)) return 'transient';
  if (status === 401) return 'credential';
  if (CONFIGURATION_ERRORS.includes(code)) return 'configuration';
  if (isSuccess(status)) return 'malformed';
  // RFC 6749 §5.2 requires 400. Another status is often a gateway's, which may use JSON as well.
  return status > 400 ? 'unexplained' : 'configuration';
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function statusFailure(response: TokenEndpointResponse): TokenFailure {
  const { status } = response;
  const detail = `HTTP ${status} without an OAuth error`;
  const waitMs = retryAfterMs(response.headers);
  if (isTransientStatus(status)) return { kind: 'transient', detail, retryAfterMs: waitMs };
  if (status === 401 || status === 403) return { kind: 'blocked', detail, retryAfterMs: waitMs };
  if (status >= 300 && status < 400) {
    return {
      kind: 'configuration',
      detail: `HTTP ${status}: a redirect, which a request with a credential does not follow`,
    };
  }
  return { kind: 'unexplained', detail, retryAfterMs: waitMs };
}

function isTransientStatus(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

function malformed(detail: string): TokenResult {
  return { ok: false, failure: { kind: 'malformed', detail } };
}

function contentType(headers: Headers): string {
  return headers.get('content-type')?.split(';', 1)[0]?.trim() || 'none';
}
