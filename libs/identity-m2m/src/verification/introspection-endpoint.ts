import { discoverAuthorizationServer } from '../foundation/authorization-server-discovery.js';
import { type BoundedFetch, isStaleConnection } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
import { parseStrictJsonObject } from '../foundation/strict-json.js';
import { type IntrospectionAnswer, readIntrospectionAnswer } from './introspection-answer.js';
import type { IntrospectionAuthentication } from './introspection-authentication.js';
import type { KeySet } from './key-set.js';
import { addressOfIssuer } from './remote-key-source.js';
import { verifySignedAnswer } from './signed-introspection-answer.js';

export interface IntrospectionEndpointOptions {
  readonly issuer: string;
  /** Address of the endpoint; where absent, it is found through the issuer's metadata. */
  readonly endpoint?: string | undefined;
  readonly authenticate: IntrospectionAuthentication;
  /** Client identifier that answers must be signed for (RFC 9701); undefined: they are not signed. */
  readonly signedFor: string | undefined;
  readonly timesAsText: boolean;
  readonly keys: KeySet;
  readonly algorithms: readonly string[];
  readonly http: HttpAllowance;
  readonly fetch: BoundedFetch;
  readonly clock: Clock;
}

/** An issuer could not be asked about a token, or its answer is not understood. Callers see it as a refusal. */
export class IntrospectionError extends IdentityM2MError {
  readonly code = 'M2M_INTROSPECTION_FAILED';

  constructor(
    message: string,
    /** When the issuer wants to be asked again, in seconds. */
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

/**
 * An issuer, or what stands before it, would not take a question because of the token in it. Says nothing about any other
 * token: anybody can make up one that a firewall or a limit stumbles over.
 */
export class QuestionRejectedError extends IntrospectionError {}

/** Asks an issuer about one token at a time, by RFC 7662. */
export class IntrospectionEndpoint {
  #discovered: string | undefined;

  constructor(private readonly options: IntrospectionEndpointOptions) {}

  /** @throws `IdentityM2MError` where there is no answer that can be believed. None holds the token. */
  async ask(token: string, signal: AbortSignal): Promise<IntrospectionAnswer> {
    const { authenticate, fetch, signedFor } = this.options;
    const endpoint = this.options.endpoint ?? (this.#discovered ??= await this.#discover(signal));
    const { headers, body } = await authenticate({ endpoint });
    const question = {
      method: 'POST',
      headers: {
        ...headers,
        accept: signedFor === undefined ? 'application/json' : 'application/token-introspection+jwt',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ ...body, token, token_type_hint: 'access_token' }),
      signal,
    };
    const response = await fetch(endpoint, question).catch((error: unknown) => {
      // A question changes nothing, so it may be asked twice.
      if (isStaleConnection(error)) return fetch(endpoint, question);
      throw error;
    });
    if (!response.ok) throw await problemOf(response, endpoint);
    const answer = await this.#read(response);
    if (!answer) throw new IntrospectionError(`the answer of introspection at ${endpoint} is not understood`);
    return answer;
  }

  async #discover(signal: AbortSignal): Promise<string> {
    const { issuer, http, fetch } = this.options;
    const metadata = await discoverAuthorizationServer({
      issuer,
      member: 'introspection_endpoint',
      http,
      fetch,
      signal,
    });
    return addressOfIssuer(issuer, metadata.introspection_endpoint, 'introspection_endpoint', http);
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

/** RFC 8259 §11, RFC 6839 §3.1, and what was in use before. A page that echoes a token is none. */
function isJson(type: string | undefined): boolean {
  return type === 'application/json' || type === 'text/json' || type?.endsWith('+json') === true;
}

/** Client errors that are about whoever asks, or about the moment: the same with any token. */
const NOT_ABOUT_THE_TOKEN = [401, 407, 408, 425, 429];

/** Codes of RFC 6749 §4.1.2.1 and §5.2, and of RFC 6750 §3.1, that refuse whoever asks. */
const CREDENTIAL_ERRORS: readonly unknown[] = [
  'invalid_client',
  'unauthorized_client',
  'access_denied',
  'insufficient_scope',
];

/** RFC 7662 §2.3 knows errors about the guard's own credentials alone, not about the token that is asked about. */
async function problemOf(response: Response, endpoint: string): Promise<IntrospectionError> {
  const { status, headers } = response;
  const isClientError = status >= 400 && status < 500;
  if (status === 401 || (isClientError && (await refusesCredentials(response)))) {
    return new IntrospectionError(`introspection at ${endpoint} refuses the guard's own credentials (HTTP ${status})`);
  }
  const problem = `introspection at ${endpoint} was answered with HTTP ${status}`;
  return isClientError && !NOT_ABOUT_THE_TOKEN.includes(status)
    ? new QuestionRejectedError(problem)
    : new IntrospectionError(problem, retryAfterSeconds(headers));
}

async function refusesCredentials(response: Response): Promise<boolean> {
  const document = parseStrictJsonObject(await response.text());
  return document.ok && CREDENTIAL_ERRORS.includes(document.value.error);
}

function retryAfterSeconds(headers: Headers): number | undefined {
  const value = headers.get('retry-after');
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
