import { describe, expect, it, test } from '@jest/globals';
import { EventStream } from '../foundation/event-stream.js';
import { type AccessTokenProfile, SIGNATURE_ALGORITHMS } from '../identity-providers/identity-provider.js';
import { ManualClock } from '../testing/manual-clock.js';
import { StaticKeySet, VerificationKeys } from './key-set.js';
import { ResolvedIssuers } from './resolved-issuers.js';
import { issuerUnknown, readSignedToken } from './signed-token.js';
import type { TrustedIssuer } from './trusted-issuer.js';
import { TrustedIssuers } from './trusted-issuers.js';

const NAMED = 'https://id.example';
const TENANT = 'https://tenant.example';
const profile: AccessTokenProfile = {
  algorithms: ['ES256', 'RS256'],
  tokenTypes: ['at+jwt', undefined],
  clientIdClaims: ['client_id'],
  requiredClaims: [],
};

function trusted(issuer: string, more: Partial<AccessTokenProfile> = {}): TrustedIssuer {
  return {
    issuer,
    policy: {
      audiences: ['api'],
      clockToleranceSeconds: 0,
      maxTokenLifetimeSeconds: undefined,
      profile: { ...profile, ...more },
    },
    keys: new StaticKeySet(new VerificationKeys([])),
    clients: undefined,
    fetchesKeysEarly: true,
    isResolved: false,
  };
}

interface Trust {
  readonly profile?: Partial<AccessTokenProfile>;
  /** What a resolver answers; absent: no issuer is resolved. */
  readonly resolve?: (issuer: string) => unknown;
}

function issuersWith({ profile: more, resolve }: Trust = {}): TrustedIssuers {
  const clock = new ManualClock();
  const resolved =
    resolve &&
    new ResolvedIssuers({
      resolve,
      trust: (issuer) => trusted(issuer, more),
      maxIssuers: 10,
      holdMs: 60_000,
      clock,
      emit: () => {},
    });
  const named = [trusted(NAMED, more), trusted('https://second.example')];
  return new TrustedIssuers({ named, resolved, start: 'lazy', startTimeoutMs: 1, events: new EventStream(), clock });
}

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (header: object, claims: object = { iss: NAMED }) => `${encoded(header)}.${encoded(claims)}.AAAA`;
const read = (header: object, claims?: object, trust?: Trust) =>
  readSignedToken(jwt({ alg: 'ES256', ...header }, claims), issuersWith(trust));
/** What is read of a header; or the reason, the name, what was found and what was expected. */
async function outcome(header: object, claims?: object, trust?: Trust) {
  const token = await read(header, claims, trust);
  if (token.ok) return token.header;
  const { reason, claim, found, expected } = token;
  return [reason, claim, found, expected];
}

describe('a signed token', () => {
  it('has an issuer, a header and claims, without those that are null', () => {
    const issuers = issuersWith();
    const token = jwt({ alg: 'ES256', kid: 'k', x: 1 }, { iss: NAMED, sub: null, cnf: null, n: 0 });
    expect(readSignedToken(token, issuers)).toEqual({
      ok: true,
      token,
      issuer: issuers.find(NAMED),
      header: { ok: true, algorithm: 'ES256', kid: 'k' },
      claims: { iss: NAMED, cnf: null, n: 0 },
    });
  });

  it('is refused by its form first', () => {
    const token = jwt({ alg: 'none' }, { iss: 'x' });
    expect(readSignedToken(token.replace('.', '..'), issuersWith())).toMatchObject({
      reason: 'token_malformed',
    });
  });

  test.each(['crit', 'b64', 'jwk', 'jku', 'x5u'])(
    'is refused with %s in its header, whatever its value',
    async (name) => {
      for (const value of [null, '', [], 'https://id.example']) {
        const expected = ['token_header_refused', name, '[not shown]', 'none'];
        expect(await outcome({ [name]: value, alg: 'none' })).toEqual(expected);
      }
    },
  );

  test.each(['x5c', 'x5t', 'x5t#S256', 'cty', 'zip', 'CRIT', 'epk'])('may have %s in its header', async (name) => {
    expect(await outcome({ [name]: 'value' })).toEqual({ ok: true, algorithm: 'ES256', kid: undefined });
  });

  test.each<[unknown, string | undefined]>([
    [undefined, undefined],
    [null, 'null'],
    [256, '256'],
    [['ES256'], '["ES256"]'],
    ['', '""'],
    ['none', '"none"'],
    ['HS256', '"HS256"'],
    ['ES384', '"ES384"'],
    ['es256', '"es256"'],
    ['ES25', '"ES25"'],
    ['ES2566', '"ES2566"'],
  ])('is refused with the algorithm %j', async (alg, found) => {
    expect(await outcome({ alg })).toEqual(['algorithm_refused', 'alg', found, '"ES256" or "RS256"']);
  });

  test.each(['ES256', 'RS256'])('may have any algorithm of its issuer: %s', async (alg) => {
    expect(await outcome({ alg })).toMatchObject({ algorithm: alg });
  });

  test.each([undefined, 'at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/At+Jwt'])(
    'may have the type %s',
    async (typ) => {
      expect(await outcome({ typ })).toMatchObject({ ok: true });
    },
  );

  test.each<[unknown, string]>([
    [null, 'null'],
    [1, '1'],
    ['', '""'],
    ['JWT', '"JWT"'],
    ['xat+jwt', '"xat+jwt"'],
    ['at+jwtx', '"at+jwtx"'],
    ['application/', '"application/"'],
    ['application/application/at+jwt', '"application/application/at+jwt"'],
    ['x-application/at+jwt', '"x-application/at+jwt"'],
    ['at+application/jwt', '"at+application/jwt"'],
    ['text/at+jwt', '"text/at+jwt"'],
    ['logout+jwt', '"logout+jwt"'],
  ])('is refused with the type %j', async (typ, found) => {
    expect(await outcome({ typ })).toEqual(['token_type_refused', 'typ', found, '"at+jwt" or none']);
  });

  it('needs a type where its issuer always sends one', async () => {
    const trust = { profile: { tokenTypes: ['at+jwt'] } };
    expect(await outcome({}, undefined, trust)).toEqual(['token_type_refused', 'typ', undefined, '"at+jwt"']);
    expect(await outcome({ typ: 'at+jwt' }, undefined, trust)).toMatchObject({ ok: true });
  });

  it('is refused with the type of another kind of token, even where a profile names it', async () => {
    const trust = { profile: { tokenTypes: ['logout+jwt', 'jwt'] } };
    const refusal = ['token_type_refused', 'typ', '"LOGOUT+JWT"', '"logout+jwt" or "jwt"'];
    expect(await outcome({ typ: 'LOGOUT+JWT' }, undefined, trust)).toEqual(refusal);
    expect(await outcome({ typ: 'JWT' }, undefined, trust)).toMatchObject({ ok: true });
  });

  test.each(['k', 'k'.repeat(256), ' ', '\u00e9'])('may name its key: %s', async (kid) => {
    expect(await outcome({ kid })).toEqual({ ok: true, algorithm: 'ES256', kid });
  });

  test.each<[unknown, string]>([
    ['', '""'],
    ['k'.repeat(257), `"${'k'.repeat(80)}…"`],
    [null, 'null'],
    [1, '1'],
    [['k'], '["k"]'],
  ])('is refused where it names its key %j', async (kid, found) => {
    const expected = ['token_header_refused', 'kid', found, 'a string of 1 to 256 characters'];
    expect(await outcome({ kid })).toEqual(expected);
  });
});

describe('the issuer of a signed token', () => {
  test.each<[unknown, string | undefined]>([
    [undefined, undefined],
    [null, undefined],
    [1, '1'],
    [[NAMED], `["${NAMED}"]`],
    ['', '""'],
    [`${NAMED}/`, `"${NAMED}/"`],
    ['HTTPS://id.example', '"HTTPS://id.example"'],
    [TENANT, `"${TENANT}"`],
  ])('is unknown where it is %j, and the header is not read', async (iss, found) => {
    const expected = ['issuer_unknown', 'iss', found, '"https://id.example" or "https://second.example"'];
    expect(await outcome({ alg: 'none' }, { iss })).toEqual(expected);
  });

  it('is unknown among those that are given', () => {
    expect(issuerUnknown({ iss: 'a' }, ['b'])).toEqual({
      ok: false,
      reason: 'issuer_unknown',
      claim: 'iss',
      found: '"a"',
      expected: '"b"',
    });
  });

  it('is never resolved where it is named', () => {
    const asked: string[] = [];
    const trust = { resolve: (issuer: string) => asked.push(issuer) };
    expect(read({}, undefined, trust)).toMatchObject({ ok: true });
    expect(asked).toEqual([]);
  });

  test.each([undefined, null, 1, '', ' https://tenant.example', 'https://tenant.example\n', 'x'.repeat(10_000)])(
    'is not resolved where it can’t be one: %j',
    async (iss) => {
      const asked: string[] = [];
      const trust = { resolve: (issuer: string) => asked.push(issuer) };
      const token = jwt({ alg: 'ES256' }, { iss });
      expect(readSignedToken(token, issuersWith(trust))).toMatchObject({ reason: 'issuer_unknown' });
      expect(asked).toEqual([]);
    },
  );

  test.each<[string, object, string]>([
    ['no algorithm', { alg: undefined }, 'algorithm_refused'],
    ['an algorithm without a public key', { alg: 'HS256' }, 'algorithm_refused'],
    ['a type that is not a string', { typ: 1 }, 'token_type_refused'],
    ['the type of another kind of token', { typ: 'logout+jwt' }, 'token_type_refused'],
    ['a critical extension', { crit: ['b64'] }, 'token_header_refused'],
    ['an empty key identifier', { kid: '' }, 'token_header_refused'],
  ])('is not resolved for a header with %s', async (_name, header, reason) => {
    const asked: string[] = [];
    const token = read(header, { iss: TENANT }, { resolve: (issuer) => asked.push(issuer) });
    expect(token).toMatchObject({ ok: false, reason });
    expect(asked).toEqual([]);
  });

  it('that is not resolved for its header is refused for what any issuer must send', async () => {
    const trust = { resolve: () => ({}) };
    const algorithms = SIGNATURE_ALGORITHMS.slice(0, 5).map((name) => `"${name}"`);
    expect(await outcome({ alg: 'none' }, { iss: TENANT }, trust)).toEqual([
      'algorithm_refused',
      'alg',
      '"none"',
      `${algorithms.join(', ')} or ${SIGNATURE_ALGORITHMS.length - 5} more`,
    ]);
    expect(await outcome({ typ: 1 }, { iss: TENANT }, trust)).toEqual([
      'token_type_refused',
      'typ',
      '1',
      'the type of an access token, or none',
    ]);
  });

  it('is resolved for any header that some issuer may send, and then has its own rules', async () => {
    const trust = { resolve: () => ({}) };
    expect(await outcome({ typ: 'at+jwt' }, { iss: TENANT }, trust)).toMatchObject({ ok: true });
    expect(await read({ alg: 'PS512' }, { iss: TENANT }, trust)).toMatchObject({ reason: 'algorithm_refused' });
    expect(await read({ typ: 'JWT' }, { iss: TENANT }, trust)).toMatchObject({ reason: 'token_type_refused' });
  });

  it('is known without a promise once it was resolved', async () => {
    const issuers = issuersWith({ resolve: () => ({}) });
    const token = jwt({ alg: 'ES256' }, { iss: TENANT });
    const first = readSignedToken(token, issuers);
    expect(first).toBeInstanceOf(Promise);
    expect(await first).toMatchObject({ ok: true, issuer: { issuer: TENANT } });
    expect(readSignedToken(token, issuers)).toMatchObject({ ok: true, issuer: { issuer: TENANT } });
  });

  it('is refused where the resolver denies it', async () => {
    expect(await outcome({}, { iss: TENANT }, { resolve: () => undefined })).toEqual([
      'issuer_unknown',
      'iss',
      `"${TENANT}"`,
      'an issuer that the issuerResolver accepts',
    ]);
  });

  it('is undecided while the resolver fails', async () => {
    const failing = () => {
      throw new Error('down');
    };
    expect(await read({}, { iss: TENANT }, { resolve: failing })).toEqual({
      ok: false,
      reason: 'issuer_unavailable',
      retryAfterSeconds: 1,
    });
  });
});
