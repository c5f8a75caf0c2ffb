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

/** The key that authenticates a device. */
export interface DeviceKey {
  /** The `kid`: the key's thumbprint (RFC 7638). */
  readonly keyId: string;
  /** The public half, as a JWK set (RFC 7517). */
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
  /** Path of the JWK set, for the operator who registers it. */
  readonly publicFile: string;
  /** Whether the key was created just now, and so is not registered yet. */
  readonly isNew: boolean;
}

/** The key file cannot be used. */
export class KeyFileError extends Error {
  readonly code = 'KEY_FILE_UNUSABLE';

  constructor(file: string, fault: string, options?: ErrorOptions) {
    super(`The key file ${file} ${fault}`, options);
    this.name = 'KeyFileError';
  }
}

/**
 * Reads the device's key, or creates it. The private half stays in the file, which only its owner can read.
 *
 * @throws {@link KeyFileError}
 */
export async function deviceKey(file: string): Promise<DeviceKey> {
  const isNew = await createKey(file);
  const { mode } = await stat(file).catch((error: unknown) => {
    throw unusable(file, 'cannot be read', error);
  });
  // Windows has no such bits.
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new KeyFileError(file, 'can be read by others. Create a new key, and restrict it to its owner (0600).');
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

/** Creates the file whole or not at all, and never overwrites one: that key may be registered. */
async function createKey(file: string): Promise<boolean> {
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

/** Skips a file that is up to date, so that a read-only folder works too. */
async function writePublicHalf(file: string, text: string): Promise<void> {
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known === text) return;
  await writeFile(file, text).catch((error: unknown) => {
    throw unusable(file, 'cannot be written', error);
  });
}

function unusable(file: string, fault: string, error: unknown): KeyFileError {
  const { code } = error as NodeJS.ErrnoException;
  const advice = 'Set KEY_FILE to a path in an existing folder that this device can write to.';
  return new KeyFileError(file, `${fault} (${code}). ${advice}`, { cause: error });
}

function publicHalf(file: string, pem: string): { keyId: string; jwk: JsonWebKey } {
  let jwk: JsonWebKey;
  try {
    jwk = createPublicKey(createPrivateKey(pem)).export({ format: 'jwk' });
  } catch {
    // The original error may quote the key.
    throw new KeyFileError(file, `holds no private key in PEM. ${WANTED}`);
  }
  const { kty, crv, x, y } = jwk;
  if (kty !== 'EC' || crv !== 'P-256') {
    throw new KeyFileError(file, `holds a key of type ${[kty, crv].filter(Boolean).join(' ')}. ${WANTED}`);
  }
  const keyId = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return { keyId, jwk: { kty, crv, x, y, kid: keyId, alg: 'ES256', use: 'sig' } };
}

const WANTED = 'Expected an EC key on the curve P-256, for ES256. Without a file, the device creates one.';
