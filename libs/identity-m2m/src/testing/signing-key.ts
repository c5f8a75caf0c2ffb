import { constants, generateKeyPair, type KeyObject, sign } from 'node:crypto';
import { promisify } from 'node:util';

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

/** A key pair, and how signatures are made with it (RFC 7518 §3, RFC 8037 §3.1). */
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

/** The signature of a text, as JWS has it. */
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
  throw new TypeError(`no signature algorithm of JWS: ${algorithm}`);
}
