import type { RefusalAnswer, RefusalKind } from './refusal-answer.js';

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

/** Header fields of the answer to a refused request, by their names in lower case. */
export function httpHeaders(answer: RefusalAnswer, options: ChallengeOptions): Readonly<Record<string, string>> {
  const challenge = bearerChallenge(answer, options);
  return {
    ...(challenge !== undefined && { 'www-authenticate': challenge }),
    ...(answer.retryAfterSeconds !== undefined && { 'retry-after': String(answer.retryAfterSeconds) }),
    'cache-control': 'no-store',
  };
}

export interface ChallengeOptions {
  readonly realm: string | undefined;
  /** Scopes that the handler asks for. */
  readonly scopes: readonly string[] | undefined;
}

/** The challenge of RFC 6750 §3; undefined where no other token would help, so none is asked for. */
export function bearerChallenge(
  { kind, error }: Pick<RefusalAnswer, 'kind' | 'error'>,
  { realm, scopes }: ChallengeOptions,
): string | undefined {
  if (kind === 'forbidden' || kind === 'undecidable') return undefined;
  const parameters: readonly (readonly [string, string | undefined])[] = [
    ['realm', realm],
    // No error code where nothing came: the caller may simply not have known that a token is needed (RFC 6750 §3.1).
    ['error', kind === 'missing' ? undefined : error],
    ['error_description', kind === 'invalid' ? 'The access token is not valid here' : undefined],
    ['scope', kind === 'insufficient' ? scopes?.join(' ') : undefined],
  ];
  const text = parameters.flatMap(([name, value]) => (value === undefined ? [] : [`${name}="${value}"`])).join(', ');
  return text === '' ? 'Bearer' : `Bearer ${text}`;
}
