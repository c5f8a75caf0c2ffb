import { createHash, timingSafeEqual } from 'node:crypto';

/** SHA-256 of a secret, which is kept in the secret's place. */
export function secretDigest(secret: string): Buffer {
  return createHash('sha256').update(secret, 'utf8').digest();
}

/** Compares in constant time, and takes the same time where there is no secret to compare with. */
export function matchesDigest(secret: string, digest: Buffer | undefined): boolean {
  const equal = timingSafeEqual(secretDigest(secret), digest ?? NO_DIGEST);
  return equal && digest !== undefined;
}

const NO_DIGEST = Buffer.alloc(32);
