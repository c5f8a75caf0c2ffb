// Mutants that change nothing that can be seen, each with the reason. `line` is the line of the source without its
// indentation, so that an entry ends with the code that it is about.

/** @type {{ file: string, line: string, mutator: string, replacement?: string, reason: string }[]} */
export const EQUIVALENT = [
  {
    file: 'token/access-token-lifetime.ts',
    line: "return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;",
    mutator: 'ConditionalExpression',
    reason: 'Number.isFinite rejects all that is no number; the type needs the test.',
  },
  {
    file: 'token/token-response.ts',
    line: "return { ...(typeof exp === 'number' && { exp }), ...(typeof iat === 'number' && { iat }) };",
    mutator: 'ConditionalExpression',
    reason: 'accessTokenLifetime rejects times that are no numbers; the type needs the test.',
  },
  {
    file: 'token/token-response.ts',
    line: "return headers.get('content-type')?.split(';', 1)[0]?.trim() || 'none';",
    mutator: 'ArithmeticOperator',
    reason: 'Only the first part is read, however many there are.',
  },
  {
    file: 'credentials/credential-quarantine.ts',
    line: "signal.addEventListener('abort', end, { once: true });",
    mutator: 'BooleanLiteral',
    reason: 'A signal is aborted once.',
  },
  {
    file: 'verification/claims-policy.ts',
    line: "if (iat !== undefined && exp < iat) return refuse('time_claim_malformed', atTime('exp', exp, 'not before iat', iat));",
    mutator: 'ConditionalExpression',
    reason: 'A comparison with undefined is false; the type needs the test.',
  },
  {
    file: 'verification/claims-policy.ts',
    line: "if (nbf !== undefined && nbf > latest) return refuse('token_not_yet_valid', atTime('nbf', nbf, 'up to', latest));",
    mutator: 'ConditionalExpression',
    reason: 'A comparison with undefined is false; the type needs the test.',
  },
  {
    file: 'verification/claims-policy.ts',
    line: "if (iat !== undefined && iat > latest) return refuse('token_not_yet_valid', atTime('iat', iat, 'up to', latest));",
    mutator: 'ConditionalExpression',
    reason: 'A comparison with undefined is false; the type needs the test.',
  },
];
