import { decodeJwt } from 'jose';
import { retryAfterMs, serverTimeMs } from '../foundation/http-dates.js';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import { isScopeName } from '../foundation/text.js';
import { AccessToken, type AccessTokenType, isAccessTokenText } from './access-token.js';
import { errorBesideGrant, normalizedCode, type OAuthError, oauthErrorIn } from './oauth-error.js';
import type { WarnOfClient } from './outbound-events.js';
import { askReader, type TokenEndpointAnswer, type TokenResponseReader } from './token-response-reader.js';
import { accessTokenLifetime, positiveSeconds } from './access-token-lifetime.js';
import type { TokenFailureKind, TokenFailure, TokenResult } from './token-result.js';

/** What is peculiar to the answers of one token endpoint. */
export interface TokenResponseDialect {
  /** Asked in this order; the first that has an opinion counts. */
  readonly readers?: readonly TokenResponseReader[];
  /** Values of `error` that mean the client's credential, besides those of RFC 6749 §5.2. */
  readonly credentialErrors?: readonly string[];
  /** Called with what is odd about an answer that is used all the same. */
  readonly warn?: WarnOfClient;
  /** Called with what a reader did in place of its task. */
  readonly tellReaderFailure?: (problem: string) => void;
}

/**
 * Decides what a token endpoint's answer means.
 *
 * The body decides, and not its media type. Any 2xx with a JSON object that holds an `access_token` and no error is a
 * grant, provided that its members are unique and the token fits into a header as it stands. An OAuth error counts with
 * any status: some servers refuse a secret with 200 or 500.
 */
export function readTokenResponse(answer: TokenEndpointAnswer, dialect: TokenResponseDialect = {}): TokenResult {
  const outcome = byReaders(answer, dialect) ?? byTheStandards(answer, dialect);
  if (outcome.ok) return outcome;
  return { ok: false, failure: { ...outcome.failure, serverTimeMs: serverTimeMs(answer.headers) } };
}

/** What the first reader says that has an opinion. */
function byReaders(answer: TokenEndpointAnswer, dialect: TokenResponseDialect): TokenResult | undefined {
  for (const reader of dialect.readers ?? []) {
    const opinion = askReader(reader, answer);
    switch (opinion.type) {
      case 'kind':
        return failureOfKind(opinion.kind, answer, dialect);
      case 'members':
        return readMembers(opinion.members, answer, dialect);
      case 'useless':
        dialect.tellReaderFailure?.(opinion.problem);
    }
  }
  return undefined;
}

/** What the standards say, but for the kind. */
function failureOfKind(kind: TokenFailureKind, answer: TokenEndpointAnswer, dialect: TokenResponseDialect) {
  const outcome = byTheStandards(answer, { credentialErrors: dialect.credentialErrors ?? [] });
  if (!outcome.ok) return { ok: false, failure: { ...outcome.failure, kind, advice: undefined } } as const;
  const detail = `HTTP ${answer.status}, which readTokenResponse takes for a failure`;
  return { ok: false, failure: { kind, detail } } as const;
}

function byTheStandards(answer: TokenEndpointAnswer, dialect: TokenResponseDialect): TokenResult {
  const { status, headers, body } = answer;
  if (!isSuccess(status)) {
    const error = oauthErrorIn(answer, (code) => isKnown(code, dialect));
    return { ok: false, failure: error ? oauthFailure(error, answer, dialect) : statusFailure(answer) };
  }
  const json = parseStrictJsonObject(body);
  if (json.ok && typeof json.value.access_token === 'string') return readMembers(json.value, answer, dialect);
  const error = oauthErrorIn(answer, (code) => isKnown(code, dialect));
  if (error) return { ok: false, failure: oauthFailure(error, answer, dialect) };
  if (json.ok) return malformed('the answer has no access_token');
  const found = `HTTP ${status}, content type ${contentType(headers)}`;
  return malformed(`the answer is not an acceptable JSON object (${json.fault}; ${found})`);
}

/** Reads what has the members of RFC 6749 §5, whoever put them there. */
function readMembers(
  members: Readonly<Record<string, unknown>>,
  answer: TokenEndpointAnswer,
  dialect: TokenResponseDialect,
): TokenResult {
  const error = errorBesideGrant(members);
  return error
    ? { ok: false, failure: oauthFailure(error, answer, dialect) }
    : readGrant(members, answer.headers, dialect);
}

function readGrant(
  members: Readonly<Record<string, unknown>>,
  headers: Headers,
  { warn }: TokenResponseDialect,
): TokenResult {
  const text = members.access_token;
  if (typeof text !== 'string') return malformed('the answer has no access_token');
  if (!isAccessTokenText(text)) return malformed('access_token has characters or a length that no token may have');
  const tokenType = readTokenType(members.token_type);
  if (!tokenType) return unknownTokenType(members.token_type);
  const lifetime = accessTokenLifetime({
    expiresIn: members.expires_in,
    jwt: readableClaims(text),
    serverTimeMs: serverTimeMs(headers),
  });
  if (!lifetime) return malformed('expires_in is not a positive number of seconds');
  if (tokenType === 'missing') {
    warn?.('token_type_missing', 'its grants have no token_type, which RFC 6749 §5.1 demands; they are used as Bearer');
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

/** RFC 6749 §5.1: the value is case insensitive. */
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
  const advice = 'If it stands for Bearer at this server, say so by the option readTokenResponse.';
  return { ok: false, failure: { kind: 'configuration', detail, advice } };
}

/** RFC 6749 §3.3. What has other characters is not for the application, which may show it. */
function readScope(value: unknown): string | undefined {
  const names = (Array.isArray(value) ? (value as unknown[]) : [value]).flatMap((one) =>
    typeof one === 'string' ? one.split(' ').filter((name) => name !== '') : [undefined],
  );
  return names.length > 0 && names.every(isScopeName) ? names.join(' ') : undefined;
}

/** Time claims of a token that happens to be a JWT. Not verified: they can only shorten what the server said itself. */
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

/** Of vendors: `invalid_client_id`, `bad_client_secret`, `incorrect_client_credentials`. */
const CREDENTIAL_OF_CLIENT = /(?:^|_)client_?(?:id|secret|credentials?)(?:_|$)/;

function isKnown(code: string, { credentialErrors = [] }: TokenResponseDialect): boolean {
  return KNOWN_ERRORS.has(code) || isAboutCredential(code) || credentialErrors.includes(code);
}

/** @param code As `normalizedCode` has it. */
function isAboutCredential(code: string): boolean {
  return CREDENTIAL_ERRORS.includes(code) || CREDENTIAL_OF_CLIENT.test(code);
}

function oauthFailure(
  { code, description }: OAuthError,
  { status, headers }: TokenEndpointAnswer,
  { credentialErrors = [] }: TokenResponseDialect,
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
  // RFC 6749 §5.2 has 400. What a gateway says of itself is in JSON as often as not.
  return status > 400 ? 'unexplained' : 'configuration';
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function statusFailure(answer: TokenEndpointAnswer): TokenFailure {
  const { status } = answer;
  const detail = `HTTP ${status} without an OAuth error`;
  const waitMs = retryAfterMs(answer.headers);
  if (isTransientStatus(status)) return { kind: 'transient', detail, retryAfterMs: waitMs };
  if (status === 401 || status === 403) return { kind: 'blocked', detail, retryAfterMs: waitMs };
  if (status >= 300 && status < 400) {
    return { kind: 'configuration', detail: `HTTP ${status}: a redirect, which is not followed with a secret in hand` };
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
