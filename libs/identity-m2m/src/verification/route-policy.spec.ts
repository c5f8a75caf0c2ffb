import { describe, expect, it, test } from '@jest/globals';
import type { MachineCaller } from './machine-caller.js';
import { type RoutePolicy, routeVerdict } from './route-policy.js';

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
    ['all of its scopes', { scopes: ['write', 'read'] }, 'allowed'],
    ['one scope too many', { scopes: ['read', 'admin'] }, 'scope_insufficient'],
    ['any of several scopes', { scopes: ['admin', 'read'], scopesMode: 'any' }, 'allowed'],
    ['any of other scopes', { scopes: ['admin', 'audit'], scopesMode: 'any' }, 'scope_insufficient'],
    ['its claims', { claims: { tenant: 'acme', roles: 'admin' } }, 'allowed'],
    ['another claim', { claims: { tenant: 'acme', roles: 'auditor' } }, 'claims_insufficient'],
  ])('with %s: %j is %s', (_name, policy, expected) => {
    expect(outcome(policy)).toBe(expected);
  });

  it('takes a bare client identifier for no client of several issuers, unless the options name it', () => {
    const policy = { clients: ['billing'] };
    expect(outcome(policy, {}, SEVERAL_ISSUERS)).toBe('client_not_allowed');
    expect(outcome(policy, { isNamed: true }, SEVERAL_ISSUERS)).toBe('allowed');
  });

  it('allows no caller of a sensitive route whose issuer was not asked, and checks its rights first', () => {
    expect(outcome({ sensitive: true })).toBe('introspection_unavailable');
    expect(outcome({ sensitive: true, scopes: ['admin'] })).toBe('scope_insufficient');
    expect(outcome({ sensitive: true }, { isIntrospected: true })).toBe('allowed');
    expect(outcome({ sensitive: true, scopes: ['admin'] }, { isIntrospected: true })).toBe('scope_insufficient');
    expect(outcome({ sensitive: false })).toBe('allowed');
  });
});
