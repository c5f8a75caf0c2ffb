import type { JWK } from 'jose';
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

/** A public key of an issuer that can verify signatures. */
export interface VerificationKey {
  readonly kid: string | undefined;
  /** Algorithms for the key. */
  readonly algorithms: readonly string[];
  readonly key: KeyObject;
  /** All of the above as one string, equal for equal keys. */
  readonly identity: string;
}

/** Why a key of a set is not used. */
export type UnusableKeyReason =
  'malformed' | 'not_for_signatures' | 'symmetric' | 'private' | 'weak' | 'unsupported' | 'beyond_limit';

export interface UnusableKey {
  readonly kid: string | undefined;
  readonly reason: UnusableKeyReason;
}

export interface KeySetContent {
  readonly keys: readonly VerificationKey[];
  readonly unusable: readonly UnusableKey[];
}

/**
 * Maximum number of keys used from a set: about as many as fit into the largest accepted one. Keys on longer curves
 * count as several, because OpenSSL reads them more slowly. So reading a set takes about 100 ms at worst, once.
 */
const MAX_KEYS = 1000;

/** Maximum number of entries read from a set: more do not fit, unless they are too short to be keys. */
const MAX_ENTRIES = 2000;

/** By OpenSSL's names of P-384 and P-521. */
const READING_COST: Readonly<Record<string, number>> = { secp384r1: 5, secp521r1: 9 };

/** Longest accepted `kid`, in characters. */
export const MAX_KID_LENGTH = 256;

/**
 * Reads the keys of a key set (RFC 7517 §5). Skips a key that can't or should not verify signatures: issuers publish
 * keys for other uses in the same set.
 *
 * @param held Keys that were read before; a key that is still there stays the same object.
 * @returns undefined if the document is not a key set.
 */
export function readKeySet(
  document: Readonly<Record<string, unknown>>,
  held: readonly VerificationKey[] = [],
): KeySetContent | undefined {
  if (!Array.isArray(document.keys)) return undefined;
  const known = new Map(held.map((key) => [key.identity, key]));
  const keys: VerificationKey[] = [];
  const unusable: UnusableKey[] = [];
  let cost = 0;
  for (const [index, entry] of (document.keys as unknown[]).entries()) {
    const read = index < MAX_ENTRIES ? readKey(entry, known) : BEYOND_LIMIT;
    const isKey = !('reason' in read);
    if (isKey) cost += READING_COST[read.key.asymmetricKeyDetails?.namedCurve ?? ''] ?? 1;
    if (read === BEYOND_LIMIT || cost > MAX_KEYS) {
      unusable.push(BEYOND_LIMIT);
      break;
    }
    if (isKey) keys.push(read);
    else unusable.push(read);
  }
  return { keys, unusable };
}

const BEYOND_LIMIT: UnusableKey = { kid: undefined, reason: 'beyond_limit' };

function readKey(entry: unknown, known: ReadonlyMap<string, VerificationKey>): VerificationKey | UnusableKey {
  if (typeof entry !== 'object' || entry === null) return { kid: undefined, reason: 'malformed' };
  const jwk = withoutEmptyMembers(entry) as JWK;
  const kid = typeof jwk.kid === 'string' ? jwk.kid : undefined;
  if (jwk.kid !== undefined && (kid === undefined || kid.length > MAX_KID_LENGTH)) {
    return { kid: undefined, reason: 'malformed' };
  }
  const misuse = misuseOf(jwk);
  if (misuse) return { kid, reason: misuse };
  const algorithms = usableAlgorithms(jwk);
  if (algorithms.length === 0) return { kid, reason: 'unsupported' };
  // Only public members, so that no other member of the entry matters.
  const { kty, n, e, crv, x, y } = jwk;
  if (kty === 'RSA' && (isLonger(n, MAX_MODULUS_LENGTH) || isLonger(e, MAX_EXPONENT_LENGTH))) {
    return { kid, reason: 'weak' };
  }
  const identity = JSON.stringify([kid, algorithms, kty, n, e, crv, x, y]);
  const same = known.get(identity);
  if (same) return same;
  const key = publicKey(
    kty === 'EC' ? { kty, crv, x: coordinate(x, crv), y: coordinate(y, crv) } : { kty, n, e, crv, x, y },
  );
  if (!key) return { kid, reason: 'malformed' };
  return isWeak(key) ? { kid, reason: 'weak' } : { kid, algorithms, key, identity };
}

/**
 * Removes empty members, so that an empty required member is missing. Some issuers write every member of their key
 * class, even without a value: `"alg": null`, `"key_ops": []`, `"d": ""`.
 */
function withoutEmptyMembers(entry: object): object {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  return value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

function misuseOf(jwk: JWK): UnusableKeyReason | undefined {
  if (jwk.kty === 'oct' || Object.hasOwn(jwk, 'k')) return 'symmetric';
  // A private key in a public document is compromised.
  if (PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name))) return 'private';
  const isForSignatures =
    (jwk.use === undefined || jwk.use === 'sig') &&
    (jwk.key_ops === undefined || (Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')));
  return isForSignatures ? undefined : 'not_for_signatures';
}

/** @returns undefined if the numbers make no key, such as a point that is not on its curve. */
function publicKey(jwk: JWK): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return undefined;
  }
}

const COORDINATE_BYTES: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 };

/**
 * Returns a coordinate at its full length (RFC 7518 §6.2.1.2), which OpenSSL requires. Some issuers write it as a
 * number, without its leading zeros or with one more.
 */
function coordinate(text: unknown, curve: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  const digits = Buffer.from(text, 'base64url').toString('hex').replace(/^0+/, '');
  const bytes = COORDINATE_BYTES[String(curve)] ?? 0;
  return Buffer.from(digits.padStart(bytes * 2, '0'), 'hex').toString('base64url');
}

/** Verifying with longer keys takes too long. */
const MAX_RSA_BITS = 8192;

/**
 * Longest strings of an RSA key's numbers, in characters, with room for leading zeros, padding and line breaks. Node.js
 * takes time in the square of an exponent's length to read it: 20 s if it fills a key set.
 */
const MAX_MODULUS_LENGTH = 2048;
const MAX_EXPONENT_LENGTH = 64;

function isLonger(text: unknown, length: number): boolean {
  return typeof text === 'string' && text.length > length;
}

/**
 * RSA: 2048 bits or more (RFC 7518 §3.3). An exponent of 1 accepts every signature; an even or a huge one is invalid. A
 * modulus with a small factor (NIST SP 800-89 §5.3.3) is easy to factor.
 *
 * Ed25519: a point of small order accepts signatures that anyone can make.
 */
function isWeak(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ed25519') return isSmallOrderPoint(pointOf(key));
  if (key.asymmetricKeyType !== 'rsa') return false;
  if (modulusLength < 2048 || modulusLength > MAX_RSA_BITS) return true;
  if (publicExponent < 3n || publicExponent % 2n === 0n || publicExponent >= 2n ** 64n) return true;
  const { n = '' } = key.export({ format: 'jwk' });
  const modulus = BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`);
  return hasSmallFactor(modulus) || isRocaModulus(modulus);
}

function pointOf(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url');
}

function usableAlgorithms(jwk: JWK): readonly string[] {
  const possible = possibleAlgorithms(jwk);
  if (jwk.alg === undefined) return possible;
  // RFC 9864 names the algorithm by its curve; with this curve the older name means the same.
  if (possible === ED25519 && possible.includes(jwk.alg)) return ED25519;
  return possible.includes(jwk.alg) ? [jwk.alg] : [];
}

const RSA: readonly string[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const ED25519: readonly string[] = ['EdDSA', 'Ed25519'];
const EC: Readonly<Record<string, readonly string[]>> = { 'P-256': ['ES256'], 'P-384': ['ES384'], 'P-521': ['ES512'] };

function possibleAlgorithms({ kty, crv }: JWK): readonly string[] {
  if (kty === 'RSA') return RSA;
  if (kty === 'EC') return typeof crv === 'string' && Object.hasOwn(EC, crv) ? EC[crv]! : [];
  return kty === 'OKP' && crv === 'Ed25519' ? ED25519 : [];
}

/**
 * Whether an RSA modulus was made by the faulty key generator of CVE-2017-15361, so that it can be factored.
 *
 * Primes of that generator are powers of 65537 modulo each of the small primes, and so is their product. A modulus from
 * elsewhere passes for one with a probability of about 2⁻²⁷.
 */
function isRocaModulus(modulus: bigint): boolean {
  return SUBGROUPS.every(({ prime, powers }) => powers.has(Number(modulus % BigInt(prime))));
}

/** Small primes for which not every remainder is a power of 65537. */
const SUBGROUPS = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map((prime) => ({
  prime,
  powers: powersOf65537(prime),
}));

function powersOf65537(prime: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * (65_537 % prime)) % prime) powers.add(power);
  return powers;
}

/** Whether a small prime divides an RSA modulus, so that anyone can factor it. */
function hasSmallFactor(modulus: bigint): boolean {
  return SMALL_PRIMES.some((prime) => modulus % prime === 0n);
}

/** Primes below 752, the trial divisors of NIST SP 800-89 §5.3.3. */
const SMALL_PRIMES: readonly bigint[] = Array.from({ length: 750 }, (_, index) => index + 2)
  .filter(isPrime)
  .map(BigInt);

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) return false;
  return true;
}

/** The prime of the field that Ed25519 works in (RFC 8032 §5.1). */
const P = 2n ** 255n - 19n;

/** The y coordinate of two of the four points of order 8; the other two have its negative. */
const Y_OF_ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;

/**
 * The y coordinates of the eight points whose order divides 8: the neutral element, the point of order 2, the two of
 * order 4, the four of order 8. For order 8 doubling gives y = 0, and so d·y⁴ + 2·y² = 1.
 */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([1n, P - 1n, 0n, Y_OF_ORDER_8, P - Y_OF_ORDER_8]);

/**
 * Whether an Ed25519 public key is a point of small order, in any of its encodings.
 *
 * With such a key the equation of RFC 8032 §5.1.7 holds for one message in at most eight whatever the signature, so
 * that anyone can find a signature by trying. The sign of x is ignored and y is reduced, because OpenSSL accepts
 * encodings that RFC 8032 §5.1.3 does not.
 *
 * Points of mixed order (an honest key plus a point of small order) are not refused: forging for one needs its private
 * key as for any other, and telling them apart takes a multiplication by the order of the group.
 *
 * @param encoded The 32 bytes of the key, little-endian, the sign of x in the highest bit.
 */
function isSmallOrderPoint(encoded: Uint8Array): boolean {
  const bytes = Uint8Array.from(encoded).toReversed();
  const y = BigInt(`0x${Buffer.from(bytes).toString('hex')}`) & (2n ** 255n - 1n);
  return SMALL_ORDER_Y.has(y % P);
}
