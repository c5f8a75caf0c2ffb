import { parseStrictJson } from '../foundation/strict-json.js';
import { callOption } from './outbound-events.js';
import { TOKEN_FAILURE_KINDS, type TokenFailureKind } from './token-result.js';

/** A token endpoint's response as received. May hold anything, including a token. */
export interface TokenEndpointResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A token endpoint's response, as `readTokenResponse` receives it. */
export interface TokenResponse extends TokenEndpointResponse {
  /** The parsed body; undefined if the body is not JSON, or has a member name twice. */
  readonly json: unknown;
}

/** A grant with the member names of RFC 6749 §5.1, whichever names the server uses. */
export interface TokenResponseGrant {
  readonly access_token: string;
  /** `Bearer` or `DPoP`. Default: `Bearer`. */
  readonly token_type?: string | undefined;
  /** Lifetime in seconds. Default: that of a readable JWT, otherwise 300. */
  readonly expires_in?: number | string | undefined;
  /** The granted scopes, separated by spaces. */
  readonly scope?: string | undefined;
  /** When the server expects a refresh, in seconds after the request. */
  readonly refresh_in?: number | string | undefined;
}

/** An error with the member names of RFC 6749 §5.2. */
export interface TokenResponseError {
  readonly error: string;
  readonly error_description?: string | undefined;
}

/** Meaning of a response: a grant, an error, or a kind of failure; undefined to read it by the standard. */
export type TokenResponseReading =
  TokenResponseGrant | TokenResponseError | Exclude<TokenFailureKind, 'certificate'> | undefined;

/**
 * Reads the responses of a token endpoint that does not follow RFC 6749. Called with each response, before the standard
 * reader.
 *
 * Every limit still applies: size of the response, characters and length of the token, lifetime, and DPoP binding. If
 * it throws, or returns a promise or an invalid value, the response is read by the standard and `option.failed` is
 * emitted once.
 */
export type TokenResponseReader = (response: TokenResponse) => TokenResponseReading;

/** Members of a reading that count. */
type Members = { readonly [Name in keyof (TokenResponseGrant & TokenResponseError)]?: unknown };

/** What a reader found. */
type Finding =
  | { readonly type: 'none' }
  | { readonly type: 'failure'; readonly kind: TokenFailureKind }
  | { readonly type: 'members'; readonly members: Members };

/** Checked result of a reader. */
export type ReaderResult = Finding | { readonly type: 'invalid'; readonly problem: string };

/** Calls a reader, which is application code. */
export function callReader(
  reader: TokenResponseReader,
  { status, headers, body }: TokenEndpointResponse,
): ReaderResult {
  const parsed = parseStrictJson(body);
  // Copies, so that a reader that changes them does not affect other readers.
  const response = { status, headers: new Headers(headers), body, json: parsed.ok ? parsed.value : undefined };
  const result = callOption(() => reader(response), findingOf, 'a grant nor an error nor a kind of failure');
  return 'problem' in result ? { type: 'invalid', ...result } : result.value;
}

function findingOf(reading: unknown): Finding | undefined {
  if (reading === undefined) return { type: 'none' };
  const kind = TOKEN_FAILURE_KINDS.find((known) => known === reading && known !== 'certificate');
  if (kind) return { type: 'failure', kind };
  const members = membersOf(reading);
  return members && { type: 'members', members };
}

function membersOf(reading: unknown): Members | undefined {
  if (typeof reading !== 'object' || reading === null) return undefined;
  const { access_token, token_type, expires_in, scope, refresh_in, error, error_description } = reading as Members;
  if (access_token === undefined && error === undefined) return undefined;
  return { access_token, token_type, expires_in, scope, refresh_in, error, error_description };
}
