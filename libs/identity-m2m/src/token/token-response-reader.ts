import { parseStrictJson } from '../foundation/strict-json.js';
import { TOKEN_FAILURE_KINDS, type TokenFailureKind } from './token-result.js';

/** A token endpoint's answer, as it came off the wire. May hold anything, a token included. */
export interface TokenEndpointAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A token endpoint's answer as `readTokenResponse` is given it. */
export interface TokenResponse extends TokenEndpointAnswer {
  /** The body's JSON value; undefined where the body is not JSON, or has two members of one name. */
  readonly json: unknown;
}

/** A grant by the member names of RFC 6749 §5.1, whatever names the server uses. */
export interface TokenResponseGrant {
  readonly access_token: string;
  /** `Bearer` or `DPoP`. Default: `Bearer`. */
  readonly token_type?: string | undefined;
  /** Lifetime in seconds. Default: that of a readable JWT, otherwise 300. */
  readonly expires_in?: number | string | undefined;
  /** What was granted; names divided by blanks. */
  readonly scope?: string | undefined;
  /** When the server wants to see a refresh, in seconds after the request. */
  readonly refresh_in?: number | string | undefined;
}

/** A refusal by the member names of RFC 6749 §5.2. */
export interface TokenResponseError {
  readonly error: string;
  readonly error_description?: string | undefined;
}

/** What an answer means: a grant, an error, or a kind of failure; undefined for what the standards say. */
export type TokenResponseReading =
  TokenResponseGrant | TokenResponseError | Exclude<TokenFailureKind, 'certificate'> | undefined;

/**
 * Reads the answers of a token endpoint that has a form of its own. Asked about each answer, before the standards are.
 *
 * It lifts no limit: size of the answer, characters and length of the token, its lifetime and its binding are checked as
 * for any other. Where it throws, or returns a promise or anything else, it has no say.
 */
export type TokenResponseReader = (response: TokenResponse) => TokenResponseReading;

/** Members of a reading that count. */
type Members = { readonly [Name in keyof (TokenResponseGrant & TokenResponseError)]?: unknown };

/** The opinion of a reader. */
export type ReaderOpinion =
  | { readonly type: 'none' }
  | { readonly type: 'kind'; readonly kind: TokenFailureKind }
  | { readonly type: 'members'; readonly members: Members }
  /** What came of it is of no use. */
  | { readonly type: 'useless'; readonly problem: string };

/** Asks a reader, which is the application's own code. What it throws may quote the token, and goes no further. */
export function askReader(reader: TokenResponseReader, answer: TokenEndpointAnswer): ReaderOpinion {
  try {
    const { status, headers, body } = answer;
    const parsed = parseStrictJson(body);
    // Copies: what is done to them must not change what others read.
    const response = { status, headers: new Headers(headers), body, json: parsed.ok ? parsed.value : undefined };
    const reading: unknown = reader(response);
    if (reading === undefined) return { type: 'none' };
    if (reading instanceof Promise) {
      reading.catch(() => {});
      return { type: 'useless', problem: 'returned a promise, which comes too late,' };
    }
    const kind = TOKEN_FAILURE_KINDS.find((known) => known === reading && known !== 'certificate');
    if (kind) return { type: 'kind', kind };
    const members = membersOf(reading);
    if (members) return { type: 'members', members };
    return { type: 'useless', problem: 'returned neither a grant nor an error nor a kind of failure' };
  } catch (error) {
    return { type: 'useless', problem: `threw a ${error instanceof Error ? error.constructor.name : typeof error}` };
  }
}

function membersOf(reading: unknown): Members | undefined {
  if (typeof reading !== 'object' || reading === null) return undefined;
  const { access_token, token_type, expires_in, scope, refresh_in, error, error_description } = reading as Members;
  if (access_token === undefined && error === undefined) return undefined;
  return { access_token, token_type, expires_in, scope, refresh_in, error, error_description };
}
