import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { hasSmallFactor, isRocaModulus } from './roca.js';
import { isSmallOrderPoint } from './small-order-point.js';

/** A public key of an issuer that can verify signatures. */
export interface VerificationKey {
  readonly kid: string | undefined;
  /** Algorithms that the key can be used with. */
  readonly algorithms: readonly string[];
  readonly key: KeyObject;
  /** Everything above as a text: equal for equal keys. */
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
 * Most keys of a set that are used: about as many as fit into the longest key set that is read. Keys on the longer curves
 * count as several, because OpenSSL takes so much longer to read one. Reading a set then takes some 100 ms at worst, once.
 */
export const MAX_KEYS = 1000;

/** Most entries of a set that are looked at: more do not fit into one, unless they are too short to be keys. */
const MAX_ENTRIES = 2000;

/** By the names that OpenSSL has for P-384 and P-521. */
const READING_COST: Readonly<Record<string, number>> = { secp384r1: 5, secp521r1: 9 };

/** Longest `kid` that is looked for. */
export const MAX_KID_LENGTH = 256;

/**
 * The keys of a key set (RFC 7517 §5), one by one: a key that can't verify signatures, or that should not, is left out,
 * and the others count. Issuers publish keys for other uses in the same set.
 *
 * @param held Keys that were read before; one that is still there stays the same object.
 * @returns undefined where the document is no key set.
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
  // Public members alone, so that nothing else in the entry has a say.
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
 * Treats members that say nothing as absent. Some issuers serialise every member that their class of keys has, whether
 * this key has it or not: `"alg": null`, `"key_ops": []`, `"d": ""`. A member that the key needs is missed all the same.
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
  // A private key in a public document is a key that everybody has.
  if (PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name))) return 'private';
  const isForSignatures =
    (jwk.use === undefined || jwk.use === 'sig') &&
    (jwk.key_ops === undefined || (Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify')));
  return isForSignatures ? undefined : 'not_for_signatures';
}

/** @returns undefined where the numbers make no key: a point that is not on its curve, say. */
function publicKey(jwk: JWK): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return undefined;
  }
}

const COORDINATE_BYTES: Readonly<Record<string, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 };

/**
 * A coordinate at its full length (RFC 7518 §6.2.1.2), which OpenSSL insists on. Some issuers write it as a number: the
 * zeros in front are missing, or there is one more.
 */
function coordinate(text: unknown, curve: unknown): string | undefined {
  if (typeof text !== 'string') return undefined;
  const digits = Buffer.from(text, 'base64url').toString('hex').replace(/^0+/, '');
  const bytes = COORDINATE_BYTES[String(curve)] ?? 0;
  return Buffer.from(digits.padStart(bytes * 2, '0'), 'hex').toString('base64url');
}

/** Above this, one signature costs too much to check. */
const MAX_RSA_BITS = 8192;

/**
 * Longest texts of an RSA key's numbers, in characters, with room for zeros in front, padding and line breaks. Node.js
 * takes time in the square of an exponent's length to tell what it is: 20 s where it fills a key set.
 */
const MAX_MODULUS_LENGTH = 2048;
const MAX_EXPONENT_LENGTH = 64;

function isLonger(text: unknown, length: number): boolean {
  return typeof text === 'string' && text.length > length;
}

/**
 * RSA: 2048 bits or more (RFC 7518 §3.3). An exponent of 1 accepts anything; an even or a huge one is no exponent. A
 * modulus with a small factor (NIST SP 800-89 §5.3.3) is factored by anyone.
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
  // RFC 9864 names the algorithm by its curve; the older name means the same with this curve.
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
