import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import type { AccessTokenProfile, Claims, ClaimsTest } from '../identity-providers/identity-provider.js';
import { type ClaimsPolicy, claimsRefusal, profileFault, statedClaims } from './claims-policy.js';

const NOW = 1_893_456_000;
const TOLERANCE = 30;
const LATEST_TIME = 253_402_300_799;

const profile: AccessTokenProfile = {
  algorithms: ['ES256'],
  tokenTypes: ['at+jwt'],
  clientIdClaims: ['machine'],
  requiredClaims: [],
};
const policy: ClaimsPolicy = {
  audiences: ['users-api', 'https://users.example'],
  clockToleranceSeconds: TOLERANCE,
  maxTokenLifetimeSeconds: undefined,
  profile,
};
const claims = (more: object = {}): Claims => ({ exp: NOW + 600, aud: 'users-api', ...more });
const refusal = (more: object, rules: Partial<ClaimsPolicy> = {}) =>
  claimsRefusal(claims(more), { ...policy, ...rules }, NOW);
/** The reason, the claim, what was found, what was expected. */
const summary = (more: object, rules: Partial<ClaimsPolicy> = {}) => {
  const refused = refusal(more, rules);
  return refused && [refused.reason, refused.claim, refused.found, refused.expected];
};
const withProfile = (more: Partial<AccessTokenProfile>) => ({ profile: { ...profile, ...more } });

describe('the times of a token', () => {
  test.each<[string, object]>([
    ['a time of expiry alone', {}],
    ['one that expired less than the tolerance ago', { exp: NOW - 29.5 }],
    ['the latest time as its expiry', { exp: LATEST_TIME }],
    ['a start as late as the tolerance allows', { nbf: NOW + 30 }],
    ['a start at the epoch', { nbf: 0 }],
    ['a time of issue as late as the tolerance allows', { iat: NOW + 30, exp: NOW + 31 }],
    ['a time of issue at the epoch', { iat: 0 }],
    ['an expiry at its time of issue', { iat: NOW + 20.5, exp: NOW + 20.5 }],
    ['claims that are undefined', { nbf: undefined, iat: undefined }],
  ])('are accepted with %s', (_name, more) => {
    expect(refusal(more)).toBeUndefined();
  });

  const EXPIRED = (found: string) => ['token_expired', 'exp', found, 'after 2029-12-31T23:59:30.000Z'];
  const EARLY = (claim: string, found: string) => [
    'token_not_yet_valid',
    claim,
    found,
    'up to 2030-01-01T00:00:30.000Z',
  ];
  test.each<[string, object, readonly unknown[]]>([
    ['an expiry as long ago as the tolerance', { exp: NOW - 30 }, EXPIRED('2029-12-31T23:59:30.000Z')],
    ['an older expiry', { exp: NOW - 30.5 }, EXPIRED('2029-12-31T23:59:29.500Z')],
    ['an expiry at the epoch', { exp: 0 }, EXPIRED('1970-01-01T00:00:00.000Z')],
    ['a start beyond the tolerance', { nbf: NOW + 30.5 }, EARLY('nbf', '2030-01-01T00:00:30.500Z')],
    ['a time of issue beyond the tolerance', { iat: NOW + 30.5 }, EARLY('iat', '2030-01-01T00:00:30.500Z')],
    ['both beyond it', { nbf: NOW + 40, iat: NOW + 40 }, EARLY('nbf', '2030-01-01T00:00:40.000Z')],
    [
      'an expiry before its time of issue',
      { iat: NOW + 20, exp: NOW + 19.5 },
      ['time_claim_malformed', 'exp', '2030-01-01T00:00:19.500Z', 'not before iat 2030-01-01T00:00:20.000Z'],
    ],
    [
      'an expiry before its time of issue, and a start beyond the tolerance',
      { nbf: NOW + 40, iat: NOW + 20, exp: NOW + 10 },
      ['time_claim_malformed', 'exp', '2030-01-01T00:00:10.000Z', 'not before iat 2030-01-01T00:00:20.000Z'],
    ],
    ['an expiry long ago, before its time of issue', { iat: NOW, exp: 0 }, EXPIRED('1970-01-01T00:00:00.000Z')],
  ])('are refused with %s', (_name, more, expected) => {
    expect(summary(more)).toEqual(expected);
  });

  it('are all without tolerance where it is 0', () => {
    const rules = { clockToleranceSeconds: 0 };
    expect(refusal({ exp: NOW + 0.5, nbf: NOW, iat: NOW }, rules)).toBeUndefined();
    expect(summary({ exp: NOW }, rules)?.[0]).toBe('token_expired');
    expect(summary({ nbf: NOW + 0.5 }, rules)?.slice(0, 2)).toEqual(['token_not_yet_valid', 'nbf']);
    expect(summary({ iat: NOW + 0.5 }, rules)?.slice(0, 2)).toEqual(['token_not_yet_valid', 'iat']);
  });

  it('hold from the start less the tolerance until the expiry plus the tolerance', () => {
    const second = fc.integer({ min: -2000, max: 2000 });
    const spread = fc.integer({ min: 0, max: 300 });
    fc.assert(
      fc.property(second, second, spread, (start, end, clockToleranceSeconds) => {
        const reason = summary({ nbf: NOW + start, exp: NOW + end }, { clockToleranceSeconds })?.[0];
        if (end + clockToleranceSeconds <= 0) expect(reason).toBe('token_expired');
        else expect(reason).toBe(start > clockToleranceSeconds ? 'token_not_yet_valid' : undefined);
      }),
    );
  });
});

describe('a time that is no number of seconds', () => {
  const VALUES: readonly (readonly [value: unknown, found: string])[] = [
    [String(NOW + 10), '"1893456010"'],
    [NaN, 'NaN'],
    [-1, '-1'],
    [-0.5, '-0.5'],
    [LATEST_TIME + 1, '253402300800'],
    [Infinity, 'Infinity'],
    [null, 'null'],
    [true, 'true'],
    [[NOW], '[1893456000]'],
    [{}, '{…}'],
  ];
  test.each(['exp', 'nbf', 'iat'].flatMap((claim) => VALUES.map(([value, found]) => [claim, found, value] as const)))(
    'is refused as %s: %s',
    (claim, found, value) => {
      const expected = ['time_claim_malformed', claim, found, 'seconds since the epoch, as a number'];
      expect(summary({ [claim]: value })).toEqual(expected);
    },
  );

  it('is refused without a value where the expiry is missing', () => {
    const expected = ['time_claim_malformed', 'exp', undefined, 'seconds since the epoch, as a number'];
    expect(summary({ exp: undefined })).toEqual(expected);
    expect(refusal({ exp: undefined })).not.toHaveProperty('found');
  });

  it('is refused before any time is compared, the expiry first', () => {
    expect(summary({ exp: 'x', nbf: 'y', iat: 'z' })?.[1]).toBe('exp');
    expect(summary({ exp: 0, nbf: 'y', iat: 'z' })?.[1]).toBe('nbf');
    expect(summary({ exp: 0, iat: 'z' })?.[1]).toBe('iat');
  });
});

describe('the lifetime of a token', () => {
  const limited = { maxTokenLifetimeSeconds: 3600 };
  test.each<[string, object, Partial<ClaimsPolicy>, readonly unknown[] | undefined]>([
    ['as long as allowed', { iat: NOW - 3000, exp: NOW + 600 }, limited, undefined],
    [
      'longer than allowed',
      { iat: NOW - 3000, exp: NOW + 600.5 },
      limited,
      ['token_lifetime_excessive', 'exp', '3600.5 s after iat', 'at most 3600 s after iat'],
    ],
    ['without a limit', { iat: 0 }, {}, undefined],
    ['without a start', {}, limited, ['token_lifetime_excessive', 'iat', undefined, 'a time']],
    ['without a start and without a limit', {}, {}, undefined],
    [
      'of one second with a limit of 0',
      { iat: NOW, exp: NOW + 1 },
      { maxTokenLifetimeSeconds: 0 },
      ['token_lifetime_excessive', 'exp', '1 s after iat', 'at most 0 s after iat'],
    ],
  ])('%s: %j', (_name, more, rules, expected) => {
    expect(summary(more, rules)).toEqual(expected);
  });
});

describe('the audience of a token', () => {
  const noAudience = withProfile({ hasNoAudience: true });
  test.each<[unknown]>([
    ['users-api'],
    ['https://users.example'],
    [['other', 'users-api']],
    [['users-api', 'users-api']],
  ])('is this API: %j', (aud) => {
    expect(refusal({ aud })).toBeUndefined();
    expect(refusal({ aud }, noAudience)).toBeUndefined();
  });

  test.each<[unknown, string]>([
    ['other', '"other"'],
    ['users-api ', '"users-api "'],
    ['users', '"users"'],
    ['USERS-API', '"USERS-API"'],
    ['', '""'],
    [['other', 'another'], '["other", "another"]'],
    [['users-api', 5], '["users-api", 5]'],
    [[['users-api']], '[[…]]'],
    [null, 'null'],
    [5, '5'],
    [{ length: 0 }, '{…}'],
    [{ 0: 'users-api', length: 1 }, '{…}'],
  ])('is not this API: %j', (aud, found) => {
    const expected = ['audience_mismatch', 'aud', found, '"users-api" or "https://users.example"'];
    expect(summary({ aud })).toEqual(expected);
    expect(summary({ aud }, noAudience)).toEqual(expected);
  });

  it('may be missing only where the profile has none', () => {
    expect(summary({ aud: [] })).toEqual(['audience_mismatch', 'aud', '[]', '"users-api" or "https://users.example"']);
    expect(refusal({ aud: undefined })).toMatchObject({ reason: 'audience_mismatch', claim: 'aud' });
    expect(refusal({ aud: undefined })).not.toHaveProperty('found');
    for (const aud of [undefined, []]) {
      expect(refusal({ aud }, withProfile({ hasNoAudience: false }))).toMatchObject({ reason: 'audience_mismatch' });
      expect(refusal({ aud }, noAudience)).toBeUndefined();
    }
  });
});

describe('the kind of a token', () => {
  const rejecting: ClaimsTest = () => false;

  test.each(['nonce', 'at_hash', 'c_hash', 's_hash', 'events', 'token_introspection'])(
    'is another with the claim %s, whatever its value',
    (name) => {
      for (const value of ['x', null, undefined]) {
        const expected = ['foreign_token', name, '[not shown]', 'none'];
        expect(summary({ [name]: value })).toEqual(expected);
      }
      expect(claimsRefusal(Object.assign(Object.create({ [name]: 'x' }), claims()), policy, NOW)).toBeUndefined();
    },
  );

  it('is another with a foreign claim of the profile', () => {
    const rules = withProfile({ foreignClaims: ['typ', 'sid'] });
    expect(refusal({}, rules)).toBeUndefined();
    expect(summary({ sid: null }, rules)).toEqual(['foreign_token', 'sid', '[not shown]', 'none']);
    expect(summary({ typ: 'Refresh' }, rules)).toEqual(['foreign_token', 'typ', '"Refresh"', 'none']);
    expect(refusal({ sid: 'x' })).toBeUndefined();
    expect(
      claimsRefusal(Object.assign(Object.create({ sid: 'x' }), claims()), { ...policy, ...rules }, NOW),
    ).toBeUndefined();
  });

  it('needs every required claim of the profile', () => {
    const rules = withProfile({ requiredClaims: ['sub', 'jti'] });
    expect(refusal({ sub: 'a', jti: null }, rules)).toBeUndefined();
    expect(refusal({ sub: 'a' }, rules)).toEqual({
      ok: false,
      reason: 'claim_missing',
      claim: 'jti',
      expected: 'a value',
    });
    expect(summary({ jti: 'a' }, rules)).toEqual(['claim_missing', 'sub', undefined, 'a value']);
    const inherited = Object.assign(Object.create({ sub: 'a' }), claims({ jti: 'a' }));
    expect(claimsRefusal(inherited, { ...policy, ...rules }, NOW)).toMatchObject({ reason: 'claim_missing' });
  });

  it('is decided by the test of the profile', () => {
    const seen: Claims[] = [];
    const accepting = withProfile({ isAccessToken: (given) => (seen.push(given), true) });
    expect(refusal({ use: 'access' }, accepting)).toBeUndefined();
    expect(seen).toEqual([claims({ use: 'access' })]);
    expect(refusal({}, withProfile({ isAccessToken: rejecting }))).toEqual({ ok: false, reason: 'foreign_token' });
    const isAccessToken = Object.assign(() => false, {
      conditions: [{ claim: 'scope', expected: 'a scope', holds: () => false }],
    });
    const expected = { ok: false, reason: 'foreign_token', claim: 'scope', found: '"read"', expected: 'a scope' };
    expect(refusal({ scope: 'read' }, withProfile({ isAccessToken }))).toEqual(expected);
  });

  it('is not supported with a confirmation, also with one that is null', () => {
    for (const cnf of [{ jkt: 'x' }, null]) {
      expect(summary({ cnf })).toEqual(['confirmation_unsupported', 'cnf', '[not shown]', 'none']);
    }
    expect(claimsRefusal(Object.assign(Object.create({ cnf: {} }), claims()), policy, NOW)).toBeUndefined();
  });

  it('is judged after times and audience, and by one rule after the other', () => {
    const rules = withProfile({ foreignClaims: ['sid'], requiredClaims: ['sub'], isAccessToken: rejecting });
    const all = { exp: 0, aud: 'other', events: {}, sid: 'x', cnf: {} };
    const { exp: _exp, ...inTime } = all;
    const { aud: _aud, ...forUs } = inTime;
    const { events: _events, ...usual } = forUs;
    const { sid: _sid, ...own } = usual;
    const found = [all, inTime, forUs, usual, own, { ...own, sub: 'a' }].map((more) =>
      summary(more, rules)?.slice(0, 2),
    );
    expect(found).toEqual([
      ['token_expired', 'exp'],
      ['audience_mismatch', 'aud'],
      ['foreign_token', 'events'],
      ['foreign_token', 'sid'],
      ['claim_missing', 'sub'],
      ['foreign_token', undefined],
    ]);
    expect(summary({ cnf: {} })?.[0]).toBe('confirmation_unsupported');
  });
});

describe('the test of a profile', () => {
  const throwing = () => {
    throw new TypeError('no such member');
  };
  const answer = (value: unknown) => () => value as boolean;
  const condition = (claim: string, holds: () => boolean) => ({ claim, expected: `a ${claim}`, holds });
  const fault = (test: () => boolean, conditions?: ClaimsTest['conditions'], more: Partial<AccessTokenProfile> = {}) =>
    profileFault(
      Object.assign(() => test(), { conditions }),
      { machine: 'm', rights: 'r', use: 'u' },
      {
        ...profile,
        ...more,
      },
    );

  it('accepts by true alone, and rejects by any other answer and by an error', () => {
    expect(fault(answer(true))).toBeUndefined();
    for (const value of [false, undefined, null, 0, 1, 'yes', {}, Promise.resolve(true)]) {
      expect(fault(answer(value))).toEqual({});
    }
    expect(fault(throwing)).toEqual({});
    expect(profileFault(answer(false), {}, profile)).toEqual({});
  });

  it('accepts a machine whatever its conditions', () => {
    expect(fault(answer(true), [condition('use', answer(false))])).toBeUndefined();
  });

  it('names the first claim whose condition does not hold', () => {
    const holding = condition('sub', answer(true));
    const other = condition('other', answer(false));
    const unmet = { claim: 'use', found: '[not shown]', expected: 'a use' };
    for (const holds of [answer(false), answer('yes'), answer(undefined), throwing]) {
      expect(fault(answer(false), [holding, condition('use', holds), other])).toEqual(unmet);
    }
    expect(fault(answer(false), [other])).toEqual({ claim: 'other', expected: 'a other' });
    expect(fault(answer(false), [holding])).toEqual({});
    expect(fault(answer(false), [])).toEqual({});
  });

  it('shows the values of the claims of client and scopes', () => {
    const unmet = (claim: string, more?: Partial<AccessTokenProfile>) =>
      fault(answer(false), [condition(claim, answer(false))], more)?.found;
    expect(unmet('machine')).toBe('"m"');
    expect(unmet('rights')).toBe('[not shown]');
    expect(unmet('rights', { scopeClaims: ['rights'] })).toBe('"r"');
    expect(unmet('machine', { scopeClaims: ['rights'] })).toBe('"m"');
    expect(unmet('use', { scopeClaims: ['rights'] })).toBe('[not shown]');
  });
});

describe('claims without a value', () => {
  it('count as absent', () => {
    expect(statedClaims({ a: null, b: 1, c: null })).toEqual({ b: 1 });
    expect(statedClaims({ a: null })).toEqual({});
    const kept = { zero: 0, no: false, empty: '', list: [null], object: { a: null }, unset: undefined };
    expect(Object.entries(statedClaims({ ...kept, a: null }))).toEqual(Object.entries(kept));
  });

  it('count where they bind or delegate a token', () => {
    expect(statedClaims({ cnf: null, act: null, sub: null })).toEqual({ cnf: null, act: null });
  });

  it('leave other claims as the same object', () => {
    for (const stated of [{ sub: 'a' }, {}, { cnf: null, act: null }]) expect(statedClaims(stated)).toBe(stated);
  });
});
