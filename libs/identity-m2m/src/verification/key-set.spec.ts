import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, test } from '@jest/globals';
import { StaticKeySet, VerificationKeys } from './key-set.js';
import type { VerificationKey } from './verification-key.js';

const { publicKey } = generateKeyPairSync('ed25519');
const RSA = ['RS256', 'PS256'];
/** A key whose identity names it in the results below. */
const key = (identity: string, kid?: string, algorithms: readonly string[] = ['ES256']): VerificationKey => ({
  kid,
  algorithms,
  key: publicKey,
  identity,
});
const names = (keys: readonly VerificationKey[]) => keys.map(({ identity }) => identity).join(' ');

describe('the keys of a set', () => {
  const keys = new VerificationKeys(
    [
      key('a', 'one'),
      key('b', undefined, RSA),
      key('c', 'two', RSA),
      key('d', 'one', RSA),
      key('e'),
      key('f', 'one'),
      key('g', ''),
    ],
    new Set(['unused', 'one-more']),
  );

  test.each<[string, string | undefined, string, string]>([
    ['with its identifier', 'two', 'RS256', 'c'],
    ['with its identifier and its algorithm, in their order', 'one', 'ES256', 'a f'],
    ['with its identifier and the second of their algorithms', 'one', 'PS256', 'd'],
    ['none, for another algorithm of that identifier', 'two', 'ES256', ''],
    ['none, for an algorithm of no key', 'one', 'ES384', ''],
    ['none, for the beginning of an algorithm', 'one', 'ES', ''],
    ['without identifier, where no key has its own', 'three', 'ES256', 'e'],
    ['without identifier, but not for another algorithm', 'three', 'EdDSA', ''],
    ['none, where the key of that identifier is not used', 'unused', 'ES256', ''],
    ['all, where the header has no identifier', undefined, 'ES256', 'a e f g'],
    ['all with its algorithm, where the header has no identifier', undefined, 'RS256', 'b c d'],
    ['with the empty identifier', '', 'ES256', 'g'],
  ])('fit a header: %s (%s, %s)', (_name, kid, algorithm, expected) => {
    expect(names(keys.candidates(kid, algorithm))).toBe(expected);
  });

  it('fit no header with an unknown identifier where all of them have one', () => {
    const named = new VerificationKeys([key('a', 'one')]);
    expect(named.candidates('two', 'ES256')).toEqual([]);
    expect(names(named.candidates(undefined, 'ES256'))).toBe('a');
  });

  test.each<[string | undefined, boolean]>([
    ['one', true],
    ['two', true],
    ['', true],
    ['unused', true],
    ['one-more', true],
    ['three', false],
    ['on', false],
    [undefined, false],
  ])('have the identifier %s: %s', (kid, expected) => {
    expect(keys.has(kid)).toBe(expected);
  });

  it('have no unused identifier unless they are given one', () => {
    const set = new VerificationKeys([key('a', 'one')]);
    expect(set.unused).toEqual(new Set());
    expect(set.has('unused')).toBe(false);
    expect(names(set.list)).toBe('a');
  });
});

describe('the number of keys that a signature is tried with', () => {
  /** Keys named 0, 1, 2 …; those at the given places are for one algorithm alone. */
  const many = (size: number, single: readonly number[]) =>
    Array.from({ length: size }, (_, index) =>
      key(String(index), undefined, single.includes(index) ? ['RS256'] : index % 2 === 0 ? RSA : [...RSA, 'RS512']),
    );
  const tried = (size: number, ...single: readonly number[]) =>
    names(new VerificationKeys(many(size, single)).candidates(undefined, 'RS256'));

  it('is 16 in the order of the set', () => {
    expect(tried(15, 14)).toBe('0 1 2 3 4 5 6 7 8 9 10 11 12 13 14');
    expect(tried(16, 15)).toBe('0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15');
  });

  it('stays 16 where more keys fit, those for the fewest algorithms first', () => {
    expect(tried(17, 16, 3)).toBe('3 16 0 2 4 6 8 10 12 14 1 5 7 9 11 13');
    expect(tried(40, 39, 21)).toBe('21 39 0 2 4 6 8 10 12 14 16 18 20 22 24 26');
  });

  it('counts only keys for the algorithm, and leaves the set in its order', () => {
    const others = Array.from({ length: 20 }, (_, index) => key(`other-${index}`));
    const set = new VerificationKeys([...others, ...many(16, [15])]);
    expect(names(set.candidates(undefined, 'RS256'))).toBe('0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15');
    const list = [...set.list];
    expect(set.candidates(undefined, 'ES256')).toHaveLength(16);
    expect(set.list).toEqual(list);
  });
});

describe('keys from the options', () => {
  const held = new VerificationKeys([key('a', 'one'), key('b')], new Set(['unused']));
  const set = new StaticKeySet(held);

  it('are always the current ones, without a problem', async () => {
    expect(set.current()).toBe(held);
    expect(set.problem).toBeUndefined();
    await expect(set.warmUp()).resolves.toBeUndefined();
    set.stopRefreshing();
    set.close();
    expect(set.current()).toBe(held);
  });

  it('are found by the identifier, or else where they have none', () => {
    const found = { kind: 'found', set: held };
    expect(set.find('one', 'ES256')).toEqual({ ...found, keys: [held.list[0]], areNamed: true });
    expect(set.find('two', 'ES256')).toEqual({ ...found, keys: [held.list[1]], areNamed: false });
    expect(set.find(undefined, 'ES256')).toEqual({ ...found, keys: held.list, areNamed: false });
  });

  it('are unknown where none fits', () => {
    expect(set.find('one', 'RS256')).toEqual({ kind: 'unknown' });
    expect(set.find('unused', 'ES256')).toEqual({ kind: 'unknown' });
  });

  it('are not found again where they were tried, but where others were', () => {
    expect(set.find('one', 'ES256', held)).toEqual({ kind: 'unknown' });
    const tried = new VerificationKeys(held.list);
    expect(set.find('one', 'ES256', tried)).toMatchObject({ kind: 'found', set: held });
  });
});
