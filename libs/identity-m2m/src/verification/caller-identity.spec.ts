import { describe, expect, it, test } from '@jest/globals';
import { tokenFingerprint } from '../foundation/sensitive-value.js';
import { absent, type AccessTokenProfile, allOf, type Claims } from '../identity-providers/identity-provider.js';
import { callerIdentity, clientExpired, confirmedCaller, readScopes } from './caller-identity.js';
import { StaticKeySet, VerificationKeys } from './key-set.js';
import { ClientRegistry, type RegisteredClient } from './trusted-issuer.js';

const issuer = 'https://id.example';
const EXPIRY = 1_893_456_000;
const isMachine = allOf(absent('email'), {
  claim: 'sub',
  expected: 'equal to machine',
  holds: ({ sub, machine }) => sub === machine,
});
const base: AccessTokenProfile = {
  algorithms: ['ES256'],
  tokenTypes: [undefined],
  clientIdClaims: ['machine', 'azp'],
  requiredClaims: [],
  isMachine,
};

interface Setting {
  readonly profile?: Partial<AccessTokenProfile>;
  readonly clients?: readonly Partial<RegisteredClient>[];
  readonly source?: 'signed' | 'introspected';
}

function identify(claims: Claims, { profile, clients, source = 'signed' }: Setting = {}) {
  const named = clients?.map((client) => ({ issuer, clientId: 'billing', ...client }));
  const trusted = {
    issuer,
    policy: {
      audiences: ['api'],
      clockToleranceSeconds: 0,
      maxTokenLifetimeSeconds: undefined,
      profile: { ...base, ...profile },
    },
    keys: new StaticKeySet(new VerificationKeys([])),
    clients: named && new ClientRegistry(named),
    fetchesKeysEarly: true,
    isResolved: false,
  };
  return callerIdentity({ token: 'the token', issuer: trusted, claims: { exp: EXPIRY, ...claims } }, source);
}
const billing = { machine: 'billing', sub: 'billing' };
function caller(claims: Claims, setting?: Setting) {
  const identity = identify(claims, setting);
  if (!identity.ok) throw new Error(`refused: ${identity.reason}`);
  return identity.caller;
}
/** The reason, the claim, what was found, what was expected; `accepted` without a refusal. */
function outcome(claims: Claims, setting?: Setting): unknown {
  const identity = identify(claims, setting);
  if (identity.ok) return 'accepted';
  const { reason, claim, found, expected } = identity;
  return [reason, claim, found, expected];
}

describe('the caller of a token', () => {
  it('is made of its claims and its issuer', () => {
    const claims = { ...billing, scope: 'a b' };
    const identity = identify(claims);
    expect(identity).toEqual({
      ok: true,
      caller: {
        clientId: 'billing',
        issuer,
        isNamed: false,
        isIntrospected: false,
        subject: 'billing',
        scopes: ['a', 'b'],
        expiresAt: new Date(EXPIRY * 1000),
        tokenFingerprint: tokenFingerprint('the token'),
        claims: { exp: EXPIRY, ...claims },
      },
      clientEndsAtMs: Infinity,
    });
  });

  it('can’t be changed, not even its date and its scopes', () => {
    for (const setting of [{}, { clients: [{ scopes: ['a'] }] }]) {
      const one = caller({ ...billing, scope: 'a b' }, setting);
      one.expiresAt.setTime(0);
      expect(one.expiresAt).toEqual(new Date(EXPIRY * 1000));
      expect([Object.isFrozen(one), Object.isFrozen(one.scopes)]).toEqual([true, true]);
    }
  });

  it('has no subject where the claim is none', () => {
    const profile = { isMachine: undefined };
    const clients = [{}];
    expect(caller({ machine: 'billing', sub: 1 }, { profile, clients }).subject).toBeUndefined();
    expect(caller({ machine: 'billing' }, { profile, clients }).subject).toBeUndefined();
    expect(caller({ machine: 'billing', sub: '' }, { profile, clients }).subject).toBe('');
  });

  it('is introspected where its issuer was queried', () => {
    expect(caller(billing, { source: 'introspected' }).isIntrospected).toBe(true);
  });

  test.each<[string, readonly Partial<RegisteredClient>[], object]>([
    ['all its scopes, without an end', [{}], { scopes: ['a', 'b'], endsAtMs: Infinity }],
    ['the named scopes that the token has', [{ scopes: ['c', 'b'] }], { scopes: ['b'], endsAtMs: Infinity }],
    ['no scopes', [{ scopes: [] }], { scopes: [], endsAtMs: Infinity }],
    ['an end', [{ endsAtMs: 5 }], { scopes: ['a', 'b'], endsAtMs: 5 }],
    ['an end at the epoch', [{ endsAtMs: 0 }], { scopes: ['a', 'b'], endsAtMs: 0 }],
  ])('that the options name has %s', (_name, clients, { scopes, endsAtMs }: { scopes?: object; endsAtMs?: number }) => {
    const identity = identify({ ...billing, scope: 'a b' }, { clients });
    expect(identity).toMatchObject({ ok: true, caller: { isNamed: true, scopes }, clientEndsAtMs: endsAtMs });
  });
});

describe('the client of a token', () => {
  test.each<[string, Claims, string]>([
    ['the first claim', { machine: 'a' }, 'a'],
    ['the second claim', { azp: 'b' }, 'b'],
    ['both claims', { machine: 'a', azp: 'a' }, 'a'],
  ])('is named by %s', (_name, claims, clientId) => {
    expect(caller(claims, { profile: { isMachine: undefined }, clients: [{ clientId }] }).clientId).toBe(clientId);
  });

  const NONE = 'a client id';
  test.each<[string, Claims, readonly unknown[]]>([
    ['no claim', { client_id: 'a' }, ['client_unknown', 'machine, azp', undefined, NONE]],
    ['an empty claim', { machine: '' }, ['client_unknown', 'machine', '""', NONE]],
    ['a number', { machine: 1 }, ['client_unknown', 'machine', '1', NONE]],
    ['a list', { machine: ['a'] }, ['client_unknown', 'machine', '["a"]', NONE]],
    ['a second claim that is empty', { machine: 'a', azp: '' }, ['client_unknown', 'azp', '""', NONE]],
    ['a second claim that is no string', { machine: 'a', azp: {} }, ['client_unknown', 'azp', '{…}', NONE]],
    ['two claims', { machine: 'a', azp: 'b' }, ['client_ambiguous', 'azp', '"b"', '"a", as in machine']],
    ['two cases', { machine: 'a', azp: 'A' }, ['client_ambiguous', 'azp', '"A"', '"a", as in machine']],
  ])('is not named by %s', (_name, claims, expected) => {
    expect(outcome(claims)).toEqual(expected);
  });

  it('is also named by `client_id` in an introspection response, and there alone', () => {
    const claims = { client_id: 'billing' };
    const setting = { clients: [{}], profile: { isMachine: undefined } };
    expect(caller(claims, { ...setting, source: 'introspected' }).clientId).toBe('billing');
    expect(outcome(claims, setting)).toEqual(['client_unknown', 'machine, azp', undefined, NONE]);
    expect(outcome({}, { ...setting, source: 'introspected' })).toEqual([
      'client_unknown',
      'machine, azp, client_id',
      undefined,
      NONE,
    ]);
    expect(outcome({ machine: 'a', client_id: 'b' }, { ...setting, source: 'introspected' })).toEqual([
      'client_ambiguous',
      'client_id',
      '"b"',
      '"a", as in machine',
    ]);
    const profile = { isMachine: undefined, clientIdClaims: ['client_id'] };
    expect(outcome({}, { profile, source: 'introspected' })).toEqual(['client_unknown', 'client_id', undefined, NONE]);
  });

  it('must be one of those that the options name', () => {
    const clients = [{ clientId: 'a' }, { clientId: 'b' }, { clientId: 'billing', issuer: 'https://other.example' }];
    expect(outcome(billing, { clients })).toEqual(['client_not_allowed', 'client id', '"billing"', '"a" or "b"']);
    expect(outcome(billing, { clients: [] })).toEqual(['client_not_allowed', 'client id', '"billing"', 'none']);
    expect(outcome(billing, { clients: [...clients, {}] })).toBe('accepted');
    expect(identify(billing, { clients })).toMatchObject({ caller: { clientId: 'billing', isNamed: false } });
  });

  it('is refused from the end of its entry on', () => {
    const one = caller(billing);
    expect(clientExpired(one, EXPIRY * 1000)).toEqual({
      ok: false,
      reason: 'client_expired',
      claim: 'client id',
      found: '"billing"',
      expected: 'before 2030-01-01T00:00:00.000Z',
      caller: one,
    });
  });
});

describe('a caller that acts for another', () => {
  test.each([{ sub: 'x' }, null, false])(
    'is refused, whatever the value of its claim (%j), also where it is named',
    (act) => {
      for (const source of ['signed', 'introspected'] as const) {
        const refused = identify({ ...billing, act }, { clients: [{}], source });
        expect(refused).toMatchObject({
          reason: 'delegated_token',
          claim: 'act',
          found: '[not shown]',
          expected: 'none',
          caller: { clientId: 'billing' },
        });
      }
    },
  );
});

describe('a caller that is not a machine', () => {
  const UNNAMED = [
    'not_a_machine',
    undefined,
    undefined,
    'a client in the options of the guard, because its token does not show a machine',
  ];
  const PERSON = ['not_a_machine', 'sub', '[not shown]', 'equal to machine'];
  const WITH_MAIL = ['not_a_machine', 'email', '[not shown]', 'none'];
  const noTest = { isMachine: undefined };
  const signed = 'signed';
  const introspected = 'introspected';
  const clients = [{}];
  test.each<[string, Claims, Setting, unknown]>([
    ['a machine', billing, {}, 'accepted'],
    ['a machine, named', billing, { clients }, 'accepted'],
    ['a person', { machine: 'billing', sub: 'ann' }, {}, PERSON],
    ['a person, named', { machine: 'billing', sub: 'ann' }, { clients }, PERSON],
    ['a person’s mail', { ...billing, email: 'a@b' }, { clients }, WITH_MAIL],
    ['no test, unnamed', billing, { profile: noTest }, UNNAMED],
    [
      'no test, another named',
      billing,
      { profile: noTest, clients: [{ clientId: 'a' }] },
      ['client_not_allowed', 'client id', '"billing"', '"a"'],
    ],
    ['no test, named', billing, { profile: noTest, clients }, 'accepted'],
    ['no subject', { machine: 'billing' }, { source: signed }, ['not_a_machine', 'sub', undefined, 'equal to machine']],
    ['no subject in a response', { machine: 'billing' }, { source: introspected }, UNNAMED],
    ['no subject in a response, named', { machine: 'billing' }, { source: introspected, clients }, 'accepted'],
    [
      'a user name in a response',
      { machine: 'billing', username: 'ann' },
      { source: introspected, clients },
      ['not_a_machine', 'sub', undefined, 'equal to machine'],
    ],
    ['a machine in a response', billing, { source: introspected }, 'accepted'],
    ['a person in a response', { machine: 'billing', sub: 'ann' }, { source: introspected, clients }, PERSON],
    [
      'a machine in a response’s own claim',
      { client_id: 'billing', sub: 'billing' },
      { source: introspected },
      'accepted',
    ],
    ['a person in a response’s own claim', { client_id: 'billing', sub: 'ann' }, { source: introspected }, PERSON],
    ['no test for a response, unnamed', billing, { source: introspected, profile: noTest }, UNNAMED],
    ['no test for a response, named', billing, { source: introspected, profile: noTest, clients }, 'accepted'],
  ])('is recognised by its claims: %s', (_name, claims, setting, expected) => {
    expect(outcome(claims, setting)).toEqual(expected);
  });

  it('is refused before the list of clients is looked at, and is named in the refusal', () => {
    const refused = identify({ machine: 'x', sub: 'ann' }, { clients });
    expect(refused).toMatchObject({ reason: 'not_a_machine', caller: { clientId: 'x', subject: 'ann' } });
  });

  it('is recognised by the claims of the response where it has them, and not by the client that they name', () => {
    const seen: Claims[] = [];
    const isMachine = (claims: Claims) => seen.push(claims) > 0;
    caller({ client_id: 'billing', azp: 'billing', sub: 's' }, { source: introspected, profile: { isMachine } });
    const claims = { exp: EXPIRY, client_id: 'billing', azp: 'billing', sub: 's' };
    expect(seen).toEqual([{ machine: 'billing', ...claims }]);
  });
});

describe('the scopes of a token', () => {
  test.each<[string, Claims, readonly string[]]>([
    ['no claim', {}, []],
    ['a string', { scope: 'a b' }, ['a', 'b']],
    ['a list', { scope: ['a', 'b'] }, ['a', 'b']],
    ['the other claim', { scp: 'a b' }, ['a', 'b']],
    ['an empty string', { scope: '' }, []],
    ['an empty list', { scope: [] }, []],
    ['many spaces', { scope: '  a   b ' }, ['a', 'b']],
    ['a name twice', { scope: 'a b a' }, ['a', 'b']],
    ['both claims', { scope: 'a b', scp: ['b', 'a'] }, ['a', 'b']],
    ['both claims, one with a name twice', { scope: 'a a b', scp: 'b a' }, ['a', 'b']],
    ['both claims, empty', { scope: '', scp: [] }, []],
    ['another claim', { roles: 'a' }, []],
  ])('are read of %s', (_name, claims, granted) => {
    const read = readScopes(claims);
    expect(read).toEqual({ ok: true, granted });
    expect(read.ok && Object.isFrozen(read.granted)).toBe(true);
  });

  const FORM = 'scopes, separated by spaces or in a list';
  const SAME = 'the same scopes as in the other claim';
  test.each<[string, Claims, readonly unknown[]]>([
    ['a number', { scope: 1 }, ['scope', '1', FORM]],
    ['null', { scope: null }, ['scope', 'null', FORM]],
    ['an object', { scope: {} }, ['scope', '{…}', FORM]],
    ['a list with a number', { scope: ['a', 1] }, ['scope', '["a", 1]', FORM]],
    ['a list with an empty name', { scope: ['a', ''] }, ['scope', '["a", ""]', FORM]],
    ['a list with a space in a name', { scope: ['a b'] }, ['scope', '["a b"]', FORM]],
    ['a tab', { scope: 'a\tb' }, ['scope', String.raw`"a\tb"`, FORM]],
    ['a quotation mark', { scope: 'a"' }, ['scope', String.raw`"a\""`, FORM]],
    ['another claim of another form', { scope: 'a', scp: 1 }, ['scp', '1', FORM]],
    ['one less in the other claim', { scope: 'a b', scp: 'a' }, ['scp', '"a"', SAME]],
    ['one more in the other claim', { scope: 'a', scp: 'a b' }, ['scp', '"a b"', SAME]],
    ['other names in the other claim', { scope: 'a b', scp: 'a c' }, ['scp', '"a c"', SAME]],
    ['none in the first claim', { scope: '', scp: 'a' }, ['scp', '"a"', SAME]],
    ['none in the other claim', { scope: 'a', scp: '' }, ['scp', '""', SAME]],
  ])('are not read of %s', (_name, claims, [claim, found, expected]: readonly unknown[]) => {
    expect(readScopes(claims)).toEqual({ ok: false, reason: 'scope_malformed', claim, found, expected });
  });

  it('are read of the claims of the issuer alone, and shown', () => {
    const profile = { scopeClaims: ['rights'] };
    expect(caller({ ...billing, rights: 'a', scope: 1 }, { profile }).scopes).toEqual(['a']);
    expect(outcome({ ...billing, rights: 1 }, { profile })).toEqual(['scope_malformed', 'rights', '1', FORM]);
  });

  it('are read of the usual claims in an introspection response', () => {
    const setting: Setting = { profile: { scopeClaims: ['rights'] }, source: 'introspected' };
    expect(caller({ ...billing, rights: 1, scope: 'a' }, setting).scopes).toEqual(['a']);
  });
});

describe('a caller that its issuer has confirmed', () => {
  it('is the same but for its scopes, of which none is added', () => {
    const one = caller({ ...billing, scope: 'a b c' });
    const confirmed = confirmedCaller(one, ['c', 'a', 'd']);
    expect(confirmed).toEqual({ ...one, isIntrospected: true, scopes: ['a', 'c'] });
    expect(one.isIntrospected).toBe(false);
    confirmed.expiresAt.setTime(0);
    expect(confirmed.expiresAt).toEqual(new Date(EXPIRY * 1000));
    expect([Object.isFrozen(confirmed), Object.isFrozen(confirmed.scopes)]).toEqual([true, true]);
    expect(Object.keys(confirmed).toSorted()).toEqual(Object.keys(one).toSorted());
  });
});
