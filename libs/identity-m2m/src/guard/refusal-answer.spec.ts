import { describe, expect, it, test } from '@jest/globals';
import { REFUSAL_REASONS, type RefusalReason, refuse } from '../verification/refusal.js';
import type { RoutePolicy } from '../verification/route-policy.js';
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
    const needsAll = 'The access token needs the scope: users.read users.write.';
    const needsAny = 'The access token needs one of the scopes: users.read users.write.';
    const messageFor = (policy: RoutePolicy) => refusalAnswer(refuse('scope_insufficient'), policy).message;
    expect(messageFor({ scopes })).toBe(needsAll);
    expect(messageFor({ scopes, scopesMode: 'all' })).toBe(needsAll);
    expect(messageFor({ scopes, scopesMode: 'any' })).toBe(needsAny);
    for (const scopesMode of ['all', 'any'] as const) {
      const answer = refusalAnswer(refuse('token_expired'), { scopes, scopesMode });
      expect(answer.message).toBe('The access token is not valid here.');
    }
  });
});

describe('the challenge of HTTP', () => {
  const any = { scopes: ['a', 'b'], scopesMode: 'any' } as const;

  it.each<[RefusalReason, string | undefined, RoutePolicy, string | undefined]>([
    ['credential_missing', undefined, {}, 'Bearer'],
    ['credential_missing', 'users', any, 'Bearer realm="users"'],
    ['credential_malformed', undefined, {}, 'Bearer error="invalid_request"'],
    [
      'token_expired',
      'users',
      any,
      'Bearer realm="users", error="invalid_token", error_description="The access token is not valid here"',
    ],
    ['scope_insufficient', undefined, { scopes: ['a', 'b'] }, 'Bearer error="insufficient_scope", scope="a b"'],
    [
      'scope_insufficient',
      undefined,
      any,
      'Bearer error="insufficient_scope", error_description="The access token needs one of the scopes", scope="a b"',
    ],
    ['scope_insufficient', undefined, {}, 'Bearer error="insufficient_scope"'],
    ['client_not_allowed', 'users', any, undefined],
    ['issuer_unavailable', 'users', any, undefined],
  ])('%s (%#)', (reason, realm, policy, challenge) => {
    expect(bearerChallenge(refusalAnswer(refuse(reason)), realm, policy)).toBe(challenge);
  });

  it('is in the headers, with the time of a retry, and no cache keeps the answer', () => {
    const headersOf = (reason: RefusalReason) => httpHeaders(refusalAnswer(refuse(reason)), undefined, {});
    expect(headersOf('credential_missing')).toEqual({ 'www-authenticate': 'Bearer', 'cache-control': 'no-store' });
    expect(headersOf('client_not_allowed')).toEqual({ 'cache-control': 'no-store' });
    expect(headersOf('issuer_unavailable')).toEqual({ 'retry-after': '30', 'cache-control': 'no-store' });
  });
});
