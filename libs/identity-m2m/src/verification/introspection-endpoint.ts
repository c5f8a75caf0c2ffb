import { addressOfIssuer, discoverAuthorizationServer } from '../foundation/authorization-server-discovery.js';
import { type BoundedFetch, repeatOnStaleConnection } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { retryAfterMs } from '../foundation/http-dates.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import type { PlainHttp } from '../foundation/url.js';
import type { Claims } from '../identity-providers/identity-provider.js';
import { parseCompactJws, verifyJws } from './compact-jws.js';
import type { IntrospectionAuthentication, IntrospectionProof } from './introspection-authentication.js';
import type { KeySet } from './key-set.js';
import { statedClaims } from './claims-policy.js';

export interface IntrospectionEndpointOptions {
  readonly issuer: string;
  /** Address of the endpoint; if absent, it is discovered through the issuer's metadata. */
  readonly endpoint?: string | undefined;
  readonly authenticate: IntrospectionAuthentication;
  /** Client identifier that signed responses must be addressed to (RFC 9701); undefined: responses are not signed. */
  readonly signedFor: string | undefined;
  readonly timesAsText: boolean;
  readonly keys: KeySet;
  readonly algorithms: readonly string[];
  readonly plainHttp: PlainHttp;
  readonly fetch: BoundedFetch;
  readonly clock: Clock;
}

/** Introspection failed, or its response is invalid. Callers get a refusal. */
export class IntrospectionError extends IdentityM2MError {
  readonly code = 'M2M_INTROSPECTION_FAILED';

  constructor(
    message: string,
    /** Value of `Retry-After`, in milliseconds. */
    readonly retryAfterMs?: number,
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }
}

/**
 * An issuer, or a proxy before it, rejected a request because of its token. Other tokens are not affected: any caller
 * can make up a token that a firewall or a limit rejects.
 */
export class IntrospectionRejectedError extends IntrospectionError {}

/** Checks tokens with an issuer, one at a time (RFC 7662). */
export class IntrospectionEndpoint {
  #discovered: string | undefined;

  constructor(private readonly options: IntrospectionEndpointOptions) {}

  /** @throws `IdentityM2MError` where there is no valid response. No error holds the token. */
  async ask(token: string, signal: AbortSignal): Promise<IntrospectionAnswer> {
    const { fetch, signedFor } = this.options;
    const endpoint = this.options.endpoint ?? (this.#discovered ??= await this.#discover(signal));
    const { headers, body } = await this.#authenticate(endpoint);
    const request = {
      method: 'POST',
      headers: {
        ...headers,
        accept: signedFor === undefined ? 'application/json' : 'application/token-introspection+jwt',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ ...body, token, token_type_hint: 'access_token' }),
      signal,
    };
    // Introspection changes nothing, so it may be repeated.
    const response = await repeatOnStaleConnection(() => fetch(endpoint, request));
    if (!response.ok) throw await problemOf(response, endpoint);
    const answer = await this.#read(response);
    if (!answer) throw new IntrospectionError(`introspection at ${endpoint} returned an invalid response`);
    return answer;
  }

  async #authenticate(endpoint: string): Promise<IntrospectionProof> {
    try {
      return await this.options.authenticate({ endpoint });
    } catch (cause) {
      if (cause instanceof IdentityM2MError) throw cause;
      // The error's text is not shown, because a vault's error may contain a URL with a token. It becomes the cause.
      const problem = 'the credentials of the guard for introspection could not be read (see the cause)';
      throw new IntrospectionError(problem, undefined, { cause });
    }
  }

  async #discover(signal: AbortSignal): Promise<string> {
    const { issuer, plainHttp, fetch } = this.options;
    const metadata = await discoverAuthorizationServer({
      issuer,
      member: 'introspection_endpoint',
      plainHttp,
      fetch,
      signal,
    });
    return addressOfIssuer(issuer, metadata.introspection_endpoint, 'introspection_endpoint', plainHttp);
  }

  async #read(response: Response): Promise<IntrospectionAnswer | undefined> {
    const { issuer, signedFor, timesAsText, keys, algorithms, clock } = this.options;
    const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
    const text = await response.text();
    if (signedFor === undefined) {
      return isJson(type) ? readIntrospectionAnswer(text, timesAsText) : undefined;
    }
    if (type !== 'application/token-introspection+jwt') return undefined;
    const nowSeconds = clock.now().wallMs / 1000;
    return verifySignedAnswer(text.trim(), { issuer, clientId: signedFor, keys, algorithms, timesAsText, nowSeconds });
  }
}

/** RFC 8259 §11, RFC 6839 §3.1, and `text/json` of older servers. Excludes HTML pages, which may echo a token. */
function isJson(type: string | undefined): boolean {
  return type === 'application/json' || type === 'text/json' || type?.endsWith('+json') === true;
}

/** Client errors that do not depend on the token. */
const NOT_ABOUT_THE_TOKEN = [401, 407, 408, 425, 429];

/** Codes of RFC 6749 §4.1.2.1 and §5.2, and of RFC 6750 §3.1, about the guard's own credentials. */
const CREDENTIAL_ERRORS: readonly unknown[] = [
  'invalid_client',
  'unauthorized_client',
  'access_denied',
  'insufficient_scope',
];

/** RFC 7662 §2.3 defines only errors about the guard's own credentials, and none about the token. */
async function problemOf(response: Response, endpoint: string): Promise<IntrospectionError> {
  const { status, headers } = response;
  const isClientError = status >= 400 && status < 500;
  if (status === 401 || (isClientError && (await refusesCredentials(response)))) {
    return new IntrospectionError(`introspection at ${endpoint} rejected the guard's own credentials (HTTP ${status})`);
  }
  const problem = `introspection at ${endpoint} returned HTTP ${status}`;
  return isClientError && !NOT_ABOUT_THE_TOKEN.includes(status)
    ? new IntrospectionRejectedError(problem)
    : new IntrospectionError(problem, retryAfterMs(headers));
}

async function refusesCredentials(response: Response): Promise<boolean> {
  const document = parseStrictJsonObject(await response.text());
  return document.ok && CREDENTIAL_ERRORS.includes(document.value.error);
}

/** An issuer's response about a token. */
export type IntrospectionAnswer = { readonly active: true; readonly claims: Claims } | { readonly active: false };

/**
 * Reads an introspection response (RFC 7662 §2.2).
 *
 * `active` must be true or false: a response with the string "true" is invalid.
 *
 * @param timesAsText Whether times may be strings of digits, as some servers send them.
 * @returns undefined if the response is invalid.
 */
function readIntrospectionAnswer(json: string, timesAsText: boolean): IntrospectionAnswer | undefined {
  const document = parseStrictJsonObject(json);
  return document.ok ? introspectionAnswer(document.value, timesAsText) : undefined;
}

function introspectionAnswer(
  { active, ...claims }: Readonly<Record<string, unknown>>,
  timesAsText: boolean,
): IntrospectionAnswer | undefined {
  if (active === false) return { active };
  if (active !== true) return undefined;
  return { active, claims: withoutEmptyAudience(statedClaims(timesAsText ? withTimes(claims) : claims)) };
}

/** Removes an empty list of audiences, which some servers send if no audience was granted. */
function withoutEmptyAudience({ aud, ...rest }: Claims): Claims {
  return aud === undefined || (Array.isArray(aud) && aud.length === 0) ? rest : { ...rest, aud };
}

function withTimes(claims: Claims): Claims {
  const times = ['exp', 'iat', 'nbf'].flatMap((name) => {
    const value = claims[name];
    return typeof value === 'string' && /^\d{1,12}$/.test(value) ? [[name, Number(value)]] : [];
  });
  return { ...claims, ...Object.fromEntries(times) };
}

interface SignedAnswerExpectation {
  readonly issuer: string;
  /** The guard's own client identifier, which the response must be addressed to. */
  readonly clientId: string;
  readonly keys: KeySet;
  readonly algorithms: readonly string[];
  readonly timesAsText: boolean;
  readonly nowSeconds: number;
}

/** Longest signed response that is read, in characters. */
const MAX_ANSWER_LENGTH = 65_536;

/** Largest age of a response, and largest lead of the issuer's clock, in seconds: an older response is a replay. */
const MAX_DEVIATION_SECONDS = 120;

/**
 * Verifies and reads a signed introspection response (RFC 9701 §5, §8.1).
 *
 * @returns undefined if it is not a current response of this issuer to this guard.
 */
async function verifySignedAnswer(
  text: string,
  { issuer, clientId, keys, algorithms, timesAsText, nowSeconds }: SignedAnswerExpectation,
): Promise<IntrospectionAnswer | undefined> {
  if (text.length > MAX_ANSWER_LENGTH) return undefined;
  const jws = parseCompactJws(text);
  if (!jws.ok) return undefined;
  const { alg, kid, typ } = jws.header;
  const isOfType = typeof typ === 'string' && /^(?:application\/)?token-introspection\+jwt$/i.test(typ);
  const isKidText = kid === undefined || typeof kid === 'string';
  if (!isOfType || !isKidText || typeof alg !== 'string' || !algorithms.includes(alg)) return undefined;
  if (Object.hasOwn(jws.header, 'crit') || Object.hasOwn(jws.header, 'b64')) return undefined;
  const signer = await verifyJws(text, { kid, algorithm: alg }, keys);
  if ('ok' in signer) return undefined;
  const { iss, aud, iat, token_introspection: answer } = jws.claims;
  const isForUs = aud === clientId || (Array.isArray(aud) && aud.includes(clientId));
  const isFromNow = typeof iat === 'number' && Math.abs(nowSeconds - iat) <= MAX_DEVIATION_SECONDS;
  if (iss !== issuer || !isForUs || !isFromNow) return undefined;
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return undefined;
  return introspectionAnswer(answer as Readonly<Record<string, unknown>>, timesAsText);
}
