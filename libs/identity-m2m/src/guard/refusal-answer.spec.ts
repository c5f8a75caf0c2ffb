import { describe, expect, it, test } from '@jest/globals';
import { REFUSAL_REASONS, type RefusalReason, refuse } from '../verification/refusal.js';
import {
  bearerChallenge,
  grpcStatus,
  httpHeaders,
  httpStatus,
  isUndecidable,
  refusalAnswer,
  rpcAnswer,
} from './refusal-answer.js';

/** What each transport answers: HTTP status, gRPC status, code of other transports, `error`. */
const ANSWERS = {
  missing: [401, 16, 'UNAUTHENTICATED', 'unauthorized'],
  malformed: [400, 3, 'INVALID_ARGUMENT', 'invalid_request'],
  invalid: [401, 16, 'UNAUTHENTICATED', 'invalid_token'],
  insufficient: [403, 7, 'PERMISSION_DENIED', 'insufficient_scope'],
  forbidden: [403, 7, 'PERMISSION_DENIED', 'forbidden'],
  undecidable: [503, 14, 'UNAVAILABLE', 'temporarily_unavailable'],
} as const;

const KINDS: Readonly<Partial<Record<RefusalReason, keyof typeof ANSWERS>>> = {
  credential_missing: 'missing',
  credential_repeated: 'malformed',
  credential_malformed: 'malformed',
  scope_insufficient: 'insufficient',
  delegated_token: 'forbidden',
  not_a_machine: 'forbidden',
  client_not_allowed: 'forbidden',
  client_expired: 'forbidden',
  claims_insufficient: 'forbidden',
  handler_unknown: 'forbidden',
  transport_unknown: 'forbidden',
  issuer_unavailable: 'undecidable',
  introspection_unavailable: 'undecidable',
  revocation_unavailable: 'undecidable',
  verification_failed: 'undecidable',
};

const none = { realm: undefined, scopes: undefined };

describe('the answer to a refused caller', () => {
  test.each(REFUSAL_REASONS)('%s', (reason) => {
    const kind = KINDS[reason] ?? 'invalid';
    const answer = refusalAnswer(refuse(reason));
    const [http, grpc, code, error] = ANSWERS[kind];
    expect([answer.kind, answer.error, httpStatus(answer), grpcStatus(answer)]).toEqual([kind, error, http, grpc]);
    expect(rpcAnswer(answer)).toEqual({
      code,
      error,
      message: answer.message,
      ...(kind === 'undecidable' && { retryAfterSeconds: 30 }),
    });
    expect(isUndecidable(reason)).toBe(kind === 'undecidable');
  });

  it('has the time to retry only if the guard could not decide', () => {
    expect(refusalAnswer({ ...refuse('issuer_unavailable'), retryAfterSeconds: 7 }).retryAfterSeconds).toBe(7);
    expect(refusalAnswer({ ...refuse('token_expired'), retryAfterSeconds: 7 }).retryAfterSeconds).toBeUndefined();
  });

  it('names the scopes that the handler requires, and only if they are what is missing', () => {
    const scopes = ['users.read', 'users.write'];
    expect(refusalAnswer(refuse('scope_insufficient'), scopes).message).toBe(
      'The access token needs the scope: users.read users.write.',
    );
    expect(refusalAnswer(refuse('scope_insufficient')).message).toBe('The access token needs the scope: .');
    expect(refusalAnswer(refuse('token_expired'), scopes).message).toBe('The access token is not valid here.');
  });
});

describe('the challenge of HTTP', () => {
  it.each<[RefusalReason, Parameters<typeof bearerChallenge>[1], string | undefined]>([
    ['credential_missing', none, 'Bearer'],
    ['credential_missing', { realm: 'users', scopes: ['a'] }, 'Bearer realm="users"'],
    ['credential_malformed', none, 'Bearer error="invalid_request"'],
    [
      'token_expired',
      { realm: 'users', scopes: ['a'] },
      'Bearer realm="users", error="invalid_token", error_description="The access token is not valid here"',
    ],
    ['scope_insufficient', { realm: undefined, scopes: ['a', 'b'] }, 'Bearer error="insufficient_scope", scope="a b"'],
    ['scope_insufficient', none, 'Bearer error="insufficient_scope"'],
    ['client_not_allowed', { realm: 'users', scopes: ['a'] }, undefined],
    ['issuer_unavailable', { realm: 'users', scopes: ['a'] }, undefined],
  ])('%s (%#)', (reason, options, challenge) => {
    expect(bearerChallenge(refusalAnswer(refuse(reason)), options)).toBe(challenge);
  });

  it('is in the headers, with the time of a retry, and no cache keeps the answer', () => {
    const headersOf = (reason: RefusalReason) => httpHeaders(refusalAnswer(refuse(reason)), none);
    expect(headersOf('credential_missing')).toEqual({ 'www-authenticate': 'Bearer', 'cache-control': 'no-store' });
    expect(headersOf('client_not_allowed')).toEqual({ 'cache-control': 'no-store' });
    expect(headersOf('issuer_unavailable')).toEqual({ 'retry-after': '30', 'cache-control': 'no-store' });
  });
});
