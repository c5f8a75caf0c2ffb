import { allowInsecureRequests, customFetch, genericTokenEndpointRequest } from 'oauth4webapi';
import type { ClientCredential } from '../credentials/client-authentication.js';
import type { DpopProver } from '../credentials/dpop-prover.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import {
  type BoundedFetch,
  type BoundedFetchInit,
  HttpExchangeError,
  isStaleConnection,
} from '../foundation/bounded-fetch.js';
import type { Clock, Instant } from '../foundation/clock.js';
import type { WarnOfClient } from './outbound-events.js';
import { issuedTokens, sentCredentials, SHORTEST_REDACTED, redactCredentials } from './credential-redaction.js';
import type { BodyParameters } from './token-parameters.js';
import { unexpectedFailure } from './token-errors.js';
import type { TokenEndpointAnswer } from './token-response-reader.js';
import { readTokenResponse, type TokenResponseDialect } from './token-response.js';
import type { ServerMetadata, TokenServerMetadata } from './server-metadata.js';
import type { TokenFailure, TokenResult } from './token-result.js';

/** How the parameters of a token request are written into its body. */
export type TokenRequestFormat =
  /** `application/x-www-form-urlencoded`, as RFC 6749 §4.4.2 demands. */
  | 'form'
  /** A JSON object, for servers that want one. */
  | 'json';

export interface TokenEndpointOptions {
  readonly server: ServerMetadata;
  readonly clientId: string;
  readonly requestFormat: TokenRequestFormat;
  /** Sent with each token request besides those that the protocol needs. A function, because there may be secrets in them. */
  readonly requestHeaders: () => Readonly<Record<string, string>>;
  /** Binds tokens to a key (RFC 9449), where that is wanted. */
  readonly dpop: DpopProver | undefined;
  readonly dialect: TokenResponseDialect & { readonly warn: WarnOfClient };
  readonly fetch: BoundedFetch;
  readonly clock: Clock;
}

export interface TokenRequest {
  readonly grantType: string;
  readonly credential: ClientCredential;
  /** Members of the body besides `grant_type` and what authenticates the client. */
  readonly parameters: BodyParameters;
  /** By how much the server's clock is known to be ahead of ours, in milliseconds. */
  readonly serverAheadMs: number;
  /** Called just before the credential is sent, each time. */
  readonly onSend: () => void;
}

/** The result of one token request, with the moments that the token's age is measured from. */
export type TimedTokenResult = TokenResult & {
  /** Just before the request was sent. */
  readonly requestedAt: Instant;
  /** When the answer was complete. */
  readonly receivedAt: Instant;
};

/** What is known about the sending of one token request, which may take several HTTP requests. */
interface Exchange {
  /** Just before the last of them. */
  requestedAt: Instant;
  /** Every spelling of what proved the client. */
  readonly sent: string[];
  /** Whether one met a stale connection, and was sent again. */
  isRepeated: boolean;
}

/** Sends token requests (RFC 6749 §3.2) to one token endpoint, over a transport of its own. */
export class TokenEndpoint {
  constructor(private readonly options: TokenEndpointOptions) {}

  /** Sends one token request. Whatever goes wrong is a result, not an exception. */
  async request(request: TokenRequest, signal: AbortSignal): Promise<TimedTokenResult> {
    const { clock, server } = this.options;
    const exchange: Exchange = { requestedAt: clock.now(), sent: [], isRepeated: false };
    const timed = (outcome: TokenResult) => ({
      ...outcome,
      requestedAt: exchange.requestedAt,
      receivedAt: clock.now(),
    });
    this.#warnOfShortSecret(request.credential);
    try {
      const found = await server.metadata(signal, request.credential.tls);
      const metadata = server.addressed(atEndpointFor(found, request.credential), 'token_endpoint');
      let answer = await this.#send(metadata, request, exchange, signal);
      // RFC 9449 §8: the first answer may only have been to say which nonce to use.
      if (isNonceWanted(answer) && this.#learnNonce(metadata, answer)) {
        answer = await this.#send(metadata, request, exchange, signal);
      }
      this.#learnNonce(metadata, answer);
      const outcome = this.#judge(answer);
      if (outcome.ok) return timed(outcome);
      if (outcome.failure.kind === 'configuration' || outcome.failure.kind === 'unexplained') server.doubt();
      const credentials = [...exchange.sent, ...issuedTokens(answer.body)];
      const failure = withoutCredentials(outcome.failure, credentials);
      const isRefused = failure.kind === 'credential' || failure.kind === 'blocked';
      return timed({
        ok: false,
        failure: isRefused ? { ...failure, remark: this.#remark(request.credential) } : failure,
      });
    } catch (error) {
      server.doubt();
      return timed({ ok: false, failure: exchangeFailure(error) });
    }
  }

  #remark({ remark, isTimed }: ClientCredential): string | undefined {
    return remark ?? (isTimed ? this.options.server.assertionRemark : undefined);
  }

  #warnOfShortSecret({ secrets }: ClientCredential): void {
    if (secrets.every((secret) => secret.reveal().length >= SHORTEST_REDACTED)) return;
    const short = `its client secret has fewer than ${SHORTEST_REDACTED} characters`;
    this.options.dialect.warn(
      'secret_too_short',
      `${short}: it can be guessed, and is not taken out of what the server writes`,
    );
  }

  /** Once more, with a new proof, where the connection was one that the server had given up. */
  async #send(
    metadata: TokenServerMetadata,
    request: TokenRequest,
    exchange: Exchange,
    signal: AbortSignal,
  ): Promise<TokenEndpointAnswer> {
    try {
      return await this.#exchange(metadata, request, exchange, signal);
    } catch (error) {
      if (exchange.isRepeated || !isStaleConnection(error)) throw error;
      exchange.isRepeated = true;
      return this.#exchange(metadata, request, exchange, signal);
    }
  }

  async #exchange(
    metadata: TokenServerMetadata,
    { grantType, credential, parameters, serverAheadMs, onSend }: TokenRequest,
    exchange: Exchange,
    signal: AbortSignal,
  ): Promise<TokenEndpointAnswer> {
    const { clientId, clock, dpop, fetch } = this.options;
    const response = await genericTokenEndpointRequest(
      metadata,
      { client_id: clientId },
      credential.proof(new Date(clock.now().wallMs + serverAheadMs)),
      grantType,
      parameters.map(([name, value]) => [name, value]),
      {
        headers: {
          'user-agent': 'nestjs-identity-m2m',
          ...(dpop && { dpop: await dpop.proof({ method: 'POST', url: metadata.token_endpoint }) }),
        },
        signal,
        // Whether plain http is acceptable has been decided by then, when the address was configured or discovered.
        [allowInsecureRequests]: true,
        [customFetch]: (url, init) => {
          // The last word: oauth4webapi takes only some of them. None is of those that the protocol sets.
          const headers = { ...init.headers, ...this.options.requestHeaders() };
          exchange.sent.push(...sentCredentials(credential.secrets, headers, init.body));
          exchange.requestedAt = clock.now();
          onSend();
          return fetch(url, { ...this.#inFormat({ ...init, headers }), tls: credential.tls });
        },
      },
    );
    return { status: response.status, headers: response.headers, body: await response.text() };
  }

  #judge(answer: TokenEndpointAnswer): TokenResult {
    const outcome = readTokenResponse(answer, this.options.dialect);
    if (!outcome.ok) return outcome;
    const isBoundToKey = outcome.granted.accessToken.tokenType === 'DPoP';
    if (isBoundToKey === (this.options.dpop !== undefined)) return outcome;
    // RFC 6749 §7.1: a token of a type that the client does not know how to present is not used.
    const [detail, advice] = isBoundToKey
      ? [
          'a token that is bound to a key was granted (DPoP), and this client has none: see its option dpop',
          'Set the option dpop, or have the server grant bearer tokens to this client.',
        ]
      : [
          'a token that is bound to a key was asked for (DPoP), and a plain bearer token granted',
          'Have the server bind the tokens of this client to its key, or remove the option dpop.',
        ];
    return { ok: false, failure: { kind: 'configuration', detail, advice } };
  }

  #learnNonce(metadata: TokenServerMetadata, { headers }: TokenEndpointAnswer): boolean {
    return this.options.dpop?.learnNonce(metadata.token_endpoint, headers.get('dpop-nonce')) ?? false;
  }

  #inFormat(init: BoundedFetchInit): BoundedFetchInit {
    if (this.options.requestFormat === 'form') return init;
    return {
      ...init,
      headers: { ...init.headers, 'content-type': 'application/json' },
      body: JSON.stringify(asObject(new URLSearchParams(init.body ?? ''))),
    };
  }
}

/** RFC 8705 §5: a server may have another address for clients that show a certificate. */
function atEndpointFor(metadata: TokenServerMetadata, { tls }: ClientCredential): TokenServerMetadata {
  const alias = tls && metadata.mtls_endpoint_aliases?.token_endpoint;
  return alias === undefined ? metadata : { ...metadata, token_endpoint: alias };
}

/** A member that comes more than once becomes a list. */
function asObject(body: URLSearchParams): Record<string, string | string[]> {
  const names = [...new Set(body.keys())];
  return Object.fromEntries(
    names.map((name) => {
      const values = body.getAll(name);
      return [name, values.length > 1 ? values : values[0]!];
    }),
  );
}

function isNonceWanted({ status, body }: TokenEndpointAnswer): boolean {
  return (status === 400 || status === 401) && /"use_dpop_nonce"/.test(body);
}

/** In case that the server repeats what it was sent, or tells twice what it grants. */
function withoutCredentials(failure: TokenFailure, credentials: readonly string[]): TokenFailure {
  const { detail, oauthError } = failure;
  return {
    ...failure,
    detail: redactCredentials(credentials, detail),
    oauthError: oauthError === undefined ? undefined : redactCredentials(credentials, oauthError),
  };
}

const DISCOVERY_FAILURES = {
  outage: 'transient',
  certificate: 'certificate',
  unexplained: 'unexplained',
  wrong_document: 'configuration',
} as const;

const EXCHANGE_FAILURES = {
  network: 'transient',
  stale_connection: 'transient',
  proxy_authentication: 'proxy',
  timeout: 'transient',
  certificate: 'certificate',
  too_large: 'malformed',
  compressed: 'malformed',
  not_http: 'malformed',
} as const;

function exchangeFailure(error: unknown): TokenFailure {
  if (error instanceof DiscoveryError) {
    return {
      kind: DISCOVERY_FAILURES[error.fault],
      detail: error.message,
      advice: error.cause instanceof HttpExchangeError ? error.cause.advice : undefined,
      retryAfterMs: error.retryAfterMs,
      cause: error,
    };
  }
  if (!(error instanceof HttpExchangeError)) return unexpectedFailure(error);
  return { kind: EXCHANGE_FAILURES[error.fault], detail: error.message, advice: error.advice, cause: error };
}
