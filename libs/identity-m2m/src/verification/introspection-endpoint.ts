import { discoverAuthorizationServer } from '../foundation/authorization-server-discovery.js';
import type { BoundedFetch } from '../foundation/bounded-fetch.js';
import type { Clock } from '../foundation/clock.js';
import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import type { HttpAllowance } from '../foundation/secure-url.js';
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

/** Asks an issuer about one token at a time, by RFC 7662. */
export class IntrospectionEndpoint {
  #discovered: string | undefined;

  constructor(private readonly options: IntrospectionEndpointOptions) {}

  /** @throws `IdentityM2MError` where there is no answer that can be believed. None holds the token. */
  async ask(token: string, signal: AbortSignal): Promise<IntrospectionAnswer> {
    const { authenticate, fetch, signedFor } = this.options;
    const endpoint = this.options.endpoint ?? (this.#discovered ??= await this.#discover(signal));
    const { headers, body } = await authenticate({ endpoint });
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        ...headers,
        accept: signedFor === undefined ? 'application/json' : 'application/token-introspection+jwt',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ ...body, token, token_type_hint: 'access_token' }),
      signal,
    });
    const problem = statusProblem(response.status);
    if (problem) {
      throw new IntrospectionError(`introspection at ${endpoint} ${problem}`, retryAfterSeconds(response.headers));
    }
    const answer = await this.#read(response);
    if (!answer) throw new IntrospectionError(`the answer of introspection at ${endpoint} is not understood`);
    return answer;
  }

  async #discover(signal: AbortSignal): Promise<string> {
    const { issuer, http, fetch } = this.options;
    const metadata = await discoverAuthorizationServer({ issuer, http, fetch, signal });
    return addressOfIssuer(issuer, metadata.introspection_endpoint, 'introspection_endpoint', http);
  }

  async #read(response: Response): Promise<IntrospectionAnswer | undefined> {
    const { issuer, signedFor, timesAsText, keys, algorithms, clock } = this.options;
    const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
    const text = await response.text();
    if (signedFor === undefined) {
      return type === 'application/json' ? readIntrospectionAnswer(text, timesAsText) : undefined;
    }
    if (type !== 'application/token-introspection+jwt') return undefined;
    const nowSeconds = clock.now().wallMs / 1000;
    return verifySignedAnswer(text.trim(), { issuer, clientId: signedFor, keys, algorithms, timesAsText, nowSeconds });
  }
}

function statusProblem(status: number): string | undefined {
  if (status === 200) return undefined;
  if (status === 401 || status === 403) return `refuses the guard's own credentials (HTTP ${status})`;
  return `was answered with HTTP ${status}`;
}

function retryAfterSeconds(headers: Headers): number | undefined {
  const value = headers.get('retry-after');
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
