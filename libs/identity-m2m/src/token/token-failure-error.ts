import { IdentityM2MError } from '../foundation/identity-m2m-error.js';
import { printableText } from '../foundation/printable-text.js';
import { ClientRejectedError, TokenRequestRejectedError, TokenUnavailableError } from './token-errors.js';
import type { TokenFailure } from './token-response.js';

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
