import { allowInsecureRequests, customFetch, genericTokenEndpointRequest } from 'oauth4webapi';
import type { ClientCredential } from '../credentials/client-authentication.js';
import type { DpopProver } from '../credentials/dpop-prover.js';
import { DiscoveryError } from '../foundation/authorization-server-discovery.js';
import {
  type BoundedFetch,
  type BoundedFetchInit,
  HttpExchangeError,
  repeatOnStaleConnection,
  USER_AGENT,
} from '../foundation/bounded-fetch.js';
import type { Clock, Instant } from '../foundation/clock.js';
import type { ClientWarnings } from './outbound-events.js';
import { issuedTokens, sentCredentials, SHORTEST_REDACTED, redactCredentials } from './credential-redaction.js';
import type { BodyParameters } from './token-parameters.js';
import { unexpectedFailure } from './token-errors.js';
import type { TokenEndpointResponse } from './token-response-reader.js';
import { readTokenResponse, type TokenResponseOptions } from './token-response.js';
import type { ServerMetadata, EndpointMetadata } from './server-metadata.js';
import type { TokenFailure, TokenResult } from './token-result.js';

/** Format of a token request's body. */
export type TokenRequestFormat =
  /** `application/x-www-form-urlencoded`, as RFC 6749 §4.4.2 requires. */
  | 'form'
  /** A JSON object, for servers that require one. */
  | 'json';

export interface TokenEndpointOptions {
  readonly server: ServerMetadata;
  readonly clientId: string;
  readonly requestFormat: TokenRequestFormat;
  /** Returns additional headers of each request. A function, because they may hold secrets. */
  readonly requestHeaders: () => Readonly<Record<string, string>>;
  /** Binds tokens to a key (RFC 9449); undefined for bearer tokens. */
  readonly dpop: DpopProver | undefined;
  readonly response: TokenResponseOptions;
  readonly warnings: ClientWarnings;
  readonly fetch: BoundedFetch;
  readonly clock: Clock;
}

export interface TokenRequest {
  readonly grantType: string;
  readonly credential: ClientCredential;
  /** Members of the body besides `grant_type` and the client's authentication. */
  readonly parameters: BodyParameters;
  /** Time by which the server's clock is known to be ahead of this machine's, in milliseconds. */
  readonly serverAheadMs: number;
  /** Called just before the credential is sent: once per HTTP request. */
  readonly onSend: () => void;
}

/** The result of one token request, with the times from which the token's age is measured. */
export type TimedTokenResult = TokenResult & {
  /** Just before the request was sent. */
  readonly requestedAt: Instant;
  /** When the response was complete. */
  readonly receivedAt: Instant;
};

/** State of one token request, which may take several HTTP requests. */
interface RequestState {
  /** Just before the last HTTP request. */
  requestedAt: Instant;
  /** The credentials that were sent, in every encoding. */
  readonly sent: string[];
  /** Whether an HTTP request was repeated after a stale connection. */
  isRepeated: boolean;
}

/** Sends token requests (RFC 6749 §3.2) to one token endpoint. */
export class TokenEndpoint {
  constructor(private readonly options: TokenEndpointOptions) {}

  /** Sends one token request. Every error is a result, not an exception. */
  async request(request: TokenRequest, signal: AbortSignal): Promise<TimedTokenResult> {
    const { clock, server } = this.options;
    const { credential } = request;
    const state: RequestState = { requestedAt: clock.now(), sent: [], isRepeated: false };
    const timed = (result: TokenResult) => ({ ...result, requestedAt: state.requestedAt, receivedAt: clock.now() });
    this.#warnOfShortSecret(credential);
    try {
      const metadata = await server.forEndpoint('token_endpoint', signal, credential.tls);
      let response = await this.#send(metadata, request, state, signal);
      // RFC 9449 §8: the first response may only have named the nonce to use.
      if (isNonceRequired(response) && this.#learnNonce(metadata, response)) {
        response = await this.#send(metadata, request, state, signal);
      }
      this.#learnNonce(metadata, response);
      const result = this.#read(response);
      if (result.ok) return timed(result);
      const { kind } = result.failure;
      if (kind === 'configuration' || kind === 'unexplained') server.invalidate();
      const failure = withoutCredentials(result.failure, [...state.sent, ...issuedTokens(response.body)]);
      const isRefused = kind === 'credential' || kind === 'blocked';
      return timed({ ok: false, failure: isRefused ? { ...failure, remark: this.#remark(credential) } : failure });
    } catch (error) {
      server.invalidate();
      return timed({ ok: false, failure: exchangeFailure(error) });
    }
  }

  #remark({ remark, isTimed }: ClientCredential): string | undefined {
    return remark ?? (isTimed ? this.options.server.assertionRemark : undefined);
  }

  #warnOfShortSecret({ secrets }: ClientCredential): void {
    if (secrets.every((secret) => secret.reveal().length >= SHORTEST_REDACTED)) return;
    this.options.warnings.emitWarning(
      'secret_too_short',
      `its client secret has fewer than ${SHORTEST_REDACTED} characters: it can be guessed, and is not removed from the server's error texts`,
    );
  }

  /** Sends one HTTP request. Repeats it at most once per token request after a stale connection, authenticated anew. */
  #send(
    metadata: EndpointMetadata,
    request: TokenRequest,
    state: RequestState,
    signal: AbortSignal,
  ): Promise<TokenEndpointResponse> {
    const send = () => this.#exchange(metadata, request, state, signal);
    return state.isRepeated ? send() : repeatOnStaleConnection(send, () => (state.isRepeated = true));
  }

  async #exchange(
    metadata: EndpointMetadata,
    { grantType, credential, parameters, serverAheadMs, onSend }: TokenRequest,
    state: RequestState,
    signal: AbortSignal,
  ): Promise<TokenEndpointResponse> {
    const { clientId, clock, dpop, fetch } = this.options;
    const response = await genericTokenEndpointRequest(
      metadata,
      { client_id: clientId },
      credential.authenticate(new Date(clock.now().wallMs + serverAheadMs)),
      grantType,
      parameters.map(([name, value]) => [name, value]),
      {
        headers: { ...(dpop && { dpop: await dpop.proof({ method: 'POST', url: metadata.token_endpoint }) }) },
        signal,
        // Plain http was checked when the endpoint was configured or discovered.
        [allowInsecureRequests]: true,
        [customFetch]: (url, init) => {
          const headers = withOwnHeaders(init.headers, this.options.requestHeaders());
          state.sent.push(...sentCredentials(credential.secrets, headers, init.body));
          state.requestedAt = clock.now();
          onSend();
          return fetch(url, { ...this.#inFormat({ ...init, headers }), tls: credential.tls });
        },
      },
    );
    return { status: response.status, headers: response.headers, body: await response.text() };
  }

  #read(response: TokenEndpointResponse): TokenResult {
    const result = readTokenResponse(response, { ...this.options.response, ...this.options.warnings });
    if (!result.ok) return result;
    const isBoundToKey = result.granted.accessToken.tokenType === 'DPoP';
    if (isBoundToKey === (this.options.dpop !== undefined)) return result;
    // RFC 6749 §7.1: a client does not use a token of a type that it cannot send.
    const [detail, advice] = isBoundToKey
      ? [
          'the server granted a token that is bound to a key (DPoP), and this client has none',
          'Set the option dpop, or have the server grant bearer tokens to this client.',
        ]
      : [
          'the client requested a token that is bound to its key (DPoP), and the server granted a bearer token',
          'Have the server bind the tokens of this client to its key, or remove the option dpop.',
        ];
    return { ok: false, failure: { kind: 'configuration', detail, advice } };
  }

  #learnNonce(metadata: EndpointMetadata, { headers }: TokenEndpointResponse): boolean {
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

/**
 * Returns the headers of a request to the client's server.
 *
 * @param protocol Those of oauth4webapi, which drops some others, and has a user agent of its own.
 * @param own Those of the options. None of them is a header that the protocol sets.
 */
export function withOwnHeaders(
  protocol: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  return { ...protocol, 'user-agent': USER_AGENT, ...own };
}

/** Returns a form's members as an object. A repeated member becomes a list. */
function asObject(body: URLSearchParams): Record<string, string | string[]> {
  const names = [...new Set(body.keys())];
  return Object.fromEntries(
    names.map((name) => {
      const values = body.getAll(name);
      return [name, values.length > 1 ? values : values[0]!];
    }),
  );
}

function isNonceRequired({ status, body }: TokenEndpointResponse): boolean {
  return (status === 400 || status === 401) && /"use_dpop_nonce"/.test(body);
}

/** Removes credentials from the server's error texts: a server may repeat the request, or a token of its response. */
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
