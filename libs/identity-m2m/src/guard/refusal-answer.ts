import type { Refusal, RefusalReason } from '../verification/refusal.js';

/** What every transport tells a caller that is refused, each in its own form. */
export interface RefusalAnswer {
  readonly kind: RefusalKind;
  /** `error` of RFC 6750 §3.1, or a word for the rest. */
  readonly error: string;
  readonly message: string;
  /** When it is worth trying again, in seconds; undefined where time alone changes nothing. */
  readonly retryAfterSeconds: number | undefined;
}

/** Whether another token, another right, or another moment would help. */
export type RefusalKind = 'missing' | 'malformed' | 'invalid' | 'insufficient' | 'forbidden' | 'undecidable';

/**
 * The answer for a refusal.
 *
 * Its texts are fixed: nothing of the token, the call or an exception gets into them. Why a token was refused is for the
 * log.
 *
 * @param scopes Scopes that the handler asks for.
 */
export function refusalAnswer({ reason, retryAfterSeconds }: Refusal, scopes: readonly string[] = []): RefusalAnswer {
  const kind = kindOf(reason);
  const [error, message] = TEXTS[kind];
  return {
    kind,
    error,
    message: kind === 'insufficient' ? `${message}: ${scopes.join(' ')}.` : message,
    retryAfterSeconds: kind === 'undecidable' ? (retryAfterSeconds ?? 30) : undefined,
  };
}

const TEXTS: Readonly<Record<RefusalKind, readonly [error: string, message: string]>> = {
  missing: ['unauthorized', 'An access token is required.'],
  malformed: ['invalid_request', 'The request must carry exactly one well-formed access token.'],
  invalid: ['invalid_token', 'The access token is not valid here.'],
  insufficient: ['insufficient_scope', 'The access token needs the scope'],
  forbidden: ['forbidden', 'This client is not allowed here.'],
  undecidable: ['temporarily_unavailable', 'The access token cannot be verified at the moment. Try again later.'],
};

/** Whether a token may be good that was refused, because nobody could tell at that moment. */
export function isUndecidable(reason: RefusalReason): boolean {
  return kindOf(reason) === 'undecidable';
}

function kindOf(reason: RefusalReason): RefusalKind {
  switch (reason) {
    case 'credential_missing':
      return 'missing';
    case 'credential_repeated':
    case 'credential_malformed':
      return 'malformed';
    case 'scope_insufficient':
      return 'insufficient';
    case 'delegated_token':
    case 'not_a_machine':
    case 'client_not_allowed':
    case 'client_expired':
    case 'claims_insufficient':
    case 'handler_unknown':
    case 'transport_unknown':
      return 'forbidden';
    case 'issuer_unavailable':
    case 'introspection_unavailable':
    case 'revocation_unavailable':
    case 'verification_failed':
      return 'undecidable';
    default:
      return 'invalid';
  }
}
