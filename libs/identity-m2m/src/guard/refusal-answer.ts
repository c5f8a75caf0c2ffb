import type { Refusal, RefusalReason } from '../verification/refusal.js';
import type { RoutePolicy } from '../verification/route-policy.js';

/** The answer to a refused caller. Each transport sends it in its own form. */
export interface RefusalAnswer {
  readonly kind: RefusalKind;
  /** `error` of RFC 6750 §3.1, or a code of this package. */
  readonly error: string;
  readonly message: string;
  /** When to retry, in seconds; undefined if time alone changes nothing. */
  readonly retryAfterSeconds: number | undefined;
}

/** Groups the reasons by what would help: another token, more rights, or a later attempt. */
export type RefusalKind = 'missing' | 'malformed' | 'invalid' | 'insufficient' | 'forbidden' | 'undecidable';

/**
 * Returns the answer for a refusal.
 *
 * Its texts are fixed and hold no part of the token, the call or an exception. The log has the reason.
 *
 * @param policy What the handler requires.
 */
export function refusalAnswer(
  { reason, retryAfterSeconds }: Refusal,
  { scopes = [], scopesMode }: RoutePolicy = {},
): RefusalAnswer {
  const kind = kindOf(reason);
  const [error, message] = TEXTS[kind];
  return {
    kind,
    error,
    message:
      kind === 'insufficient' ? `${scopesMode === 'any' ? NEEDS_ANY_SCOPE : message}: ${scopes.join(' ')}.` : message,
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

const NEEDS_ANY_SCOPE = 'The access token needs one of the scopes';

/** Whether a refused token may be valid, because the guard could not decide at that moment. */
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

const STATUS: Readonly<Record<RefusalKind, 400 | 401 | 403 | 503>> = {
  missing: 401,
  malformed: 400,
  invalid: 401,
  insufficient: 403,
  forbidden: 403,
  undecidable: 503,
};

export function httpStatus({ kind }: RefusalAnswer): 400 | 401 | 403 | 503 {
  return STATUS[kind];
}

/** Returns the header fields of the answer to a refused request, with names in lower case. */
export function httpHeaders(
  answer: RefusalAnswer,
  realm: string | undefined,
  policy: RoutePolicy,
): Readonly<Record<string, string>> {
  const challenge = bearerChallenge(answer, realm, policy);
  return {
    ...(challenge !== undefined && { 'www-authenticate': challenge }),
    ...(answer.retryAfterSeconds !== undefined && { 'retry-after': String(answer.retryAfterSeconds) }),
    'cache-control': 'no-store',
  };
}

/**
 * Returns the challenge of RFC 6750 §3; undefined if no other token would help.
 *
 * Its `scope` is the scope that a token needs, and can't express alternatives. If any one scope is enough, it still
 * lists all of them: a token with all is allowed, and a client may choose from the list. The description says so.
 */
export function bearerChallenge(
  { kind, error }: Pick<RefusalAnswer, 'kind' | 'error'>,
  realm: string | undefined,
  { scopes, scopesMode }: RoutePolicy,
): string | undefined {
  if (kind === 'forbidden' || kind === 'undecidable') return undefined;
  const needsAnyScope = kind === 'insufficient' && scopesMode === 'any';
  const description = kind === 'invalid' ? 'The access token is not valid here' : undefined;
  const parameters: readonly (readonly [string, string | undefined])[] = [
    ['realm', realm],
    // No error code without a token: the caller may not have known that one is needed (RFC 6750 §3.1).
    ['error', kind === 'missing' ? undefined : error],
    ['error_description', needsAnyScope ? NEEDS_ANY_SCOPE : description],
    ['scope', kind === 'insufficient' ? scopes?.join(' ') : undefined],
  ];
  const text = parameters.flatMap(([name, value]) => (value === undefined ? [] : [`${name}="${value}"`])).join(', ');
  return text === '' ? 'Bearer' : `Bearer ${text}`;
}

/** The answer to the sender of a refused message. Every transport uses the names of gRPC's status codes. */
export interface RpcAnswer {
  readonly code: RpcCode;
  /** `error` of RFC 6750 §3.1, or a code of this package. */
  readonly error: string;
  readonly message: string;
  /** When to retry, in seconds; only with `UNAVAILABLE`. */
  readonly retryAfterSeconds?: number;
}

export type RpcCode = 'INVALID_ARGUMENT' | 'PERMISSION_DENIED' | 'UNAVAILABLE' | 'UNAUTHENTICATED';

export function rpcAnswer({ kind, error, message, retryAfterSeconds }: RefusalAnswer): RpcAnswer {
  return { code: CODES[kind], error, message, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
}

/** Returns the status code of gRPC: 3, 7, 14 or 16. */
export function grpcStatus({ kind }: RefusalAnswer): number {
  return GRPC_STATUS[CODES[kind]];
}

const CODES: Readonly<Record<RefusalKind, RpcCode>> = {
  missing: 'UNAUTHENTICATED',
  malformed: 'INVALID_ARGUMENT',
  invalid: 'UNAUTHENTICATED',
  insufficient: 'PERMISSION_DENIED',
  forbidden: 'PERMISSION_DENIED',
  undecidable: 'UNAVAILABLE',
};

const GRPC_STATUS: Readonly<Record<RpcCode, number>> = {
  INVALID_ARGUMENT: 3,
  PERMISSION_DENIED: 7,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
};
