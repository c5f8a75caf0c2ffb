import { IdentityM2MError, safeMessage } from '../foundation/identity-m2m-error.js';
import { printableText } from '../foundation/text.js';
import type { TokenFailure } from './token-result.js';

/** Why there is no token. */
export type TokenUnavailableReason =
  /** The identity provider is unreachable, did not respond in time, or can't issue tokens at the moment. */
  | 'outage'
  /** The response has a status of success but no valid token: wrong format, wrong content, or too long. */
  | 'malformed_answer'
  /**
   * HTTP 401 or 403 without an OAuth error: the identity provider rejected the client, or a gateway or firewall blocks
   * this machine. Retried within seconds, then reported as `client_rejected`. Also if a proxy requires credentials
   * (407).
   */
  | 'blocked'
  /**
   * A TLS certificate was rejected: the server's by this client, or the client's by the server. Waiting does not help.
   */
  | 'certificate_rejected'
  /** The identity provider rejected the client: {@link ClientRejectedError}. */
  | 'client_rejected'
  /** The identity provider rejected the request: {@link TokenRequestRejectedError}. */
  | 'request_rejected'
  /** No token within this caller's timeout. The token request continues. */
  | 'wait_timeout'
  /** The client is already fetching the maximum number of different tokens (`maxTokens`). */
  | 'overloaded'
  /** The application is shutting down. */
  | 'shut_down';

export interface TokenUnavailableDetails {
  /** Name of the client in the module's options. */
  readonly client: string;
  /**
   * Time of the next automatic attempt. A call fails at once if that is later than it may wait (`acquireTimeoutMs`).
   */
  readonly retryAt?: Date | undefined;
  /** `error` of the token endpoint's response (RFC 6749 §5.2), if it had one. */
  readonly oauthError?: string | undefined;
  readonly cause?: unknown;
}

/**
 * The client has no valid access token and could not get one in time. The call that needed it was not sent.
 *
 * Most reasons are temporary: respond to your own caller with 503. The two subclasses, the reason
 * `certificate_rejected`, and `blocked` by a proxy (407) mean that an operator has to correct a setting.
 */
export class TokenUnavailableError extends IdentityM2MError implements TokenUnavailableDetails {
  readonly code: string = 'M2M_TOKEN_UNAVAILABLE';
  readonly client: string;
  readonly retryAt?: Date;
  readonly oauthError?: string;

  constructor(
    readonly reason: TokenUnavailableReason,
    message: string,
    details: TokenUnavailableDetails,
  ) {
    super(message, { cause: details.cause });
    this.client = details.client;
    if (details.retryAt) this.retryAt = details.retryAt;
    if (details.oauthError !== undefined) this.oauthError = details.oauthError;
  }
}

/** The identity provider rejected this client: its id, its secret, or its permission to use the application. */
export class ClientRejectedError extends TokenUnavailableError {
  override readonly code = 'M2M_CLIENT_REJECTED';

  /** Whether automatic attempts have stopped, except for rare probes, to avoid a lockout. */
  readonly halted: boolean;

  constructor(message: string, details: TokenUnavailableDetails & { readonly halted: boolean }) {
    super('client_rejected', message, details);
    this.halted = details.halted;
  }
}

/** The identity provider rejected the token request as configured: its scope, grant, audience or address. */
export class TokenRequestRejectedError extends TokenUnavailableError {
  override readonly code = 'M2M_TOKEN_REQUEST_REJECTED';

  constructor(message: string, details: TokenUnavailableDetails) {
    super('request_rejected', message, details);
  }
}

/** The token parameters of a call are invalid: a reserved name, or a value of the wrong format. */
export class TokenParametersError extends IdentityM2MError {
  readonly code = 'M2M_TOKEN_PARAMETERS_INVALID';
}

/**
 * The token is bound to a key (DPoP, RFC 9449), so every HTTP request needs its own proof. A message, or a header that
 * is created in advance, can't carry one. Nothing was sent.
 */
export class TokenNotBearerError extends IdentityM2MError {
  readonly code = 'M2M_TOKEN_NOT_BEARER';

  constructor(
    /** Name of the client in the module's options. */
    readonly client: string,
  ) {
    super(
      `The access token of client "${client}" is bound to a key by DPoP, and only HTTP calls can prove that key. Use a client without the option dpop.`,
    );
  }
}

/** Facts for error messages besides the failure. */
export interface FailureContext {
  /** Name of the client in the module's options. */
  readonly client: string;
  /** The token endpoint, or the issuer. */
  readonly server: string;
  /** Explains an error text of the identity provider and how to correct the cause. */
  readonly hint?: ((detail: string) => string | undefined) | undefined;
}

/**
 * Returns the error for callers of a failed token request: what failed, and its {@link failureText}.
 *
 * @param halted For a rejected credential: whether automatic attempts have stopped, except for rare probes.
 */
export function tokenFailureError(
  failure: TokenFailure,
  context: FailureContext,
  retryAt: Date | undefined,
  halted = false,
): TokenUnavailableError {
  const text = failureText(failure, context, halted);
  const message = `No access token for client "${context.client}" from ${context.server}: ${text}`;
  const details = {
    client: context.client,
    retryAt,
    oauthError: failure.oauthError === undefined ? undefined : printableText(failure.oauthError, 60),
    cause: failure.cause,
  };
  switch (failure.kind) {
    case 'credential':
      return new ClientRejectedError(message, { ...details, halted });
    case 'configuration':
      return new TokenRequestRejectedError(message, details);
    case 'blocked':
    case 'proxy':
      return new TokenUnavailableError('blocked', message, details);
    case 'malformed':
      return new TokenUnavailableError('malformed_answer', message, details);
    case 'certificate':
      return new TokenUnavailableError('certificate_rejected', message, details);
    case 'transient':
    case 'unexplained':
      return new TokenUnavailableError('outage', message, details);
  }
}

/** Returns what was found in a failed token request, and what to do. */
export function failureText(failure: TokenFailure, context: FailureContext, halted = false): string {
  const found = printableText(failure.detail);
  const stop = /[.!?]$/.test(found) ? '' : '.';
  const because = failure.remark === undefined ? '' : `${failure.remark} `;
  const advice = presetHint(failure, context) ?? failure.advice ?? defaultAdvice(failure, halted);
  return `${found}${stop} ${because}${advice}`;
}

/**
 * Returns the failure for an exception: a failed HTTP exchange, a timeout, or an unexpected error.
 *
 * Only messages of this library's own errors are shown. Another message may quote a secret: that of a key service may
 * name a key, and that of an invalid header quotes the header. Such an error becomes the cause.
 */
export function unexpectedFailure(cause: unknown): TokenFailure {
  return { kind: 'transient', detail: safeMessage(cause, 'the token request failed (see the cause)'), cause };
}

/** Returns the preset's hint. A preset may be the application's own code, so its errors are ignored. */
function presetHint({ detail }: TokenFailure, context: FailureContext): string | undefined {
  try {
    return context.hint?.(detail);
  } catch {
    return undefined;
  }
}

function defaultAdvice({ kind }: TokenFailure, halted: boolean): string {
  switch (kind) {
    case 'credential':
      return halted
        ? 'Attempts are halted, so that the client does not get locked out. Correct the client id or the credential. If you corrected a setting at the identity provider, call retryNow() or restart.'
        : 'Check the client id and the client secret, and that the client may use this grant.';
    case 'configuration':
      return 'Check the address, the scope and the other parameters of the token request.';
    case 'blocked':
      return 'Check the client secret first: some servers respond like this to a wrong one. Otherwise a gateway or firewall blocks this machine: check its rules and allow-lists.';
    case 'proxy':
      return 'Check the user name and password that the agent sends to the proxy.';
    case 'malformed':
      return 'Check that the address is a token endpoint. If its responses do not follow RFC 6749, read them with the option readTokenResponse.';
    case 'certificate':
      return 'Check which certificate authorities this machine and the server trust.';
    case 'transient':
      return 'The client retries automatically.';
    case 'unexplained':
      return 'The client retries automatically. If this persists, check the address: usually a gateway responds like this, or a wrong path.';
  }
}
