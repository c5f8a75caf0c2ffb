import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, it, test } from '@jest/globals';
import { readKeySet, type VerificationKey } from './verification-key.js';

type Jwk = Readonly<Record<string, unknown>>;
const jwkOf = (type: 'ec' | 'ed25519', namedCurve = 'P-256'): Jwk =>
  type === 'ec'
    ? { ...generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'jwk' }) }
    : { ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }) };
const rsa: Jwk = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' }) };
const ec = jwkOf('ec');
const ed = jwkOf('ed25519');
const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];

const read = (...keys: unknown[]) => readKeySet({ keys })!;
/** The algorithms of the key, or why it is not used. */
function outcome(jwk: unknown): unknown {
  const { keys, unusable } = read(jwk);
  expect(keys.length + unusable.length).toBe(1);
  return keys[0]?.algorithms ?? unusable[0]!.reason;
}
const unsigned = (number: bigint): string => {
  const hex = number.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
};
const numberOf = (text: unknown) => BigInt(`0x${Buffer.from(String(text), 'base64url').toString('hex')}`);

describe('a key set', () => {
  it('has a list of keys, in its order', () => {
    const { keys, unusable } = read({ ...ec, kid: 'a' }, 'x', { ...ed, kid: 'b' }, { kty: 'oct', k: 'x', kid: 'c' });
    expect(keys.map(({ kid }) => kid)).toEqual(['a', 'b']);
    expect(unusable).toEqual([
      { kid: undefined, reason: 'malformed' },
      { kid: 'c', reason: 'symmetric' },
    ]);
    expect(readKeySet({ keys: [] })).toEqual({ keys: [], unusable: [] });
  });

  test.each([{}, { keys: undefined }, { keys: null }, { keys: {} }, { keys: 'x' }, { keys: { length: 0 } }])(
    'is not %j',
    (document) => {
      expect(readKeySet(document)).toBeUndefined();
    },
  );

  it('keeps the keys that it had, and only those', () => {
    const { keys: held } = read({ ...ec, kid: 'a' }, { ...ed, kid: 'b' });
    const again = readKeySet(
      {
        keys: [
          { ...ed, kid: 'b', more: 1 },
          { ...ec, kid: 'a' },
        ],
      },
      held,
    )!.keys;
    expect([again[0] === held[1], again[1] === held[0]]).toEqual([true, true]);
    const changed: readonly Jwk[] = [
      { ...ec, kid: 'b' },
      { ...ec, kid: undefined },
      { ...jwkOf('ec'), kid: 'a' },
      { ...ed, kid: 'b', alg: 'ES256' },
      { ...rsa, kid: 'a' },
    ];
    for (const jwk of changed) {
      const [key] = readKeySet({ keys: [jwk] }, held)!.keys;
      expect(held.some((one) => one === key)).toBe(false);
    }
  });

  it('distinguishes keys by their algorithm and by each of their numbers', () => {
    const { keys: held } = read(rsa, { ...rsa, alg: 'RS256' }, { ...rsa, alg: 'PS256' }, { ...rsa, e: 'AAEAAQ' });
    expect(new Set(held.map(({ identity }) => identity)).size).toBe(4);
  });

  it('has a thousand keys at most, of which longer curves count for several', () => {
    const used = (...jwks: readonly Jwk[]) => {
      const { keys, unusable } = read(...jwks);
      return [keys.length, unusable.map(({ reason }) => reason)];
    };
    const many = (jwk: Jwk, count: number) => Array.from({ length: count }, () => jwk);
    expect(used(...many(ed, 1000))).toEqual([1000, []]);
    expect(used(...many(ed, 1002))).toEqual([1000, ['beyond_limit']]);
    const [p384, p521] = [jwkOf('ec', 'P-384'), jwkOf('ec', 'P-521')];
    expect(used(...many(ed, 995), p384)).toEqual([996, []]);
    expect(used(...many(ed, 996), p384)).toEqual([996, ['beyond_limit']]);
    expect(used(...many(ed, 991), p521)).toEqual([992, []]);
    expect(used(...many(ed, 992), p521)).toEqual([992, ['beyond_limit']]);
    expect(used(...many(ec, 1000))).toEqual([1000, []]);
  });

  it('has two thousand entries at most, and those that are not used take no place of a key', () => {
    const none = (count: number) => Array.from({ length: count }, () => null);
    expect(read(...none(1999), ed)).toMatchObject({ keys: [{}], unusable: { length: 1999 } });
    const { keys, unusable } = read(...none(2000), ed, ed);
    expect([keys.length, unusable.length, unusable.at(-1)]).toEqual([
      0,
      2001,
      { kid: undefined, reason: 'beyond_limit' },
    ]);
  });
});

describe('an entry of a key set', () => {
  test.each([null, undefined, 1, 'x', true, [], {}, { kid: 'a' }, { kty: 1 }])('is no key where it is %j', (entry) => {
    const isObject = typeof entry === 'object' && entry !== null;
    expect(outcome(entry)).toBe(isObject ? 'unsupported' : 'malformed');
  });

  test.each<[unknown, string | undefined]>([
    [undefined, undefined],
    [null, undefined],
    ['', undefined],
    [[], undefined],
    ['k', 'k'],
    ['k'.repeat(256), 'k'.repeat(256)],
  ])('may have the identifier %j', (kid, expected) => {
    expect(read({ ...ec, kid }).keys[0]!.kid).toBe(expected);
    expect(read({ kty: 'oct', kid }).unusable).toEqual([{ kid: expected, reason: 'symmetric' }]);
  });

  test.each([1, 0, false, {}, ['k'], 'k'.repeat(257)])('is malformed with the identifier %j', (kid) => {
    expect(read({ ...ec, kid })).toEqual({ keys: [], unusable: [{ kid: undefined, reason: 'malformed' }] });
  });

  test.each<[string, Jwk, unknown]>([
    ['a use for signatures', { use: 'sig' }, ['ES256']],
    ['a use for encryption', { use: 'enc' }, 'not_for_signatures'],
    ['an unknown use', { use: 'SIG' }, 'not_for_signatures'],
    ['an operation', { key_ops: ['verify'] }, ['ES256']],
    ['several operations', { key_ops: ['sign', 'verify'] }, ['ES256']],
    ['no operation', { key_ops: [] }, ['ES256']],
    ['another operation', { key_ops: ['encrypt'] }, 'not_for_signatures'],
    ['an operation outside of a list', { key_ops: 'verify' }, 'not_for_signatures'],
    ['a use and another operation', { use: 'sig', key_ops: ['sign'] }, 'not_for_signatures'],
    ['another use and an operation', { use: 'enc', key_ops: ['verify'] }, 'not_for_signatures'],
    ['a secret', { k: 'x' }, 'symmetric'],
    ['a secret for another use', { k: 'x', use: 'enc', d: 'x' }, 'symmetric'],
    ['a private number for another use', { d: 'x', use: 'enc' }, 'private'],
    ['another use and an unknown algorithm', { use: 'enc', alg: 'ECDH-ES' }, 'not_for_signatures'],
    ['members without a value', { k: '', d: null, p: [], use: '', alg: null, key_ops: null }, ['ES256']],
    ['a false member', { d: false }, 'private'],
    ['a member of zero', { p: 0 }, 'private'],
    ['members of no meaning', { x5c: ['x'], ext: true, D: 'x', K: 'x' }, ['ES256']],
    ['the members of a key of another kind', { n: rsa.n, e: rsa.e }, ['ES256']],
  ])('is used as it declares: %s', (_name, more, expected) => {
    expect(outcome({ ...ec, ...more })).toEqual(expected);
  });

  test.each(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'])('is not used with the private number %s', (name) => {
    for (const jwk of [rsa, ec, ed]) expect(outcome({ ...jwk, [name]: 'x' })).toBe('private');
  });

  it('is not used where it is symmetric, without a secret or of another type', () => {
    expect([outcome({ kty: 'oct' }), outcome({ ...rsa, k: 'x' })]).toEqual(['symmetric', 'symmetric']);
  });
});

describe('the algorithms of a key', () => {
  const other: Jwk = { ...ec, kty: 'OKP' };
  test.each<[string, Jwk, unknown]>([
    ['RSA', rsa, RSA_ALGORITHMS],
    ['RSA for one', { ...rsa, alg: 'PS384' }, ['PS384']],
    ['RSA for another type', { ...rsa, alg: 'ES256' }, 'unsupported'],
    ['RSA for encryption', { ...rsa, alg: 'RSA-OAEP' }, 'unsupported'],
    ['P-256', ec, ['ES256']],
    ['P-256 for its own', { ...ec, alg: 'ES256' }, ['ES256']],
    ['P-256 for another curve', { ...ec, alg: 'ES384' }, 'unsupported'],
    ['P-384', jwkOf('ec', 'P-384'), ['ES384']],
    ['P-521', jwkOf('ec', 'P-521'), ['ES512']],
    ['secp256k1', jwkOf('ec', 'secp256k1'), 'unsupported'],
    ['a curve of Object.prototype', { ...ec, crv: 'constructor' }, 'unsupported'],
    ['a list of curves', { ...ec, crv: ['P-256'] }, 'unsupported'],
    ['no curve', { ...ec, crv: undefined }, 'unsupported'],
    ['Ed25519', ed, ['EdDSA', 'Ed25519']],
    ['Ed25519 for its older name', { ...ed, alg: 'EdDSA' }, ['EdDSA', 'Ed25519']],
    ['Ed25519 for its newer name', { ...ed, alg: 'Ed25519' }, ['EdDSA', 'Ed25519']],
    ['Ed25519 for another', { ...ed, alg: 'ES256' }, 'unsupported'],
    ['another type with the curve Ed25519', { ...ed, kty: 'EC' }, 'unsupported'],
    ['Ed448', { ...generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' }) }, 'unsupported'],
    ['a curve of another type', other, 'unsupported'],
    ['no type', { ...ec, kty: undefined }, 'unsupported'],
    ['Ed25519 of no type', { ...ed, kty: undefined }, 'unsupported'],
    ['Ed25519 of an unknown type', { ...ed, kty: 'AKP' }, 'unsupported'],
    ['a type in lower case', { ...ec, kty: 'ec' }, 'unsupported'],
    ['an algorithm that is no text', { ...ec, alg: ['ES256'] }, 'unsupported'],
  ])('are those of its type and curve: %s', (_name, jwk, expected) => {
    expect(outcome(jwk)).toEqual(expected);
  });
});

describe('the point of a key on a curve', () => {
  const der = (key: VerificationKey) => key.key.export({ format: 'der', type: 'spki' }).toString('hex');
  /** A key whose numbers begin with a zero byte, on each curve. */
  const zeros = ['P-256', 'P-384', 'P-521'].map((curve) => {
    for (;;) {
      const jwk = jwkOf('ec', curve);
      // The highest byte of P-521 holds one bit.
      const [x, y] = [jwk.x, jwk.y].map((text) => Buffer.from(text as string, 'base64url'));
      if (x![0] === 0 || y![0] === 0) return { curve, jwk };
    }
  });

  test.each(zeros)('may be written without zeros before it, or with more: $curve', ({ jwk }) => {
    const expected = createPublicKey({ key: jwk as never, format: 'jwk' }).export({ format: 'der', type: 'spki' });
    const short = (text: unknown) => unsigned(numberOf(text));
    const long = (text: unknown) =>
      Buffer.concat([Buffer.alloc(1), Buffer.from(text as string, 'base64url')]).toString('base64url');
    for (const write of [short, long]) {
      const [key] = read({ ...jwk, x: write(jwk.x), y: write(jwk.y) }).keys;
      expect(der(key!)).toBe(expected.toString('hex'));
    }
  });

  test.each<[string, Jwk]>([
    ['a missing number', { x: undefined }],
    ['a missing second number', { y: undefined }],
    ['a number that is no text', { x: 1 }],
    ['a point that is not on the curve', { x: ec.y, y: ec.x }],
    ['a number that is too long', { x: Buffer.alloc(33, 1).toString('base64url') }],
    ['nothing but zeros', { x: 'AA', y: 'AA' }],
  ])('is none with %s', (_name, more) => {
    expect(outcome({ ...ec, ...more })).toBe('malformed');
  });

  it('is none of Ed25519 without a number, or with a short one', () => {
    expect([outcome({ ...ed, x: undefined }), outcome({ ...ed, x: 'AAAA' })]).toEqual(['malformed', 'malformed']);
  });

  it('is no Ed25519 key whose signatures can be forged without the private key', () => {
    const P = 2n ** 255n - 19n;
    const ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
    const point = (y: bigint, sign = 0n) => {
      const bigEndian = Buffer.from((y + (sign << 255n)).toString(16).padStart(64, '0'), 'hex');
      return Buffer.from(bigEndian.toReversed()).toString('base64url');
    };
    for (const y of [0n, 1n, P - 1n, P, P + 1n, ORDER_8, P - ORDER_8]) {
      for (const sign of [0n, 1n]) {
        expect([y, outcome({ ...ed, x: point(y, sign) })]).toEqual([y, 'weak']);
      }
    }
    // The base point of the curve, and those next to the weak ones that are points.
    const others = [0x6666666666666666666666666666666666666666666666666666666666666658n, 3n, 4n];
    for (const y of others) expect([y, outcome({ ...ed, x: point(y) })]).toEqual([y, ['EdDSA', 'Ed25519']]);
  });
});

describe('the numbers of an RSA key', () => {
  const hasSmallFactor = (number: bigint) => {
    for (let divisor = 3n; divisor < 752n; divisor += 2n) if (number % divisor === 0n) return true;
    return false;
  };
  /** An odd number of a length that no small prime divides. */
  const modulus = (bits: number): bigint => {
    const start = 2n ** BigInt(bits - 1) + numberOf(randomBytes(64).toString('base64url')) * 2n + 1n;
    for (let candidate = start; ; candidate += 2n) if (!hasSmallFactor(candidate)) return candidate;
  };

  test.each<[number, unknown]>([
    [1024, 'weak'],
    [2047, 'weak'],
    [2048, RSA_ALGORITHMS],
    [8192, RSA_ALGORITHMS],
    [8193, 'weak'],
  ])('have a modulus of 2048 to 8192 bits: %i', (bits, expected) => {
    expect(outcome({ ...rsa, n: unsigned(modulus(bits)) })).toEqual(expected);
  });

  test.each<[string, bigint, unknown]>([
    ['0', 0n, 'weak'],
    ['1', 1n, 'weak'],
    ['2', 2n, 'weak'],
    ['3', 3n, RSA_ALGORITHMS],
    ['4', 4n, 'weak'],
    ['65536', 65_536n, 'weak'],
    ['65537', 65_537n, RSA_ALGORITHMS],
    ['2^64 - 1', 2n ** 64n - 1n, RSA_ALGORITHMS],
    ['2^64 + 1', 2n ** 64n + 1n, 'weak'],
  ])('have an exponent that is odd, and neither 1 nor huge: %s', (_name, e, expected) => {
    expect(outcome({ ...rsa, e: unsigned(e) })).toEqual(expected);
  });

  const padded = (text: unknown, bytes: number) => {
    const number = Buffer.from(text as string, 'base64url');
    return Buffer.concat([Buffer.alloc(bytes - number.length), number]).toString('base64url');
  };
  test.each<[string, object, unknown]>([
    ['a modulus of 2048 characters', { n: padded(rsa.n, 1536) }, RSA_ALGORITHMS],
    ['a longer modulus', { n: padded(rsa.n, 1537) }, 'weak'],
    ['an exponent of 64 characters', { e: padded(rsa.e, 48) }, RSA_ALGORITHMS],
    ['a longer exponent', { e: padded(rsa.e, 49) }, 'weak'],
    ['a modulus that is no text', { n: 1 }, 'malformed'],
    ['no exponent', { e: undefined }, 'malformed'],
    ['no modulus', { n: undefined }, 'malformed'],
  ])('are read up to a length: %s', (_name, more, expected) => {
    expect(outcome({ ...rsa, ...more })).toEqual(expected);
  });

  it('of another type may be long', () => {
    expect(outcome({ ...ec, n: 'A'.repeat(3000), e: 'A'.repeat(100) })).toEqual(['ES256']);
  });

  test.each([3n, 5n, 7n, 11n, 13n, 17n, 97n, 361n, 541n, 743n, 751n])('have no factor of %p', (factor) => {
    expect(outcome({ ...rsa, n: unsigned(factor * modulus(2048)) })).toBe('weak');
  });

  test.each([757n, 761n, 1009n])('may have a larger factor: %p', (factor) => {
    expect(outcome({ ...rsa, n: unsigned(factor * modulus(2048)) })).toEqual(RSA_ALGORITHMS);
  });

  it('were not made by the faulty generator, whose primes are powers of 65537 modulo all small ones', () => {
    const PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    const all = PRIMES.reduce((product, prime) => product * BigInt(prime), 1n);
    const fingerprint = (remainders: (prime: number) => number) => {
      // By the Chinese remainder theorem.
      let residue = 0n;
      for (const prime of PRIMES) {
        const rest = all / BigInt(prime);
        let inverse = 1n;
        while ((rest * inverse) % BigInt(prime) !== 1n) inverse++;
        residue += rest * inverse * BigInt(remainders(prime));
      }
      const start = 2n ** 2047n;
      for (let candidate = start - (start % all) + all + (residue % all); ; candidate += all) {
        if (candidate % 2n === 1n && !hasSmallFactor(candidate)) return unsigned(candidate);
      }
    };
    const power = (exponent: number) => (prime: number) => {
      let value = 1;
      for (let step = 0; step < exponent; step++) value = (value * (65_537 % prime)) % prime;
      return value;
    };
    for (const exponent of [0, 1, 2, 3, 10]) expect(outcome({ ...rsa, n: fingerprint(power(exponent)) })).toBe('weak');
    for (const odd of PRIMES) {
      const powers = new Set(Array.from({ length: odd }, (_, exponent) => power(exponent)(odd)));
      const none = Array.from({ length: odd - 1 }, (_, index) => index + 1).find((value) => !powers.has(value))!;
      const jwk = { ...rsa, n: fingerprint((prime) => (prime === odd ? none : 1)) };
      expect([odd, outcome(jwk)]).toEqual([odd, RSA_ALGORITHMS]);
    }
  });
});
