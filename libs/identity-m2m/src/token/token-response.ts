import { decodeJwt } from 'jose';
import { retryAfterMs, serverTimeMs } from '../foundation/answer-times.js';
import { isScopeName } from '../foundation/scope-name.js';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import { accessTokenLifetime, type AccessTokenLifetime, positiveSeconds } from './access-token-lifetime.js';
import { AccessToken, type AccessTokenType, isAccessTokenText } from './access-token.js';
import { TOKEN_FAILURE_KINDS, type TokenFailureKind } from './retry-schedule.js';

/** A token endpoint's answer, as it came off the wire. May hold anything, a token included. */
export interface TokenEndpointAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** An access token with what the answer said about its life. */
export interface GrantedToken {
  readonly accessToken: AccessToken;
  readonly lifetime: Extract<AccessTokenLifetime, { ok: true }>;
  /** When the server wants to see a refresh (`refresh_in`), in milliseconds after the request. */
  readonly refreshInMs?: number | undefined;
}

/** A token request that brought no token. */
export interface TokenFailure {
  readonly kind: TokenFailureKind;
  /** What was found, in words; text of the server, so not yet fit to be shown. */
  readonly detail: string;
  /** What to do about it, where more is known than the kind tells. */
  readonly advice?: string | undefined;
  readonly oauthError?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** The server's time when it answered, in milliseconds since the epoch, where it says so. */
  readonly serverTimeMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * A second opinion on what an answer that brought no token means, for servers with ways of their own.
 *
 * @returns The kind of failure, or undefined to leave it at what the standards say.
 */
export type TokenErrorClassifier = (answer: TokenEndpointAnswer) => TokenFailureKind | undefined;

/** What is peculiar to how a token endpoint refuses. */
export interface TokenErrorDialect {
  readonly classifyError?: TokenErrorClassifier | undefined;
  /** Values of `error` that mean the client's credential, besides those of RFC 6749 §5.2. */
  readonly credentialErrors?: readonly string[];
}

export type TokenOutcome =
  { readonly ok: true; readonly granted: GrantedToken } | { readonly ok: false; readonly failure: TokenFailure };

/**
 * Decides what a token endpoint's answer means.
 *
 * An OAuth error counts whatever the status: some servers refuse a secret with 200 or 500. A token counts only in a 200
 * with a JSON body whose members are unique, and only if it may go into a header as it stands.
 */
export function readTokenResponse(answer: TokenEndpointAnswer, dialect: TokenErrorDialect = {}): TokenOutcome {
  const outcome = byTheStandards(answer, dialect.credentialErrors ?? []);
  if (outcome.ok) return outcome;
  const failure = { ...outcome.failure, serverTimeMs: serverTimeMs(answer.headers) };
  return { ok: false, failure: { ...failure, kind: secondOpinion(answer, dialect.classifyError) ?? failure.kind } };
}

/** The user's own; where it fails it has no opinion. */
function secondOpinion(answer: TokenEndpointAnswer, classify: TokenErrorClassifier | undefined) {
  try {
    const kind: unknown = classify?.(answer);
    // An asynchronous one comes too late to have a say.
    if (kind instanceof Promise) kind.catch(() => {});
    return TOKEN_FAILURE_KINDS.find((known) => known === kind);
  } catch {
    return undefined;
  }
}

function byTheStandards(answer: TokenEndpointAnswer, credentialErrors: readonly string[]): TokenOutcome {
  const body = isJson(answer.headers) ? parseStrictJsonObject(answer.body) : undefined;
  if (body?.ok && typeof body.value.error === 'string') {
    const failure = oauthFailure(answer, body.value.error, body.value.error_description);
    const isOfCredential = credentialErrors.includes(body.value.error);
    return { ok: false, failure: isOfCredential ? { ...failure, kind: 'credential' } : failure };
  }
  if (answer.status !== 200) return { ok: false, failure: statusFailure(answer) };
  if (!body) return malformed('the answer is not JSON (content type ' + contentType(answer.headers) + ')');
  if (!body.ok) return malformed(`the answer is not an acceptable JSON object (${body.fault})`);
  return readGrant(body.value, answer.headers);
}

function readGrant(body: Readonly<Record<string, unknown>>, headers: Headers): TokenOutcome {
  const text = body.access_token;
  if (typeof text !== 'string') return malformed('the answer has no access_token');
  if (!isAccessTokenText(text)) return malformed('access_token has characters or a length that no token may have');
  const tokenType = readTokenType(body.token_type);
  if (!tokenType) {
    const found = typeof body.token_type === 'string' ? `"${body.token_type}"` : 'none';
    const detail = `token_type is neither Bearer nor DPoP (found ${found})`;
    return { ok: false, failure: { kind: 'configuration', detail } };
  }
  const lifetime = accessTokenLifetime({
    expiresIn: body.expires_in,
    jwt: readableClaims(text),
    serverTimeMs: serverTimeMs(headers),
  });
  if (!lifetime.ok) return malformed(lifetime.fault);
  const refreshIn = positiveSeconds(body.refresh_in);
  return {
    ok: true,
    granted: {
      accessToken: new AccessToken(text, tokenType, isScope(body.scope) ? body.scope : undefined),
      lifetime,
      refreshInMs: refreshIn === undefined ? undefined : refreshIn * 1000,
    },
  };
}

/** RFC 6749 §5.1: the value is case insensitive. */
function readTokenType(value: unknown): AccessTokenType | undefined {
  switch (typeof value === 'string' ? value.toLowerCase() : undefined) {
    case 'bearer':
      return 'Bearer';
    case 'dpop':
      return 'DPoP';
    default:
      return undefined;
  }
}

/** RFC 6749 §3.3; what does not keep to it is not for the application, which may show it. */
function isScope(value: unknown): value is string {
  return typeof value === 'string' && value.split(' ').every(isScopeName);
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

const CREDENTIAL_ERRORS = new Set(['invalid_client', 'unauthorized_client', 'invalid_grant']);
const CONFIGURATION_ERRORS = new Set([
  'access_denied',
  'invalid_request',
  'invalid_scope',
  'invalid_target',
  'unsupported_grant_type',
  'invalid_dpop_proof',
  'use_dpop_nonce',
]);
const TRANSIENT_ERRORS = new Set(['temporarily_unavailable', 'server_error', 'slow_down']);

function oauthFailure(answer: TokenEndpointAnswer, error: string, description: unknown): TokenFailure {
  return {
    kind: oauthFailureKind(answer.status, error),
    detail: typeof description === 'string' ? `${error}: ${description}` : error,
    oauthError: error,
    retryAfterMs: retryAfterMs(answer.headers),
  };
}

function oauthFailureKind(status: number, error: string): TokenFailureKind {
  if (CREDENTIAL_ERRORS.has(error)) return 'credential';
  if (TRANSIENT_ERRORS.has(error) || isTransientStatus(status)) return 'transient';
  if (status === 401) return 'credential';
  return status === 200 && !CONFIGURATION_ERRORS.has(error) ? 'malformed' : 'configuration';
}

function statusFailure(answer: TokenEndpointAnswer): TokenFailure {
  const { status } = answer;
  const detail = `HTTP ${status} without an OAuth error`;
  if (isTransientStatus(status)) return { kind: 'transient', detail, retryAfterMs: retryAfterMs(answer.headers) };
  if (status === 401) return { kind: 'credential', detail };
  if (status === 403) return { kind: 'blocked', detail, retryAfterMs: retryAfterMs(answer.headers) };
  if (status >= 200 && status < 300) return { kind: 'malformed', detail: `HTTP ${status} instead of 200` };
  if (status >= 300 && status < 400) {
    return { kind: 'configuration', detail: `HTTP ${status}: a redirect, which is not followed with a secret in hand` };
  }
  return { kind: 'configuration', detail };
}

function isTransientStatus(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

function malformed(detail: string): TokenOutcome {
  return { ok: false, failure: { kind: 'malformed', detail } };
}

function isJson(headers: Headers): boolean {
  return /^application\/(?:[\w.+-]+\+)?json$/i.test(contentType(headers));
}

function contentType(headers: Headers): string {
  return headers.get('content-type')?.split(';', 1)[0]?.trim() || 'none';
}
