import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  randomUUID,
} from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, readFile, rm, stat, writeFile } from 'node:fs/promises';

/** What a device proves itself with. */
export interface DeviceKey {
  /** Names the key to the identity provider: its thumbprint (RFC 7638). */
  readonly keyId: string;
  /** The public half, as identity providers take it (RFC 7517): `{"keys": [JWK]}`. */
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
  /** Where that stands, for whoever hands it over. */
  readonly publicFile: string;
  /** Whether it was made just now, so that nobody knows it yet. */
  readonly isNew: boolean;
}

/** The file of a key can't be used. */
export class KeyFileError extends Error {
  readonly code = 'KEY_FILE_UNUSABLE';

  constructor(file: string, fault: string, options?: ErrorOptions) {
    super(`The key file ${file} ${fault}`, options);
    this.name = 'KeyFileError';
  }
}

/**
 * The device's key, made at its first start. The private half stays in the file, which its owner alone can read.
 *
 * @throws {@link KeyFileError}
 */
export async function deviceKey(file: string): Promise<DeviceKey> {
  const isNew = await makeKey(file);
  const { mode } = await stat(file).catch((error: unknown) => {
    throw unusable(file, 'cannot be read', error);
  });
  // Windows has no such bits.
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new KeyFileError(file, 'can be read by others. Make a new key, and see that it stays with its owner (0600).');
  }
  const pem = await readFile(file, 'utf8').catch((error: unknown) => {
    throw unusable(file, 'cannot be read', error);
  });
  const { keyId, jwk } = publicHalf(file, pem);
  const jwks = { keys: [jwk] };
  const publicFile = `${file}.public.json`;
  await writePublicHalf(publicFile, `${JSON.stringify(jwks, undefined, 2)}\n`);
  return { keyId, jwks, publicFile, isNew };
}

/** Whole or not at all, and never in the place of another: a key that is registered is worth something. */
async function makeKey(file: string): Promise<boolean> {
  if (existsSync(file)) return false;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const unfinished = `${file}.${randomUUID()}`;
  try {
    await writeFile(unfinished, privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      flag: 'wx',
      mode: 0o600,
      flush: true,
    });
    await link(unfinished, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw unusable(file, 'cannot be written', error);
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** A folder that cannot be written to will do where the public half is in it already. */
async function writePublicHalf(file: string, text: string): Promise<void> {
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known === text) return;
  await writeFile(file, text).catch((error: unknown) => {
    throw unusable(file, 'cannot be written', error);
  });
}

function unusable(file: string, fault: string, error: unknown): KeyFileError {
  const { code } = error as NodeJS.ErrnoException;
  const advice = 'Set KEY_FILE to a path in a folder that is there and that this device may write to.';
  return new KeyFileError(file, `${fault} (${code}). ${advice}`, { cause: error });
}

function publicHalf(file: string, pem: string): { keyId: string; jwk: JsonWebKey } {
  let jwk: JsonWebKey;
  try {
    jwk = createPublicKey(createPrivateKey(pem)).export({ format: 'jwk' });
  } catch {
    // What was thrown may quote the key.
    throw new KeyFileError(file, `holds no private key in PEM. ${WANTED}`);
  }
  const { kty, crv, x, y } = jwk;
  if (kty !== 'EC' || crv !== 'P-256') {
    throw new KeyFileError(file, `holds a key of the kind ${[kty, crv].filter(Boolean).join(' ')}. ${WANTED}`);
  }
  const keyId = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return { keyId, jwk: { kty, crv, x, y, kid: keyId, alg: 'ES256', use: 'sig' } };
}

const WANTED = 'It needs one of the curve P-256, for ES256; where there is no file, the device makes one.';
