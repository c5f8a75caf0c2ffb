import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { printableText } from '../foundation/text.js';
import type { TokenFailure } from './token-result.js';

/** Why there is no token. */
export type TokenUnavailableReason =
  /** The identity provider could not be reached, did not answer in time, or is not able to answer now. */
  | 'outage'
  /** The answer claimed success and was not a token: wrong form, wrong content, too long. */
  | 'malformed_answer'
  /**
   * HTTP 401 or 403 without an OAuth error: the client was refused, or something in front of the identity provider
   * refuses this machine. Retried within seconds, then `client_rejected`. Or a proxy on the way wants credentials (407).
   */
  | 'blocked'
  /** A TLS certificate was rejected: the server's by this client, or the client's by the server. Waiting does not help. */
  | 'certificate_rejected'
  /** The identity provider refuses the client: {@link ClientRejectedError}. */
  | 'client_rejected'
  /** The identity provider refuses the request: {@link TokenRequestRejectedError}. */
  | 'request_rejected'
  /** No token within the time that this caller was ready to wait. The token request goes on. */
  | 'wait_timeout'
  /** So many different tokens are being fetched that no further one can be begun. */
  | 'overloaded'
  /** The application is shutting down. */
  | 'shut_down';

export interface TokenUnavailableDetails {
  /** Name of the client in the module's configuration. */
  readonly client: string;
  /** Earliest time of the next token request; calls before it fail at once, without one. */
  readonly retryAt?: Date | undefined;
  /** `error` of the token endpoint's answer (RFC 6749 §5.2), where there was one. */
  readonly oauthError?: string | undefined;
  readonly cause?: unknown;
}

/**
 * There is no valid access token, and none could be had in time. The call that needed it was not sent.
 *
 * Thrown as it is for a reason that should pass by itself: answer your own caller with 503. The two subclasses, and the
 * reason `certificate_rejected`, mean that a person has to correct something.
 */
export class TokenUnavailableError extends IdentityM2MError {
  readonly code: string = 'M2M_TOKEN_UNAVAILABLE';
  /** Name of the client in the module's configuration. */
  readonly client: string;
  /** Earliest time of the next token request; calls before it fail at once, without one. */
  readonly retryAt?: Date;
  /** `error` of the token endpoint's answer (RFC 6749 §5.2), where there was one. */
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

/** The identity provider refuses this client: its id, its secret, or its permission to use the application. */
export class ClientRejectedError extends TokenUnavailableError {
  override readonly code = 'M2M_CLIENT_REJECTED';

  /** Whether attempts have all but stopped, so that the client does not get locked out. */
  readonly halted: boolean;

  constructor(message: string, details: TokenUnavailableDetails & { readonly halted: boolean }) {
    super('client_rejected', message, details);
    this.halted = details.halted;
  }
}

/** The identity provider refuses the token request as it is configured: its scope, grant, audience or address. */
export class TokenRequestRejectedError extends TokenUnavailableError {
  override readonly code = 'M2M_TOKEN_REQUEST_REJECTED';

  constructor(message: string, details: TokenUnavailableDetails) {
    super('request_rejected', message, details);
  }
}

/** What a call asks a token for cannot be asked: a member that is not for callers to set, or text of the wrong form. */
export class TokenParametersError extends IdentityM2MError {
  readonly code = 'M2M_TOKEN_PARAMETERS_INVALID';
}

/**
 * The token is bound to a key (DPoP, RFC 9449), and is good only with a proof for each HTTP request. A message, or a header
 * that is made ahead, cannot bring one; nothing was sent.
 */
export class TokenNotBearerError extends IdentityM2MError {
  readonly code = 'M2M_TOKEN_NOT_BEARER';

  constructor(
    /** Name of the client in the module's configuration. */
    readonly client: string,
  ) {
    super(
      `The access token of client "${client}" is bound to a key by DPoP, and only HTTP calls can prove that key. Use a client that is configured without dpop.`,
    );
  }
}

/** What an error says besides the failure itself. */
export interface FailureContext {
  /** Name of the client in the module's configuration. */
  readonly client: string;
  /** Where the token was asked for. */
  readonly server: string;
  /** What the identity provider's answers mean in its own terms, and where to mend them. */
  readonly hint?: ((detail: string) => string | undefined) | undefined;
}

/**
 * Makes the error that callers see of a failed token request: what failed, what was found, what to do.
 *
 * @param halted For a refused credential: whether attempts have all but stopped.
 */
export function tokenFailureError(
  failure: TokenFailure,
  context: FailureContext,
  retryAt: Date | undefined,
  halted = false,
): TokenUnavailableError {
  const found = printableText(failure.detail);
  const advice = hint(failure, context) ?? failure.advice ?? defaultAdvice(failure, halted);
  const because = failure.remark === undefined ? '' : `${failure.remark} `;
  const stop = /[.!?]$/.test(found) ? '' : '.';
  const message = `No access token for client "${context.client}" from ${context.server}: ${found}${stop} ${because}${advice}`;
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

/**
 * The failure that an exception stands for: an exchange that did not come about, a timeout, or something nobody thought of.
 *
 * The text of an exception that is not our own is not ours to show: that of a key service may name a key, that of a
 * header that cannot be sent quotes it. It is the cause.
 */
export function unexpectedFailure(cause: unknown): TokenFailure {
  const isOwn = cause instanceof IdentityM2MError;
  return { kind: 'transient', detail: isOwn ? cause.message : 'the token request broke off (see the cause)', cause };
}

/** A hint is made by a preset, which may be the user's own: it must not make things worse. */
function hint({ detail }: TokenFailure, context: FailureContext): string | undefined {
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
        ? 'Attempts are halted, so that the client does not get locked out: correct the client id or the credential. Where it was mended at the identity provider, call retryNow() or restart.'
        : 'Check the client id, the client secret, and that the client may use this grant.';
    case 'configuration':
      return 'Check the address, the scope and the other parameters of the token request.';
    case 'blocked':
      return 'Check the client secret first: some servers answer a wrong one so. Otherwise something in front of the server refuses this machine: check network rules and allow-lists.';
    case 'proxy':
      return 'Check the user name and password that the agent gives to the proxy.';
    case 'malformed':
      return 'Check that the address is that of a token endpoint. If it answers in a form of its own, read that by the option readTokenResponse.';
    case 'certificate':
      return 'Check which certificate authorities this machine and the server trust.';
    case 'transient':
      return 'It is tried again by itself.';
    case 'unexplained':
      return 'The client retries by itself. If this lasts, check the address: most often it is the answer of a gateway, or of another path.';
  }
}
