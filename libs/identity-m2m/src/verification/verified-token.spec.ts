import { beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { RFC_9068 } from '../identity-providers/identity-provider.js';
import { ManualClock } from '../testing/manual-clock.js';
import { generateSigningKey, signatureOf, type SigningKey } from '../testing/signing-key.js';
import { type KeyLookup, type KeySet, VerificationKeys } from './key-set.js';
import type { SignedToken } from './signed-token.js';
import type { VerificationKey } from './verification-key.js';
import { VERIFIED_TOKENS_LIMITS, VerifiedToken, VerifiedTokens, verifySignature } from './verified-token.js';

const now = new ManualClock().now();
let signer: SigningKey;
let [own, other]: VerificationKey[] = [];

beforeAll(async () => {
  signer = await generateSigningKey('ES256', 'own');
  own = { kid: 'own', algorithms: ['ES256'], key: signer.publicKey, identity: 'own' };
  other = { ...own, identity: 'other' };
});

/** Keys that a test can replace. */
class Keys implements KeySet {
  readonly problem = undefined;
  held: VerificationKeys | undefined;

  current(): VerificationKeys | undefined {
    return this.held;
  }
  find(): KeyLookup {
    return this.held
      ? { kind: 'found', keys: this.held.list, set: this.held, areNamed: true }
      : { kind: 'unavailable', retryAfterSeconds: 1 };
  }
  async warmUp(): Promise<void> {}
  stopRefreshing(): void {}
  close(): void {}
}

let keys: Keys;
beforeEach(() => {
  keys = new Keys();
});

function signed(token: string, claims: object = {}): SignedToken {
  const policy = { audiences: [], clockToleranceSeconds: 0, maxTokenLifetimeSeconds: undefined, profile: RFC_9068 };
  const issuer = { issuer: 'a', policy, keys, clients: undefined, fetchesKeysEarly: true, isResolved: false };
  const header = { ok: true, algorithm: 'ES256', kid: 'own' } as const;
  return { ok: true, token, issuer, header, claims: { ...claims } };
}
const set = (...list: readonly VerificationKey[]) => new VerificationKeys(list);
const verified = (token: string, held = set(own!)) => new VerifiedToken(signed(token), own!, held);

describe('a verified token', () => {
  it('has all that the signed one has, the key, and claims that can’t be changed', () => {
    const of = signed('a', { roles: [{ name: 'x' }] });
    const token = new VerifiedToken(of, own!, set(own!));
    expect(token).toMatchObject({ ...of, ok: true, key: own, identity: undefined });
    const roles = token.claims.roles as readonly object[];
    expect([token.claims, roles, roles[0]].map(Object.isFrozen)).toEqual([true, true, true]);
  });

  it('has a current key as long as the issuer publishes it under its name for its algorithm', () => {
    const held = set(own!);
    const token = verified('a', held);
    expect(token.hasCurrentKey(now)).toBeUndefined();
    const renamed: VerificationKey = { ...own!, kid: 'new' };
    for (const [current, expected] of [
      [held, true],
      [set(other!, own!), true],
      [set(other!), false],
      [set(), false],
      [set({ ...own! }), false],
      [set(renamed), false],
      [set(own!), true],
      [undefined, undefined],
      [held, true],
    ] as const) {
      keys.held = current;
      expect(token.hasCurrentKey(now)).toBe(expected);
      expect(token.hasCurrentKey(now)).toBe(expected);
    }
  });
});

describe('a signature', () => {
  const token = () => {
    const text = ['{"alg":"ES256"}', '{}'].map((part) => Buffer.from(part).toString('base64url')).join('.');
    return `${text}.${signatureOf(text, 'ES256', signer.privateKey).toString('base64url')}`;
  };

  it('makes a verified token, with the key and the set that holds it', async () => {
    keys.held = set(own!);
    const text = token();
    const made = await verifySignature(signed(text, { a: 1 }));
    expect(made).toBeInstanceOf(VerifiedToken);
    expect(made).toMatchObject({ token: text, key: own, claims: { a: 1 } });
    expect((made as VerifiedToken).hasCurrentKey(now)).toBe(true);
  });

  it('makes none where it is refused', async () => {
    const refused = { ok: false, reason: 'issuer_unavailable', retryAfterSeconds: 1 };
    expect(await verifySignature(signed(token()))).toEqual(refused);
    keys.held = set(own!);
    expect(await verifySignature(signed(`${token().slice(0, -4)}AAAA`))).toMatchObject({ reason: 'signature_invalid' });
  });
});

describe('verified tokens that are kept', () => {
  const text = (start: string, end: string) => start + end.padStart(64, '-');

  it('are found by the whole token alone', () => {
    const tokens = new VerifiedTokens({ maxEntries: 10 });
    const [one, two, short] = [verified(text('a', 'x')), verified(text('a', 'y')), verified('x')];
    for (const token of [one, two, short]) tokens.add(token);
    expect([tokens.get(one.token), tokens.get(two.token), tokens.get('x')]).toEqual([one, two, short]);
    for (const token of [text('b', 'x'), text('', 'x'), text('aa', 'x'), text('a', 'z'), '', one.token.toUpperCase()]) {
      expect(tokens.get(token)).toBeUndefined();
    }
  });

  it('of the same end take the place of one another, and no others do', () => {
    const tokens = new VerifiedTokens({ maxEntries: 10 });
    const [one, same, another] = [
      verified(text('a', 'x')),
      verified(text('b', 'x')),
      verified(`a${'x'.padStart(64, '_')}`),
    ];
    const first = verified(`a+${'-'.repeat(62)}x`);
    for (const token of [one, another, first, same]) tokens.add(token);
    expect([one, same, another, first].map(({ token }) => tokens.get(token) !== undefined)).toEqual([
      false,
      true,
      true,
      true,
    ]);
  });

  it('are gone where they are deleted, alone or all of them', () => {
    const tokens = new VerifiedTokens({ maxEntries: 10 });
    const all = ['a', 'b', 'c'].map((end) => verified(text('long', end)));
    for (const token of all) tokens.add(token);
    tokens.delete(all[1]!);
    expect(all.map(({ token }) => tokens.get(token) !== undefined)).toEqual([true, false, true]);
    tokens.clear();
    expect(all.map(({ token }) => tokens.get(token))).toEqual([undefined, undefined, undefined]);
  });

  it('are as many as allowed', () => {
    const tokens = new VerifiedTokens({ maxEntries: 2 });
    const all = [verified('a'), verified('b'), verified('c')];
    for (const token of all) tokens.add(token);
    expect(all.map(({ token }) => tokens.get(token) !== undefined)).toEqual([false, true, true]);
    expect(VERIFIED_TOKENS_LIMITS).toEqual({ maxEntries: 10_000, maxBytes: 67_108_864 });
  });

  test.each([0, 1, 1000])('of %i characters take room by their length', (length) => {
    const bytes = length * 4 + 1024;
    const token = verified('x'.repeat(length));
    for (const [maxBytes, isKept] of [
      [bytes, true],
      [bytes - 1, false],
    ] as const) {
      const tokens = new VerifiedTokens({ maxEntries: 10, maxBytes });
      tokens.add(token);
      expect(tokens.get(token.token) !== undefined).toBe(isKept);
    }
  });
});
