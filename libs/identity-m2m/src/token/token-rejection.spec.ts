import { describe, expect, it, test } from '@jest/globals';
import {
  DEFAULT_TOKEN_REJECTION,
  type ResourceServerResponse,
  TokenRejectionRule,
  type TokenRejection,
} from './token-rejection.js';

function setUp(rejection: TokenRejection) {
  const failures: string[] = [];
  return { rule: new TokenRejectionRule(rejection, (problem) => failures.push(problem)), failures };
}

const response = (challenges?: string, status = 401): ResourceServerResponse => ({
  status,
  headers: challenges === undefined ? {} : { 'www-authenticate': challenges },
  body: '',
});

describe('a status of a response', () => {
  test.each([
    { rejection: [401], status: 401, may: true, likely: true },
    { rejection: [401], status: 403, may: false, likely: false },
    { rejection: [401, 403], status: 403, may: true, likely: true },
    { rejection: [401, 403], status: 404, may: false, likely: false },
    { rejection: [], status: 401, may: false, likely: false },
    { rejection: () => true, status: 400, may: true, likely: false },
    { rejection: () => true, status: 401, may: true, likely: true },
    { rejection: () => true, status: 402, may: true, likely: false },
    { rejection: () => true, status: 500, may: true, likely: false },
  ] satisfies { rejection: TokenRejection; [fact: string]: unknown }[])(
    '$status with the rule $rejection may be a rejection: $may, is likely to be one: $likely',
    ({ rejection, status, may, likely }) => {
      const { rule } = setUp(rejection);
      expect([rule.mayReject(status), rule.isLikelyRejection(status)]).toEqual([may, likely]);
    },
  );

  it('is by default a rejection for 401 only', () => {
    expect(DEFAULT_TOKEN_REJECTION).toEqual([401]);
  });
});

describe('a rejection', () => {
  it('is decided by the body only with a predicate', () => {
    expect(setUp([401, 403]).rule.readsBody).toBe(false);
    expect(setUp(() => true).rule.readsBody).toBe(true);
  });

  test.each([
    { challenges: undefined, isRejection: true },
    { challenges: '', isRejection: true },
    { challenges: 'Bearer', isRejection: true },
    { challenges: 'Bearer error="invalid_token"', isRejection: true },
    { challenges: 'Bearer error="insufficient_scope"', isRejection: false },
    { challenges: 'DPoP error="use_dpop_nonce", algs="ES256"', isRejection: false },
    { challenges: 'error="insufficient_scope"', isRejection: false },
    { challenges: 'Bearer realm="api",error="insufficient_scope"', isRejection: false },
    { challenges: 'Bearer, DPoP\terror="use_dpop_nonce"', isRejection: false },
    { challenges: 'Bearer error=insufficient_scope', isRejection: false },
    { challenges: 'Bearer error  =  "insufficient_scope"', isRejection: false },
    { challenges: 'BEARER ERROR="INSUFFICIENT_SCOPE"', isRejection: false },
    { challenges: 'Bearer the_error="insufficient_scope"', isRejection: true },
    { challenges: 'Bearer error_uri="insufficient_scope"', isRejection: true },
    { challenges: 'Bearer error="insufficient_scopes"', isRejection: true },
    { challenges: 'Bearer error="no_insufficient_scope"', isRejection: true },
    { challenges: 'Bearer error="use_dpop_nonces"', isRejection: true },
    { challenges: 'Bearer realm="insufficient_scope"', isRejection: true },
  ])('with the challenges $challenges: $isRejection', ({ challenges, isRejection }) => {
    expect(setUp([401]).rule.isRejection(response(challenges))).toBe(isRejection);
    expect(setUp(() => true).rule.isRejection(response(challenges))).toBe(isRejection);
  });

  it.each([true, false])('is what the predicate returns about the response: %s', (answer) => {
    const seen: unknown[] = [];
    const { rule, failures } = setUp((about) => {
      seen.push(about);
      return answer;
    });
    const about = response('Bearer', 400);
    expect(rule.isRejection(about)).toBe(answer);
    expect(seen).toEqual([about]);
    expect(failures).toEqual([]);
  });

  it('is not a question for the predicate if a newer token cannot help', () => {
    const seen: unknown[] = [];
    const { rule } = setUp((about) => seen.push(about) > 0);
    expect(rule.isRejection(response('Bearer error="insufficient_scope"'))).toBe(false);
    expect(seen).toEqual([]);
  });

  it('is none if the predicate throws', () => {
    const { rule, failures } = setUp(() => {
      throw new RangeError('of the predicate');
    });
    expect(rule.isRejection(response())).toBe(false);
    expect(failures).toEqual(['threw a RangeError']);
  });

  test.each([undefined, null, 0, 1, '', 'true', {}])(
    'is none if the predicate returns %p, which is no boolean',
    (result) => {
      const { rule, failures } = setUp((() => result) as never);
      expect(rule.isRejection(response())).toBe(false);
      expect(failures).toEqual(['returned neither true nor false']);
    },
  );

  it('is none if the predicate returns a promise, and a rejected one is handled', () => {
    const promise = Promise.reject(new Error('of the predicate'));
    const handlers: unknown[] = [];
    const handle = promise.catch.bind(promise);
    promise.catch = ((onRejected: () => never) => {
      handlers.push(onRejected);
      return handle(onRejected);
    }) as never;
    const { rule, failures } = setUp((() => promise) as never);
    expect(rule.isRejection(response())).toBe(false);
    expect(failures).toEqual(['returned a promise']);
    expect(handlers).toEqual([expect.any(Function)]);
  });
});
