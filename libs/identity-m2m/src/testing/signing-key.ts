import { constants, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** A key pair for signatures (RFC 7518 §3, RFC 8037 §3.1). */
export interface SigningKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly publicJwk: Readonly<Record<string, unknown>>;
}

export async function generateSigningKey(algorithm: string, kid: string): Promise<SigningKey> {
  const { publicKey, privateKey } = await keyPairFor(algorithm);
  const publicJwk = { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: algorithm };
  return { kid, algorithm, privateKey, publicKey, publicJwk };
}

/** Returns the JWS signature of a string (RFC 7515). */
export function signatureOf(text: string, algorithm: string, key: KeyObject): Buffer {
  const data = Buffer.from(text);
  if (algorithm.startsWith('Ed')) return sign(null, data, key);
  const digest = `sha${algorithm.slice(2)}`;
  if (algorithm.startsWith('ES')) return sign(digest, data, { key, dsaEncoding: 'ieee-p1363' });
  if (algorithm.startsWith('RS')) return sign(digest, data, key);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return sign(digest, data, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST });
}

function keyPairFor(algorithm: string): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  const generate = promisify(generateKeyPair);
  if (algorithm.startsWith('Ed')) return generate('ed25519');
  const namedCurve = CURVES[algorithm];
  if (namedCurve) return generate('ec', { namedCurve });
  if (/^[RP]S(256|384|512)$/.test(algorithm)) return generate('rsa', { modulusLength: 2048 });
  throw new TypeError(`unknown signature algorithm "${algorithm}"`);
}

/** Creates a self-signed certificate of an RSA key (RFC 5280 §4.1), in DER. */
export function selfSignedCertificate(publicKey: KeyObject, privateKey: KeyObject): Buffer {
  const name = sequence(set(sequence(objectIdentifier('550403'), element(0x0c, Buffer.from('attacker')))));
  const toBeSigned = sequence(
    element(0xa0, element(0x02, Buffer.of(2))),
    element(0x02, Buffer.of(1)),
    SHA256_WITH_RSA,
    name,
    sequence(element(0x17, Buffer.from('200101000000Z')), element(0x17, Buffer.from('491231235959Z'))),
    name,
    publicKey.export({ format: 'der', type: 'spki' }),
  );
  return sequence(toBeSigned, SHA256_WITH_RSA, bitString(sign('sha256', toBeSigned, privateKey)));
}

/** Type, length and content (X.690 §8.1). */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? Buffer.of(length) : Buffer.of(0x82, length >> 8, length & 0xff);
  return Buffer.concat([Buffer.of(tag), size, content]);
}

const sequence = (...parts: readonly Buffer[]) => element(0x30, Buffer.concat(parts));
const set = (part: Buffer) => element(0x31, part);
const objectIdentifier = (hex: string) => element(0x06, Buffer.from(hex, 'hex'));
const bitString = (content: Buffer) => element(0x03, Buffer.concat([Buffer.of(0), content]));

const SHA256_WITH_RSA = sequence(objectIdentifier('2a864886f70d01010b'), element(0x05, Buffer.alloc(0)));
