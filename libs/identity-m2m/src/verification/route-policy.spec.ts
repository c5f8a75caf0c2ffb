import { describe, expect, it, test } from '@jest/globals';
import type { MachineCaller } from './machine-caller.js';
import { type ClaimRule, type ClaimRules, isClaimRules, type RoutePolicy, routeVerdict } from './route-policy.js';

const ONE_ISSUER = { hasSeveralIssuers: false };
const SEVERAL_ISSUERS = { hasSeveralIssuers: true };
const caller: MachineCaller = {
  clientId: 'billing',
  issuer: 'https://id.example',
  isNamed: false,
  isIntrospected: false,
  subject: 'billing',
  scopes: ['read', 'write'],
  expiresAt: new Date('2030-01-01T00:00:00Z'),
  tokenFingerprint: 'abc',
  claims: { tenant: 'acme', roles: ['admin'] },
};

const outcome = (policy: RoutePolicy, more: Partial<MachineCaller> = {}, context = ONE_ISSUER) => {
  const verdict = routeVerdict({ ...caller, ...more }, policy, context);
  return verdict.ok ? 'allowed' : verdict.reason;
};

describe('the verdict of a route', () => {
  test.each<[string, RoutePolicy, string]>([
    ['no rule', {}, 'allowed'],
    ['its client', { clients: ['other', 'billing'] }, 'allowed'],
    ['another client', { clients: ['other'] }, 'client_not_allowed'],
    ['no client', { clients: [] }, 'client_not_allowed'],
    ['the beginning of its client', { clients: ['bill'] }, 'client_not_allowed'],
    ['all of its scopes', { scopes: ['write', 'read'] }, 'allowed'],
    ['one scope too many', { scopes: ['read', 'admin'] }, 'scope_insufficient'],
    ['any of several scopes', { scopes: ['admin', 'read'], scopesMode: 'any' }, 'allowed'],
    ['any of other scopes', { scopes: ['admin', 'audit'], scopesMode: 'any' }, 'scope_insufficient'],
    ['all of several scopes by name', { scopes: ['admin', 'read'], scopesMode: 'all' }, 'scope_insufficient'],
    ['the beginning of a scope', { scopes: ['rea'], scopesMode: 'any' }, 'scope_insufficient'],
    ['no scope', { scopes: [] }, 'allowed'],
    ['any of no scopes', { scopes: [], scopesMode: 'any' }, 'allowed'],
    ['its claims', { claims: { tenant: 'acme', roles: 'admin' } }, 'allowed'],
    ['another claim', { claims: { tenant: 'acme', roles: 'auditor' } }, 'claims_insufficient'],
  ])('with %s: %j is %s', (_name, policy, expected) => {
    expect(outcome(policy)).toBe(expected);
  });

  it('takes a bare client identifier for no client of several issuers, unless the options name it', () => {
    const policy = { clients: ['billing'] };
    expect(outcome(policy, {}, SEVERAL_ISSUERS)).toBe('client_not_allowed');
    expect(outcome(policy, { isNamed: true }, SEVERAL_ISSUERS)).toBe('allowed');
    expect(outcome(policy, { isNamed: true })).toBe('allowed');
    expect(outcome({}, {}, SEVERAL_ISSUERS)).toBe('allowed');
  });

  it('allows no caller of a sensitive route without introspection, and checks its rights first', () => {
    expect(outcome({ sensitive: true })).toBe('introspection_unavailable');
    expect(outcome({ sensitive: true, scopes: ['admin'] })).toBe('scope_insufficient');
    expect(outcome({ sensitive: true }, { isIntrospected: true })).toBe('allowed');
    expect(outcome({ sensitive: true, scopes: ['admin'] }, { isIntrospected: true })).toBe('scope_insufficient');
    expect(outcome({ sensitive: false })).toBe('allowed');
  });
});

describe('what a route answers', () => {
  it('is the caller itself where it is allowed', () => {
    const verdict = routeVerdict(caller, {}, ONE_ISSUER);
    expect(verdict).toEqual({ ok: true, caller });
    expect(verdict.caller).toBe(caller);
  });

  const scope = { claim: 'scope', found: '["read", "write"]' };
  const client = { claim: 'client id', found: '"billing"' };
  const hidden = { claim: 'tenant', found: '[not shown]' };
  test.each<[string, RoutePolicy, object]>([
    ['client', { clients: ['a', 'b'] }, { ...client, expected: '"a" or "b"' }],
    ['client, where none may call', { clients: [] }, { ...client, expected: 'none' }],
    ['scopes', { scopes: ['read', 'admin'] }, { ...scope, expected: '"read" and "admin"' }],
    ['scopes, by name', { scopes: ['a', 'b'], scopesMode: 'all' }, { ...scope, expected: '"a" and "b"' }],
    ['scopes of which any will do', { scopes: ['a', 'b'], scopesMode: 'any' }, { ...scope, expected: '"a" or "b"' }],
    ['claim', { claims: { tenant: 'other' } }, { ...hidden, expected: '"other"' }],
    ['claim, for a number', { claims: { tenant: 5 } }, { ...hidden, expected: '5' }],
    ['claim, for several values', { claims: { tenant: ['a', false] } }, { ...hidden, expected: '["a", false]' }],
    [
      'claim, for an object',
      { claims: { tenant: { id: 'acme' } } },
      { ...hidden, expected: 'an object with the members of the rule' },
    ],
    ['claim that it lacks', { claims: { azp: 'x' } }, { claim: 'azp', expected: '"x"' }],
    ['claim that may be shown', { claims: { typ: 'Bearer' } }, { claim: 'typ', found: '"JWT"', expected: '"Bearer"' }],
    ['claim with no name', { claims: { '': 'x' } }, { claim: '""', expected: '"x"' }],
    ['first claim alone', { claims: { roles: 'admin', b: 1, a: 2 } }, { claim: 'b', expected: '1' }],
  ])('names the caller and its %s', (_name, policy, detail) => {
    const refused = { ...caller, claims: { ...caller.claims, typ: 'JWT' } };
    const verdict = routeVerdict(refused, policy, ONE_ISSUER);
    const reason = policy.clients ? 'client_not_allowed' : policy.scopes ? 'scope_insufficient' : 'claims_insufficient';
    expect(verdict).toEqual({ ok: false, reason, ...detail, caller: refused });
    expect(verdict.caller).toBe(refused);
  });

  it('explains that a client of several issuers must be named', () => {
    const policy = { clients: ['billing', 'other'] };
    const expected = 'a client in the options of the guard, because the guard trusts several issuers';
    expect(routeVerdict(caller, policy, SEVERAL_ISSUERS)).toMatchObject({ ...client, expected, caller });
    const named = { ...caller, isNamed: true };
    expect(routeVerdict(named, { clients: ['other'] }, SEVERAL_ISSUERS)).toMatchObject({ expected: '"other"' });
  });

  it('names no caller without introspection', () => {
    expect(routeVerdict(caller, { sensitive: true }, ONE_ISSUER)).toEqual({
      ok: false,
      reason: 'introspection_unavailable',
      expected: 'introspection by its issuer, because the route is @Sensitive()',
    });
  });

  it('is about the client first, then scopes, claims and introspection', () => {
    const rules = { clients: ['other'], scopes: ['admin'], claims: { tenant: 'other' }, sensitive: true };
    const { clients: _clients, ...withoutClients } = rules;
    const { scopes: _scopes, ...withoutScopes } = withoutClients;
    expect([rules, withoutClients, withoutScopes, { sensitive: true }].map((policy) => outcome(policy))).toEqual([
      'client_not_allowed',
      'scope_insufficient',
      'claims_insufficient',
      'introspection_unavailable',
    ]);
  });
});

describe('the rule for a claim', () => {
  const meets = (claim: unknown, rule: ClaimRule) =>
    outcome({ claims: { claim: rule } }, { claims: { claim } }) === 'allowed';
  const nested = { tenant: { id: 5, tags: ['a', 'b'] }, plan: 'pro' };

  test.each<[unknown, ClaimRule]>([
    ['acme', 'acme'],
    ['', ''],
    [5, 5],
    [0, 0],
    [true, true],
    [false, false],
    [['user', 'admin'], 'admin'],
    [[1, 2], 2],
    ['b', ['a', 'b']],
    [
      ['c', 'b'],
      ['a', 'b'],
    ],
    [false, ['a', false]],
    [nested, { plan: 'pro' }],
    [nested, { plan: ['free', 'pro'], tenant: { id: 5, tags: 'b' } }],
    [nested, { tenant: { tags: ['b', 'c'] } }],
    [{ 'a.b': 'x' }, { 'a.b': 'x' }],
  ])('is met by %j: %j', (claim, rule) => {
    expect(meets(claim, rule)).toBe(true);
  });

  test.each<[unknown, ClaimRule]>([
    ['administrator', 'admin'],
    ['admin', 'administrator'],
    ['Acme', 'acme'],
    ['5', 5],
    [5, '5'],
    [1, true],
    ['true', true],
    [0, false],
    [null, 'null'],
    [null, false],
    [undefined, 'undefined'],
    [['user'], 'admin'],
    [[], 'admin'],
    [['5'], 5],
    [[['admin']], 'admin'],
    [['admin user'], 'admin'],
    ['c', ['a', 'b']],
    ['ab', ['a', 'b']],
    [
      ['c', 'd'],
      ['a', 'b'],
    ],
    [[], ['a', 'b']],
    [{ admin: true }, 'admin'],
    [nested, 'pro'],
    [nested, { plan: 'free' }],
    [nested, { plan: 'pro', tenant: { id: 6 } }],
    [nested, { tenant: { id: 6 }, plan: 'pro' }],
    [nested, { tenant: { id: 5, tags: 'c' } }],
    [nested, { tenant: { id: 5, name: 'x' } }],
    [nested, { plan: { pro: true } }],
    [{}, { plan: 'pro' }],
    [null, { plan: 'pro' }],
    ['x', { length: 1 }],
    [['x'], { length: 1 }],
    [[{ plan: 'pro' }], { plan: 'pro' }],
    [{ a: { b: 'x' } }, { 'a.b': 'x' }],
    [Object.create({ plan: 'pro' }), { plan: 'pro' }],
  ])('is not met by %j: %j', (claim, rule) => {
    expect(meets(claim, rule)).toBe(false);
  });

  it('is about a claim of the token itself, not about an inherited one', () => {
    const claims = { claims: { tenant: 'acme' } };
    expect(outcome(claims, { claims: Object.create({ tenant: 'acme' }) })).toBe('claims_insufficient');
    expect(outcome(claims, { claims: { Tenant: 'acme' } })).toBe('claims_insufficient');
    expect(outcome({ claims: {} }, { claims: {} })).toBe('allowed');
  });
});

describe('rules for claims in the options', () => {
  const FAIR: readonly ClaimRules[] = [
    { a: 'x' },
    { a: '', b: 0, c: false },
    { a: -1.5, b: ['x', 5, false] },
    { a: { b: 'x' } },
    { a: { b: { c: ['x'] }, d: true }, e: 1 },
  ];
  test.each(FAIR)('are rules: %j', (rules) => {
    expect(isClaimRules(rules)).toBe(true);
  });

  test.each<[string, unknown]>([
    ['no value', undefined],
    ['null', null],
    ['a string', 'x'],
    ['a number', 5],
    ['a list', ['x']],
    ['a list of rules', [{ a: 'x' }]],
    ['no rule', {}],
    ['undefined as a rule', { a: undefined }],
    ['null as a rule', { a: null }],
    ['a number that is none', { a: NaN }],
    ['an infinite number', { a: Infinity }],
    ['a big integer', { a: 1n }],
    ['a function', { a: () => true }],
    ['no accepted value', { a: [] }],
    ['null among the accepted values', { a: ['x', null] }],
    ['a list of lists', { a: [['x']] }],
    ['rules in a list', { a: [{ b: 'x' }] }],
    ['no rule for an object', { a: {} }],
    ['no rule further down', { a: { b: {} } }],
    ['a fault further down', { a: { b: 'x', c: null } }],
    ['a fault beside a rule', { a: 'x', b: null }],
    ['a rule beside a fault', { a: null, b: 'x' }],
  ])('are none with %s', (_name, value) => {
    expect(isClaimRules(value)).toBe(false);
  });
});
